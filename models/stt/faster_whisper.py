"""Whisper through faster-whisper, with an encoder window cut to the utterance.

Whisper pads every utterance to 30 s and its encoder pays for all of it. Here the window is the
shortest of three that leaves silence after the speech; a window that ends with the speech, or
one under 10 s, makes the decoder run away.
"""

import math
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_ctranslate2_storage, get_suppressed_tokens
from numpy.typing import NDArray

from models.audio import at_rate
from models.errors import EngineError, ModelCorrupt
from models.stt.base import Transcript
from models.thread_name import thread_named

_SAMPLE_RATE_HZ = 16000
_HOP_SAMPLES = 160
_LONGEST_S = 28.0

_WINDOWS = ((4.0, 1000), (11.0, 1500), (_LONGEST_S, 3000))
"""(seconds of audio, mel frames of 10 ms): the first whose seconds suffice is used."""

_TOKENS_PER_S = 7.0
_TOKENS_SLACK = 8
_MAX_TOKENS = 200

# (no-speech probability over, mean log probability under): where both hold, words are withheld.
# Chosen on single spoken digits at 8 kHz, the hardest real speech (up to 0.88 at -0.76, 0.77 at
# -1.23), against silence (0.99 at -0.8), noise and hold music (0.84-0.98 at -1.1 to -2.4).
_NOT_SPEECH = ((0.6, -1.7), (0.82, -1.0), (0.93, math.inf))

# What Whisper makes of noise because the ends of its training videos said so. A caller's own
# "thank you" scores under 0.3.
_PHANTOMS = {"", "you", "thank you", "thanks", "thank you for watching", "thanks for watching"}
_PHANTOM_NO_SPEECH_PROBABILITY = 0.6

# A bark or a cry becomes one word over and over; a caller who repeats herself scores lower.
_REPEATED_NO_SPEECH_PROBABILITY = 0.3

# (words of a phrase, words after it that repeat it) that real speech seldom has and a runaway
# decoder has: "no no no no", "yes please" three times, any five words twice.
_REPEATS = ((1, 3), (2, 4), (3, 3), (4, 4), (5, 5))
_STUTTER = re.compile(r"(\w)\1{4}")


@dataclass(frozen=True, slots=True)
class _Decoded:
    text: str
    tokens: int
    log_probability: float
    no_speech_probability: float
    hit_limit: bool


class FasterWhisper:
    """One model. Safe from many threads: they take turns, so that busy seconds are true."""

    def __init__(
        self, path: Path, device: str = "cpu", threads: int = 1, language: str = "en"
    ) -> None:
        self.name = path.name
        self.device = device
        try:
            with thread_named("stt"):
                self._whisper = WhisperModel(
                    str(path),
                    device=device,
                    compute_type="int8" if device == "cpu" else "float16",
                    cpu_threads=threads,
                )
        except RuntimeError as error:
            raise ModelCorrupt(f"{path}: CTranslate2 cannot load model.bin: {error}") from error
        self._language = language
        self._tokenizer = Tokenizer(
            self._whisper.hf_tokenizer,
            self._whisper.model.is_multilingual,
            task="transcribe",
            language=language,
        )
        self._prompt = self._whisper.get_prompt(self._tokenizer, [], without_timestamps=True)
        self._suppressed = list(get_suppressed_tokens(self._tokenizer, [-1]))
        self._turn = threading.Lock()

    def transcribe(self, pcm: NDArray[np.int16], sample_rate_hz: int) -> Transcript:
        """Blocks until decoded. ``pcm``: mono, shape (samples,), at any usual rate.

        Raises EngineError when the engine fails; never returns partial text.
        """
        audio = at_rate(pcm, sample_rate_hz, _SAMPLE_RATE_HZ)
        with self._turn:
            started_s = time.perf_counter()
            pieces = [self._decode(piece) for piece in split_at_quiet(audio)]
            busy_s = time.perf_counter() - started_s
        return _joined(pieces, self._language, busy_s)

    def close(self) -> None:
        """Frees the model, once what it is decoding is done."""
        with self._turn:
            self._whisper.model.unload_model()

    def _decode(self, audio: NDArray[np.float32]) -> _Decoded:
        duration_s = audio.size / _SAMPLE_RATE_HZ
        fitting = [frames for longest_s, frames in _WINDOWS if duration_s <= longest_s]
        decoded = self._decode_in(audio, fitting[0])
        for frames in fitting[1:]:
            if not _ran_away(decoded):
                break
            decoded = self._decode_in(audio, frames)
        return decoded

    def _decode_in(self, audio: NDArray[np.float32], frames: int) -> _Decoded:
        limit = min(_MAX_TOKENS, int(audio.size / _SAMPLE_RATE_HZ * _TOKENS_PER_S) + _TOKENS_SLACK)
        # The silence is added to the audio, not to the mel: larger models err less so.
        padding = frames * _HOP_SAMPLES - audio.size
        mel = self._whisper.feature_extractor(audio, padding=padding)[np.newaxis, :, :frames]
        try:
            encoded = self._whisper.model.encode(get_ctranslate2_storage(mel))
            result: Any = self._whisper.model.generate(
                encoded,
                [self._prompt],
                beam_size=1,
                max_length=len(self._prompt) + limit,
                return_scores=True,
                return_no_speech_prob=True,
                suppress_blank=True,
                suppress_tokens=self._suppressed,
            )[0]
        except RuntimeError as error:
            raise EngineError(f"{self.name}: {error}") from error
        tokens = result.sequences_ids[0]
        return _Decoded(
            text=self._tokenizer.decode(tokens).strip(),
            tokens=len(tokens),
            log_probability=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_probability=result.no_speech_prob,
            hit_limit=len(tokens) >= limit,
        )


def split_at_quiet(audio: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Pieces of at most 28 s of 16 kHz audio, cut at the quietest 50 ms of the last 8 s of each."""
    longest, back, step = (round(s * _SAMPLE_RATE_HZ) for s in (_LONGEST_S, 8.0, 0.05))
    pieces = []
    while audio.size > longest:
        tail = audio[longest - back : longest]
        energy = np.square(tail.reshape(-1, step)).sum(axis=1)
        cut = longest - back + int(energy.argmin()) * step + step // 2
        pieces.append(audio[:cut])
        audio = audio[cut:]
    return [*pieces, audio] if audio.size else pieces


def repeats_itself(text: str) -> bool:
    """Whether a phrase stands several times in a row, the last time perhaps in part.

    Digits may honestly do so; the answer costs them a second look, not the words.
    """
    words = _words(text)
    for length in range(1, len(words)):
        enough = next(enough for least, enough in reversed(_REPEATS) if length >= least)
        matching = 0
        for here, later in zip(words, words[length:], strict=False):
            matching = matching + 1 if here == later else 0
            if matching >= enough:
                return True
    return _STUTTER.search(text) is not None


def _ran_away(decoded: _Decoded) -> bool:
    return decoded.hit_limit or repeats_itself(decoded.text)


def is_speech(text: str, no_speech_probability: float, log_probability: float) -> bool:
    """Whether decoded words were really said, rather than made up from noise."""
    if any(no_speech_probability > over and log_probability < under for over, under in _NOT_SPEECH):
        return False
    if no_speech_probability > _PHANTOM_NO_SPEECH_PROBABILITY:
        return " ".join(_words(text)) not in _PHANTOMS
    return no_speech_probability <= _REPEATED_NO_SPEECH_PROBABILITY or not repeats_itself(text)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _joined(pieces: list[_Decoded], language: str, busy_s: float) -> Transcript:
    tokens = sum(piece.tokens for piece in pieces)
    weighted = sum(piece.log_probability * piece.tokens for piece in pieces)
    return Transcript(
        text=" ".join(
            piece.text
            for piece in pieces
            if is_speech(piece.text, piece.no_speech_probability, piece.log_probability)
        ).strip(),
        language=language,
        no_speech_probability=min((p.no_speech_probability for p in pieces), default=1.0),
        mean_log_probability=weighted / tokens if tokens else 0.0,
        tokens=tokens,
        busy_s=busy_s,
    )
