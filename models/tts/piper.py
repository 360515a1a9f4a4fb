"""Piper voices, spoken in-process, each sentence's first audio before its last is made.

``piper-tts`` is under GPL-3.0: whoever distributes Offhook together with it distributes a work
under that licence (see ``docs/licences.md``, which also names the engine to choose instead).
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig
from piper.config import PiperConfig

from models.errors import EngineError, ModelCorrupt
from models.onnx_session import open_session
from models.tts.base import AudioChunk
from models.tts.piper_graph import CannotSplit
from models.tts.piper_split import SplitVoice, open_split
from models.tts.windows import first_frames, windows


class Piper:
    """One voice. Safe from many threads: espeak-ng is guarded by piper's own lock."""

    def __init__(self, path: Path, device: str = "cpu", threads: int = 1) -> None:
        self.name = path.stem
        self.device = device
        config = _config(path)
        self._split: SplitVoice | None = None
        self.whole_because: str | None = None
        """Why audio does not come inside a sentence; None where it does."""
        session: Any = None
        try:
            self._split = open_split(path, device=device, threads=threads)
        except CannotSplit as error:
            self.whole_because = str(error)
            logger.warning("{}: a chunk is a whole sentence: {}", self.name, error)
            session = open_session(path, device=device, threads=threads)
        # Beside a split voice it only turns text into phoneme ids.
        self._voice: PiperVoice | None = PiperVoice(session=session, config=config)
        self.sample_rate_hz = config.sample_rate
        # Scaling a sentence to its own peak, piper's habit, would need its last sample before its
        # first could be sent; the voice's own level is kept instead.
        self._style = SynthesisConfig(normalize_audio=False)
        # One thread on the processor is the caller's own, whose time others cannot inflate.
        own = device == "cpu" and threads == 1
        self._clock_s = time.thread_time if own else time.perf_counter

    @property
    def streams(self) -> bool:
        """Whether audio comes inside a sentence; False: a chunk is a whole sentence."""
        return self.whole_because is None

    def synthesize(self, text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
        """Yields the clause's audio; each ``next()`` blocks until its chunk is made.

        ``ahead_s``: how much speech is still to be played before it; the more there is, the
        longer the first chunk, which is less work in all. Closing the iterator stops the work.
        Raises EngineError when the engine fails. Text without a letter or a digit yields nothing.
        """
        if not any(character.isalnum() for character in text):
            return
        started_s = self._clock_s()
        for audio in self._audio(text, ahead_s):
            now_s = self._clock_s()
            yield AudioChunk(_pcm(audio), now_s - started_s)
            started_s = self._clock_s()

    def close(self) -> None:
        """Frees the model."""
        self._split = None
        self._voice = None

    def _audio(self, text: str, ahead_s: float) -> Iterator[NDArray[np.float32]]:
        # Held for the whole clause: closing does not pull them from under it.
        voice, split = self._voice, self._split
        if voice is None:
            raise EngineError(f"{self.name}: the voice is closed")
        try:
            for phonemes in voice.phonemize(text):
                ids = voice.phonemes_to_ids(phonemes)
                if split is None:
                    yield np.ravel(np.asarray(voice.phoneme_ids_to_audio(ids, self._style)))
                    continue
                scales = voice.config
                sentence = split.begin(
                    ids, scales.noise_scale, scales.length_scale, scales.noise_w_scale
                )
                frame_s = split.shape.hop_samples / self.sample_rate_hz
                for start, end in windows(sentence.frames, first_frames(ahead_s, frame_s)):
                    yield sentence.decode(start, end)
                ahead_s += sentence.frames * frame_s
        except RuntimeError as error:
            raise EngineError(f"{self.name}: {error}") from error


def _config(path: Path) -> PiperConfig:
    sidecar = Path(f"{path}.json")
    try:
        return PiperConfig.from_dict(json.loads(sidecar.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ModelCorrupt(f"{sidecar}: missing; a Piper voice is two files") from error
    except (ValueError, KeyError) as error:
        raise ModelCorrupt(f"{sidecar}: no Piper voice configuration: {error!r}") from error


def _pcm(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    pcm: NDArray[np.int16] = (np.clip(audio, -1.0, 1.0) * 32767.0).astype(np.int16)
    return pcm
