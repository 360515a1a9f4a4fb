"""`offhook serve` from the shell: bad input is told in a line, before anything is loaded."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 60


def offhook(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
    )


@pytest.fixture
def taken() -> "socket.socket":
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def test_a_port_in_use_is_named_before_any_model_is_loaded(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    result = offhook("serve", "--port", str(port))
    assert result.returncode == 2
    assert f"127.0.0.1:{port}" in result.stderr
    assert "OFFHOOK_SERVER__PORT" in result.stderr
    assert "loading" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_typo_in_the_settings_is_named_with_its_line(tmp_path: Path) -> None:
    settings = tmp_path / "offhook.toml"
    settings.write_text("[llm]\n\ntemprature = 0.5\n")
    result = offhook("--config", str(settings), "serve")
    assert result.returncode == 2
    assert "offhook.toml:3" in result.stderr
    assert "temprature" in result.stderr
    assert "`temperature`" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_model_is_named_with_its_remedy(tmp_path: Path) -> None:
    model = tmp_path / "cut.gguf"
    model.write_bytes(b"GGUF\3\0\0\0")
    result = offhook(
        "serve", "--port", "0", OFFHOOK_MODELS__LLM=str(model), OFFHOOK_HOME=str(tmp_path)
    )
    assert result.returncode == 2
    assert "cut.gguf" in result.stderr
    assert "Traceback" not in result.stderr


def test_off_loopback_without_a_token_is_refused() -> None:
    result = offhook("serve", "--host", "0.0.0.0", "--port", "0")
    assert result.returncode == 2
    assert "OFFHOOK_TOKEN" in result.stderr


def test_workers_that_cannot_be_are_refused_in_a_line(tmp_path: Path) -> None:
    result = offhook("serve", "--workers", "65")
    assert result.returncode == 2
    assert "`count` in [workers]" in result.stderr and "64" in result.stderr
    nowhere = {"OFFHOOK_WORKERS__EDGE": str(tmp_path / "nowhere")}
    result = offhook("serve", "--workers", "2", **nowhere)
    assert result.returncode == 2
    assert "`edge` in [workers]" in result.stderr and "docs/edge.md" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_is_worth_reading_and_loads_no_engine() -> None:
    result = offhook("--help")
    assert result.returncode == 0
    for command in ("demo", "serve", "doctor", "calls", "models", "bench"):
        assert f"offhook {command}" in result.stdout
    assert "pipecat" not in result.stderr.lower()
