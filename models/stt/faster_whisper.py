"""Whisper through faster-whisper, with an encoder window cut to the utterance.

Whisper pads every utterance to 30 s and its encoder pays for all of it. Here the window is the
shortest of three that leaves silence after the speech; a window that ends with the speech, or
one under 10 s, makes the decoder run away.
"""

import threading
import time
from collections.abc import Callable, Sequence
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
from models.stt.base import NotWanted, Transcript, Utterance, always
from models.stt.gates import is_speech, repeats_itself
from models.stt.log_mel import SAMPLE_RATE_HZ, LogMel
from models.thread_name import thread_named
from models.thread_priority import lower_threads_named

_LONGEST_S = 28.0

_WINDOWS = ((4.0, 1000), (11.0, 1500), (_LONGEST_S, 3000))
"""(seconds of audio, mel frames of 10 ms): the first whose seconds suffice is used."""

_TOKENS_PER_S = 7.0
_TOKENS_SLACK = 8
_MAX_TOKENS = 200
_LONGEST_REPEAT = 5
"""So many tokens may come again: a loop breaks off after a few rounds, before the limit.
"Five five five five five" is said; the same six tokens again hardly are."""

_ENCODER_TOKENS = 20
"""What encoding and the first token cost, in further tokens: how a batch's time is shared out."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    text: str
    tokens: int
    log_probability: float
    no_speech_probability: float
    hit_limit: bool

    @property
    def ran_away(self) -> bool:
        return self.hit_limit or repeats_itself(self.text)


@dataclass(slots=True)
class _Piece:
    """Up to 28 s of one utterance, and what was made of it so far."""

    audio: NDArray[np.float32]
    window: int = 0
    """Place in ``_WINDOWS``."""
    tried_again: bool = False
    busy_s: float = 0.0
    decoded: _Decoded | None = None

    def __post_init__(self) -> None:
        duration_s = self.audio.size / SAMPLE_RATE_HZ
        fitting = (n for n, (longest_s, _) in enumerate(_WINDOWS) if duration_s <= longest_s)
        self.window = next(fitting)

    @property
    def frames(self) -> int:
        return _WINDOWS[self.window][1]

    @property
    def kind(self) -> tuple[int, int]:
        """Pieces of one kind are decoded together.

        One limit of tokens holds for all of a batch. In the longest window, where one that ran
        away is kept as it is, it has to be the piece's own.
        """
        last = self.window == len(_WINDOWS) - 1
        return self.frames, self.token_limit if last else 0

    @property
    def token_limit(self) -> int:
        likely = int(self.audio.size / SAMPLE_RATE_HZ * _TOKENS_PER_S)
        return min(_MAX_TOKENS, likely + _TOKENS_SLACK)

    def take(self, decoded: _Decoded) -> bool:
        """Keeps it; whether that is final.

        One that ran away is tried once more, in the next window. A third time took up to 3 s, in
        which no other caller was heard.
        """
        self.decoded = decoded
        if not decoded.ran_away or self.tried_again or self.window == len(_WINDOWS) - 1:
            return True
        self.window += 1
        self.tried_again = True
        return False


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
            lower_threads_named("stt")
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
        self._log_mel = LogMel(self._whisper.feature_extractor.mel_filters)
        self._turn = threading.Lock()

    def transcribe(
        self, pcm: NDArray[np.int16], sample_rate_hz: int, *, wanted: Callable[[], bool] = always
    ) -> Transcript:
        """Blocks until decoded. ``pcm``: mono, shape (samples,), at any usual rate.

        ``wanted`` is asked before each piece of work; raises NotWanted once it says no.
        Raises EngineError when the engine fails; never returns partial text.
        """
        return self._transcribe([(pcm, sample_rate_hz)], wanted)[0]

    def transcribe_batch(self, utterances: Sequence[Utterance]) -> list[Transcript]:
        """Blocks until all are decoded; in order, each as ``transcribe`` alone would say it.

        Those that take the same window are decoded together. Raises EngineError when the engine
        fails, for all of them.
        """
        return self._transcribe(utterances, always)

    def close(self) -> None:
        """Frees the model, once what it is decoding is done."""
        with self._turn:
            self._whisper.model.unload_model()

    def _transcribe(
        self, utterances: Sequence[Utterance], wanted: Callable[[], bool]
    ) -> list[Transcript]:
        spoken = [
            [_Piece(part) for part in split_at_quiet(at_rate(pcm, rate_hz, SAMPLE_RATE_HZ))]
            for pcm, rate_hz in utterances
        ]
        left = [piece for pieces in spoken for piece in pieces]
        with self._turn:
            while left:
                if not wanted():
                    raise NotWanted
                kind = min(piece.kind for piece in left)
                together = [piece for piece in left if piece.kind == kind]
                final = self._decode(together)
                left = [piece for piece in left if piece.kind != kind]
                left += [p for p, done in zip(together, final, strict=True) if not done]
        return [_joined(pieces, self._language) for pieces in spoken]

    def _decode(self, pieces: Sequence[_Piece]) -> list[bool]:
        """Of one kind; whether each is final."""
        began_s = time.perf_counter()
        # The silence is added to the audio, not to the mel: larger models err less so.
        mel = np.stack([self._log_mel(piece.audio, piece.frames) for piece in pieces])
        try:
            encoded = self._whisper.model.encode(get_ctranslate2_storage(mel))
            results: list[Any] = self._whisper.model.generate(
                encoded,
                [self._prompt] * len(pieces),
                beam_size=1,
                max_length=len(self._prompt) + max(piece.token_limit for piece in pieces),
                return_scores=True,
                return_no_speech_prob=True,
                suppress_blank=True,
                suppress_tokens=self._suppressed,
                no_repeat_ngram_size=_LONGEST_REPEAT + 1,
            )
        except RuntimeError as error:
            raise EngineError(f"{self.name}: {error}") from error
        final = [
            piece.take(self._read(result, piece.token_limit))
            for piece, result in zip(pieces, results, strict=True)
        ]
        took_s = time.perf_counter() - began_s
        shares = [_ENCODER_TOKENS + len(result.sequences_ids[0]) for result in results]
        for piece, share in zip(pieces, shares, strict=True):
            piece.busy_s += took_s * share / sum(shares)
        return final

    def _read(self, result: Any, token_limit: int) -> _Decoded:
        tokens = result.sequences_ids[0]
        return _Decoded(
            text=self._tokenizer.decode(tokens).strip(),
            tokens=len(tokens),
            log_probability=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_probability=result.no_speech_prob,
            hit_limit=len(tokens) >= token_limit,
        )


def split_at_quiet(audio: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Pieces of at most 28 s of 16 kHz audio, cut at the quietest 50 ms of the last 8 s of each."""
    longest, back, step = (round(s * SAMPLE_RATE_HZ) for s in (_LONGEST_S, 8.0, 0.05))
    pieces = []
    while audio.size > longest:
        tail = audio[longest - back : longest]
        energy = np.square(tail.reshape(-1, step)).sum(axis=1)
        cut = longest - back + int(energy.argmin()) * step + step // 2
        pieces.append(audio[:cut])
        audio = audio[cut:]
    return [*pieces, audio] if audio.size else pieces


def _joined(pieces: Sequence[_Piece], language: str) -> Transcript:
    decoded = [piece.decoded for piece in pieces if piece.decoded is not None]
    tokens = sum(one.tokens for one in decoded)
    weighted = sum(one.log_probability * one.tokens for one in decoded)
    return Transcript(
        text=" ".join(
            one.text
            for one in decoded
            if is_speech(one.text, one.no_speech_probability, one.log_probability)
        ).strip(),
        language=language,
        no_speech_probability=min((one.no_speech_probability for one in decoded), default=1.0),
        mean_log_probability=weighted / tokens if tokens else 0.0,
        tokens=tokens,
        busy_s=sum(piece.busy_s for piece in pieces),
    )
