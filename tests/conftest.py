"""What every test runs under."""

import sys


def pytest_unconfigure() -> None:
    """Closes what llama-cpp-python opens on import and leaves for the interpreter to find."""
    if opened := sys.modules.get("llama_cpp._utils"):
        opened.outnull_file.close()
        opened.errnull_file.close()
