"""How well the box's recogniser hears: by set, codec, noise and loss."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from latency_bench.quality.clips import CLIP_HZ, Clip, Material
from latency_bench.quality.degrade import (
    Concealment,
    LossKind,
    lost_packets,
    room_tone,
    with_loss,
    with_noise,
)
from latency_bench.quality.line_codecs import CODECS, PACKET_S, PCMU, LineCodec, through
from latency_bench.quality.offline_ear import OfflineEar
from latency_bench.quality.word_errors import WordErrors, word_errors
from models.stt.base import SpeechRecognizer

NOISE_KINDS = ("white", "pink", "babble", "music")
SNRS_DB = (20.0, 10.0, 5.0)
LOSS_RATES = (0.01, 0.05, 0.10)
LOSS_KINDS: tuple[LossKind, ...] = ("random", "bursty")
TAIL_S = 2.5
"""Room tone after an utterance that the box has to find the end of by itself."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One way that speech reaches the box."""

    codec: LineCodec = PCMU
    noise: str | None = None
    snr_db: float | None = None
    loss: float = 0.0
    loss_kind: LossKind = "random"
    concealment: Concealment = "door"
    by_ear: bool = False
    """Cut into turns by the box's own voice and turn detection, not given whole."""

    @property
    def dimension(self) -> str:
        """What it differs in from the base: ``base``, ``codec``, ``noise``, ``loss``, ``ear``
        or ``crossed``."""
        changed = [
            name
            for name, differs in (
                ("codec", self.codec is not PCMU),
                ("noise", self.noise is not None),
                ("loss", self.loss > 0),
                ("ear", self.by_ear),
            )
            if differs
        ]
        return changed[0] if len(changed) == 1 else "crossed" if changed else "base"

    @property
    def noise_title(self) -> str:
        """For people."""
        return f"{self.noise} at {self.snr_db:g} dB" if self.noise else "none"

    @property
    def loss_title(self) -> str:
        """For people."""
        if not self.loss:
            return "none"
        zero = ", zero-filled" if self.concealment == "zero" else ""
        return f"{self.loss:.0%} {self.loss_kind}{zero}"


BASE = Condition()


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was heard of one clip in one condition."""

    condition: Condition
    group: str
    clip: str
    expected: str
    heard: str
    count: WordErrors


def conditions(full: bool) -> list[Condition]:
    """Each dimension with the others at their base (G.711 mu-law, no noise, no loss); ``full``:
    all with all."""
    noises: list[tuple[str | None, float | None]] = [(None, None)]
    noises += list(product(NOISE_KINDS, SNRS_DB))
    losses: list[tuple[float, LossKind]] = [(0.0, "random"), *product(LOSS_RATES, LOSS_KINDS)]
    if full:
        crossed = [
            Condition(codec, noise, snr_db, loss, kind)
            for codec, (noise, snr_db), (loss, kind) in product(CODECS, noises, losses)
        ]
        return [*crossed, *_zero_filled(), Condition(by_ear=True)]
    return [
        *(Condition(codec) for codec in CODECS),
        Condition(by_ear=True),
        *(Condition(noise=noise, snr_db=snr_db) for noise, snr_db in noises[1:]),
        *(Condition(loss=loss, loss_kind=kind) for loss, kind in losses[1:]),
        *_zero_filled(),
    ]


def degraded(clip: Clip, condition: Condition, noise: NDArray[np.int16]) -> NDArray[np.int16]:
    """The clip as it reaches the box, at the codec's ``line_hz``.

    ``noise``: at ``CLIP_HZ``; each clip gets another stretch of it. The same on every run.
    """
    seed = zlib.crc32(clip.name.encode())
    pcm = clip.pcm
    if condition.noise is not None and condition.snr_db is not None:
        under = np.roll(noise, -(seed % len(noise)))
        pcm = with_noise(pcm, under, CLIP_HZ, condition.snr_db)
    if not condition.loss:
        return through(pcm, CLIP_HZ, condition.codec)
    count = int(len(pcm) / CLIP_HZ / PACKET_S) + 2
    lost = lost_packets(count, condition.loss, condition.loss_kind, seed)
    return with_loss(pcm, CLIP_HZ, condition.codec, lost, condition.concealment)


def listen(
    material: Material,
    asked: Sequence[Condition],
    clips_of: Callable[[Condition], Sequence[Clip]],
    recogniser: SpeechRecognizer,
    ear: OfflineEar,
) -> Iterator[Hearing | None]:
    """Every clip in every condition, one by one; None for one without words to compare."""
    noises = {kind: material.noise(kind) for kind in NOISE_KINDS}
    for condition in asked:
        noise = noises[condition.noise or "white"]
        for clip in clips_of(condition):
            pcm, rate_hz = degraded(clip, condition, noise), condition.codec.line_hz
            if condition.by_ear:
                heard = heard_by_ear(pcm, rate_hz, recogniser, ear)
            else:
                heard = recogniser.transcribe(pcm, rate_hz).text.strip()
            count = word_errors(clip.text, heard)
            if count is None:
                yield None
                continue
            yield Hearing(condition, clip.group, clip.name, clip.text, heard, count)


def heard_by_ear(
    pcm: NDArray[np.int16], rate_hz: int, recogniser: SpeechRecognizer, ear: OfflineEar
) -> str:
    """The words of all turns that the box makes of ``pcm``, which may be several, or none."""
    lead, tail = (room_tone(pcm, rate_hz, seconds) for seconds in (0.5, TAIL_S))
    followed = ear.follow(np.concatenate([lead, pcm, tail]), rate_hz)
    texts = [recogniser.transcribe(ended.pcm, rate_hz).text.strip() for ended in followed.ended]
    return " ".join(text for text in texts if text)


def _zero_filled() -> list[Condition]:
    return [Condition(loss=loss, concealment="zero") for loss in LOSS_RATES]
