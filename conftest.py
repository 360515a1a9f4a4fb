"""What holds for every test."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "tests"

REAL_TIME = ("end_to_end", "latency_bench", "packaging", "peers", "telephony", "web")
"""Their tests run processes, sockets and sound by the clock of a machine that others share."""


@pytest.fixture(autouse=True)
def no_log_handler_outlives_its_test() -> Iterator[None]:
    """A command sets up logs for its process, onto what stands for standard error just then."""
    yield
    for handler in [each for each in logging.root.handlers if type(each) is logging.StreamHandler]:
        logging.root.removeHandler(handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs a test of the real world again where it fails, before it is called failed.

    A machine that stalls for a second breaks any call. What had to run again is listed under
    "rerun test summary info": a test that stands there often is to be mended.
    """
    for item in items:
        if any(TESTS / folder in item.path.parents for folder in REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))
