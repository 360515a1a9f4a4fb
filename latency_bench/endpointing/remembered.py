"""What the engines make of a stretch of audio, asked once: a sweep asks for the same many times."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_bench.utterance import SpeechError
from models.stt.base import SpeechRecognizer
from models.turn.base import TurnModel
from models.vad.base import VoiceDetector

SILENT_PEAK = 33
"""As in the box's ear: a window whose loudest sample is below this holds no speech."""


class Remembered:
    """The box's engines; every answer is kept, by the audio that it is about.

    ``kept`` may be written to a file and read again by another run with the same models.
    """

    def __init__(
        self, vad: VoiceDetector, turn: TurnModel, recogniser: SpeechRecognizer, names: str = ""
    ) -> None:
        self._vad = vad
        self._turn = turn
        self._recogniser = recogniser
        self._names = names
        self._kept: dict[str, Any] = {}
        self.asked = 0
        """Answers that an engine had to give."""

    def voice(self, pcm: NDArray[np.int16], rate_hz: int) -> tuple[float, ...]:
        """Speech probability of each window of ``pcm``, int16 mono, shape (samples,)."""
        key = self._key("vad", pcm, rate_hz)
        if key not in self._kept:
            self.asked += 1
            self._kept[key] = self._follow(pcm, rate_hz)
        return tuple(self._kept[key])

    def window_s(self, rate_hz: int) -> float:
        """Length of a window of `voice`."""
        return self._vad.open(rate_hz).window_samples / rate_hz

    def complete_probability(self, pcm: NDArray[np.int16], rate_hz: int) -> float:
        """The turn model's word on ``pcm``."""
        key = self._key("turn", pcm, rate_hz)
        if key not in self._kept:
            self.asked += 1
            self._kept[key] = round(self._turn.completion_probability(pcm, rate_hz), 4)
        return float(self._kept[key])

    def words(self, pcm: NDArray[np.int16], rate_hz: int) -> str:
        """The recogniser's words in ``pcm``."""
        key = self._key("stt", pcm, rate_hz)
        if key not in self._kept:
            self.asked += 1
            self._kept[key] = self._recogniser.transcribe(pcm, rate_hz).text.strip()
        return str(self._kept[key])

    def read(self, path: Path) -> None:
        """Takes over what an earlier run kept; nothing where there is no file yet.

        Raises SpeechError for a file that is none of ours.
        """
        if not path.exists():
            return
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpeechError(f"{path}: cannot be read ({error}); remove it") from error
        if not isinstance(kept, dict):
            raise SpeechError(f"{path}: holds no remembered answers; remove it")
        self._kept.update(kept)

    def write(self, path: Path) -> None:
        """Keeps everything for another run."""
        path.write_text(json.dumps(self._kept) + "\n", encoding="utf-8")

    def _follow(self, pcm: NDArray[np.int16], rate_hz: int) -> list[float]:
        stream = self._vad.open(rate_hz)
        size = stream.window_samples
        found: list[float] = []
        for first in range(0, len(pcm) - size + 1, size):
            window = pcm[first : first + size]
            silent = int(np.abs(window.astype(np.int32)).max()) < SILENT_PEAK
            found.append(0.0 if silent else round(stream.speech_probability(window), 4))
        return found

    def _key(self, engine: str, pcm: NDArray[np.int16], rate_hz: int) -> str:
        digest = hashlib.blake2b(pcm.tobytes(), digest_size=12)
        digest.update(f"{engine} {rate_hz} {self._names}".encode())
        return f"{engine} {digest.hexdigest()}"
