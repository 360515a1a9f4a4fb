"""Piper voices, spoken in-process.

``piper-tts`` is under GPL-3.0: whoever distributes Offhook together with it distributes a work
under that licence (see ``docs/licences.md``, which also names the engine to choose instead).
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig
from piper.config import PiperConfig

from models.errors import EngineError, ModelCorrupt
from models.onnx_session import open_session
from models.tts.base import AudioChunk

# The loudest sample of a sentence differs from sentence to sentence; dividing by it would need
# the whole sentence before its first sample could be sent.
_GAIN = 1.0


class Piper:
    """One voice. Safe from many threads: espeak-ng is guarded by piper's own lock."""

    def __init__(self, path: Path, device: str = "cpu", threads: int = 1) -> None:
        self.name = path.stem
        self.device = device
        self._voice = PiperVoice(
            session=open_session(path, device=device, threads=threads), config=_config(path)
        )
        self.sample_rate_hz = self._voice.config.sample_rate
        self._style = SynthesisConfig(normalize_audio=False, volume=_GAIN)

    def synthesize(self, text: str) -> Iterator[AudioChunk]:
        """Yields the clause's audio, a chunk a sentence. Empty text yields nothing."""
        for phonemes in self._voice.phonemize(text):
            started_s = time.perf_counter()
            ids = self._voice.phonemes_to_ids(phonemes)
            try:
                audio = self._voice.phoneme_ids_to_audio(ids, self._style)
            except RuntimeError as error:
                raise EngineError(f"{self.name}: {error}") from error
            yield AudioChunk(_pcm(np.asarray(audio)), time.perf_counter() - started_s)

    def close(self) -> None:
        """Frees the model."""
        del self._voice


def _config(path: Path) -> PiperConfig:
    sidecar = Path(f"{path}.json")
    try:
        return PiperConfig.from_dict(json.loads(sidecar.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ModelCorrupt(f"{sidecar}: missing; a Piper voice is two files") from error
    except (ValueError, KeyError) as error:
        raise ModelCorrupt(f"{sidecar}: no Piper voice configuration: {error!r}") from error


def _pcm(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    pcm: NDArray[np.int16] = (np.clip(audio * _GAIN, -1.0, 1.0) * 32767.0).astype(np.int16)
    return pcm
