"""A real box for the end-to-end tests: real engines, loaded once; records of each test's own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import onnxruntime
import pytest
from boxes import OpenBox
from spoken import SYNTHESISED, Question, recorded, synthesised

from agent.box import Box
from agent.config import load_config
from agent.cost.bill import Bill
from agent.engines import Engines, load_engines
from agent.records.store import CallStore


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    # Piper draws its intonation at random; judged by its words, it is to say them the same way.
    onnxruntime.set_seed(1)
    engines = load_engines(load_config(None, {}))
    yield engines
    engines.close()


@pytest.fixture
def open_box(engines: Engines, tmp_path: Path) -> OpenBox:
    """`async with open_box(OFFHOOK_...=...) as box`: drained at the end; engines live on."""

    @asynccontextmanager
    async def opened(toml: str = "", **settings: str) -> AsyncIterator[Box]:
        environ = {
            "OFFHOOK_RECORDS__PATH": str(tmp_path / "calls.sqlite3"),
            "OFFHOOK_CALLS__DRAIN_S": "0",
            "OFFHOOK_LLM__MAX_TOKENS": "24",  # short answers, short tests
            "OFFHOOK_AGENT__FILLERS": "",  # a busy machine would put words into answers
            **settings,
        }
        file = tmp_path / "offhook.toml"
        file.write_text(toml)
        config = load_config(file, environ)
        box = Box(config, engines, CallStore(config.records.path), Bill.load(config))
        try:
            yield box
        finally:
            await box.drain()
            box.store.close()

    return opened


@pytest.fixture(scope="session", params=["recorded", "synthesised"])
def questions(request: pytest.FixtureRequest, engines: Engines) -> list[Question]:
    """Three questions: of real people where the recordings are there, and synthesised."""
    if request.param == "recorded":
        return recorded("s2i", 3)
    return [synthesised(engines, text) for text in SYNTHESISED]


@pytest.fixture(scope="session")
def question(engines: Engines) -> Question:
    """One question, synthesised, for tests that are about something else."""
    return synthesised(engines, SYNTHESISED[0])
