"""What silences an agent that is speaking: what should not, and what should."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_bench.quality.clips import CLIP_HZ, Clip, Material
from latency_bench.quality.degrade import echo_of, resampled, speech_power
from latency_bench.quality.line_codecs import PCMU, LineCodec, through
from latency_bench.quality.offline_ear import OfflineEar
from latency_bench.quality.over_agent import over_agent
from latency_bench.sounds import at_level
from latency_bench.wire import voiced_segments
from models.stt.base import SpeechRecognizer

NOISE_DBFS = (-50.0, -40.0, -30.0, -20.0)
ECHO_DB = (-30.0, -20.0, -12.0, -6.0)
"""How loud the agent comes back, against itself."""
ECHO_DELAY_S = 0.15
AGENT_DBFS = -20.0
"""The agent's speech, where it is voiced."""
CALLER_DBFS = -26.0
"""The caller's speech, where it is voiced: the nominal level of a telephone (ITU-T P.56, P.800)."""
LONGEST_S = 60.0
LEAD_S = 2.0
AFTER_S = 2.0
SOON_S = 1.5
"""A stop so soon after the caller's last voiced sample is still one for these words."""
GAP_S = 0.3
BEHIND_NOISE_DBFS = -45.0
BEHIND_ECHO_DB = (-20.0, -10.0)
"""What lies under true barge-ins."""


@dataclass(frozen=True, slots=True)
class Background:
    """Sound that is no caller, as it reaches the box. ``level_db``: dBFS, or the echo's return."""

    kind: str
    level_db: float
    pcm: NDArray[np.int16]
    """At the codec's ``line_hz``."""
    false_alarm: bool = True
    """Whether a stop for it is one that nobody wanted; a talker beside the caller may mean it."""
    played: NDArray[np.int16] | None = None
    """Of an echo: what the agent said."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """How often the box would have stopped for a background."""

    kind: str
    level_db: float
    stops: int
    minutes: float
    false_alarm: bool
    holds: int = 0
    """How often it was held back, and went on."""
    held_s: float = 0.0
    """How long, all of them together."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What lies under a caller's words. ``pcm``: at the codec's ``line_hz``."""

    pcm: NDArray[np.int16]
    played: NDArray[np.int16] | None = None
    """Of an echo: what the agent said, as long as ``pcm``."""


@dataclass(frozen=True, slots=True)
class Barged:
    """One word of a caller over the speaking agent."""

    clip: Clip
    behind: str
    hold_s: float | None
    """From its first voiced sample to silence: the agent held back; None: it was not."""
    stop_s: float | None
    """From there to the decision to give the answer up; None: not caught."""
    stopped_before: bool
    """The background alone had stopped the agent already."""


def backgrounds(material: Material, codec: LineCodec = PCMU) -> list[Background]:
    """Every noise at every level, and the agent's own voice at every echo's strength."""
    found: list[Background] = []
    for kind in dict.fromkeys(noise.kind for noise in material.noises):
        if kind == "cough":
            continue
        pcm = _limited(material.noise(kind))
        for level_dbfs in NOISE_DBFS:
            heard = through(at_level(pcm.astype(np.float64), level_dbfs), CLIP_HZ, codec)
            found.append(Background(kind, level_dbfs, heard, kind != "competing"))
    agent = agent_speech(material, codec.line_hz)
    return found + [
        Background("echo", level, _echo(agent, codec, level), played=agent) for level in ECHO_DB
    ]


def agent_speech(material: Material, rate_hz: int) -> NDArray[np.int16]:
    """The agent's voice, prompt after prompt, up to ``LONGEST_S``, at ``AGENT_DBFS``."""
    gap = np.zeros(round(GAP_S * CLIP_HZ), np.int16)
    pieces = [piece for prompt in material.prompts for piece in (prompt.pcm, gap)]
    return resampled(
        at_speech_level(_limited(np.concatenate(pieces)), AGENT_DBFS), CLIP_HZ, rate_hz
    )


def alarms(
    background: Background, ear: OfflineEar, recogniser: SpeechRecognizer, rate_hz: int
) -> Alarms:
    """One background while the agent speaks."""
    found = over_agent(
        background.pcm, rate_hz, ear.vad, ear.settings, recogniser, background.played
    )
    in_vain = found.in_vain
    return Alarms(
        background.kind,
        background.level_db,
        len(found.stops_s),
        len(background.pcm) / rate_hz / 60,
        background.false_alarm,
        len(in_vain),
        sum(o.decided_s - o.held_at_s for o in in_vain if o.decided_s is not None),
    )


def behind(material: Material, codec: LineCodec = PCMU) -> dict[str, Layer]:
    """What lies under true barge-ins, by name, at ``codec.line_hz``; nothing, first."""
    agent = agent_speech(material, codec.line_hz)
    layers = {"quiet": Layer(np.zeros(codec.line_hz, np.int16))}
    for kind in ("pink", "music", "babble"):
        pcm = _limited(material.noise(kind)).astype(np.float64)
        level = at_level(pcm, BEHIND_NOISE_DBFS)
        layers[f"{kind} at {BEHIND_NOISE_DBFS:g} dBFS"] = Layer(through(level, CLIP_HZ, codec))
    for level_db in BEHIND_ECHO_DB:
        layers[f"echo at {level_db:g} dB"] = Layer(_echo(agent, codec, level_db), agent)
    return layers


def barge(
    clip: Clip,
    name: str,
    layer: Layer,
    ear: OfflineEar,
    recogniser: SpeechRecognizer,
    codec: LineCodec = PCMU,
) -> Barged:
    """``clip`` said over the speaking agent, with ``layer`` under it.

    The layer runs for ``LEAD_S`` before; whatever it does to the box by itself shows there.
    """
    rate_hz = codec.line_hz
    word = through(at_speech_level(clip.pcm, CALLER_DBFS), CLIP_HZ, codec)
    segments = voiced_segments(word, rate_hz)
    first, last = (segments[0].first, segments[-1].last) if segments else (0, len(word) - 1)
    lead = round(LEAD_S * rate_hz)
    count = lead + len(word) + round(AFTER_S * rate_hz)
    mixed = np.resize(layer.pcm, count).astype(np.int32)
    mixed[lead : lead + len(word)] += word
    pcm = np.clip(mixed, -32768, 32767).astype(np.int16)
    played = None if layer.played is None else np.resize(layer.played, count)
    found = over_agent(pcm, rate_hz, ear.vad, ear.settings, recogniser, played)
    onset_s, over_s = (lead + first) / rate_hz, (lead + last) / rate_hz
    caught = [stop_s for stop_s in found.stops_s if onset_s <= stop_s <= over_s + SOON_S]
    held = [o.held_at_s for o in found.overlaps if onset_s <= o.held_at_s <= over_s]
    early = any(stop_s < onset_s for stop_s in found.stops_s)
    return Barged(
        clip,
        name,
        held[0] - onset_s if held else None,
        caught[0] - onset_s if caught else None,
        early,
    )


def barge_all(
    clips: Sequence[Clip],
    layers: dict[str, Layer],
    ear: OfflineEar,
    recogniser: SpeechRecognizer,
    codec: LineCodec = PCMU,
) -> Iterator[Barged]:
    """Every clip over every layer."""
    for name, layer in layers.items():
        for clip in clips:
            yield barge(clip, name, layer, ear, recogniser, codec)


def coughs(material: Material) -> list[Clip]:
    """Each cough as a clip of its own, one second long."""
    pcm = material.noise("cough")
    return [
        Clip(f"cough {number + 1}", "generated", "", pcm[at : at + CLIP_HZ])
        for number, at in enumerate(range(0, len(pcm) - CLIP_HZ + 1, CLIP_HZ))
    ]


def at_speech_level(pcm: NDArray[np.int16], level_dbfs: float) -> NDArray[np.int16]:
    """``pcm``, at ``CLIP_HZ``, brought to this level where it is voiced."""
    power = speech_power(pcm, CLIP_HZ)
    if not power:
        return pcm
    scaled = pcm * (10 ** (level_dbfs / 20) * 32768 / np.sqrt(power))
    made: NDArray[np.int16] = np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
    return made


def _echo(agent: NDArray[np.int16], codec: LineCodec, level_db: float) -> NDArray[np.int16]:
    return echo_of(agent, codec.line_hz, codec, level_db, ECHO_DELAY_S)[: len(agent)]


def _limited(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    return pcm[: round(LONGEST_S * CLIP_HZ)]
