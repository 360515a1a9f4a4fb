"""What callers say in these tests: real people where the recordings are there, else made here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from agent.engines import Engines

SPEECH = Path(__file__).resolve().parents[2].parent / "shared" / "speech"
SYNTHESISED = (
    "What time does the next train leave?",
    "Please tell me a story about a dog.",
    "How many days are there in a week?",
)


@dataclass(frozen=True)
class Question:
    """Something a caller says."""

    pcm: NDArray[np.int16]
    rate_hz: int
    text: str

    def at(self, rate_hz: int) -> bytes:
        """Its audio at another rate."""
        return soxr.resample(self.pcm, self.rate_hz, rate_hz).astype(np.int16).tobytes()


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
