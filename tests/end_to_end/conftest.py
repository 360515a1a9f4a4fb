"""A real box for the end-to-end tests: real engines, loaded once; records of each test's own."""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from agent.box import Box
from agent.config import load_config
from agent.cost.bill import Bill
from agent.engines import Engines, load_engines
from agent.records.store import CallStore

SPEECH = Path(__file__).resolve().parents[2].parent / "shared" / "speech"
SYNTHESISED = (
    "What time does the next train leave?",
    "Please tell me a story about a dog.",
    "How many days are there in a week?",
)
OpenBox = Callable[..., AbstractAsyncContextManager[Box]]


@dataclass(frozen=True)
class Question:
    """Something a caller says."""

    pcm: NDArray[np.int16]
    rate_hz: int
    text: str

    def at(self, rate_hz: int) -> bytes:
        """Its audio at another rate."""
        return soxr.resample(self.pcm, self.rate_hz, rate_hz).astype(np.int16).tobytes()


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    config = load_config(None, {"OFFHOOK_MODELS__LLM_THREADS": str(min(2, os.cpu_count() or 1))})
    engines = load_engines(config)
    yield engines
    engines.close()


@pytest.fixture
def open_box(engines: Engines, tmp_path: Path) -> OpenBox:
    """`async with open_box(OFFHOOK_...=...) as box`: drained at the end; engines live on."""

    @asynccontextmanager
    async def opened(**settings: str) -> AsyncIterator[Box]:
        environ = {
            "OFFHOOK_RECORDS__PATH": str(tmp_path / "calls.sqlite3"),
            "OFFHOOK_CALLS__DRAIN_S": "0",
            "OFFHOOK_LLM__MAX_TOKENS": "24",  # short answers, short tests
            **settings,
        }
        config = load_config(None, environ)
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


def recorded(folder: str, count: int) -> list[Question]:
    """Complete utterances of real people; skips where the recordings are not there."""
    if not SPEECH.is_dir():
        pytest.skip("real recordings are not beside this checkout (../shared/speech)")
    entries: list[dict[str, Any]] = json.loads((SPEECH / "manifest.json").read_text())
    chosen = [
        entry
        for entry in entries
        if entry["path"].startswith(f"{folder}/")
        and entry.get("transcript")
        and 1.5 <= entry["duration"] <= 6
        and entry.get("max_pause", 0) < 0.3
    ]
    return [load(SPEECH / entry["path"], entry["transcript"]) for entry in chosen[:count]]


def load(path: Path, text: str = "") -> Question:
    pcm, rate_hz = soundfile.read(path, dtype="int16")
    return Question(pcm, rate_hz, text)


def synthesised(engines: Engines, text: str) -> Question:
    """The agent's own engine, a fifth slower and lower, so that it is another speaker."""
    pcm = np.concatenate([chunk.pcm for chunk in engines.tts.synthesize(text)])
    return Question(pcm, round(engines.tts.sample_rate_hz * 0.85), text)
