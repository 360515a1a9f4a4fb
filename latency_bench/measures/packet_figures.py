"""The agent's packets: what was lost, late and uneven, and what a player would make up. Pure.

A sender may send nothing while it is silent. Its timestamps then jump with the time (RFC 3551's
silence suppression), or stand still (a sender that counts what it sent): neither is a gap on the
wire. What tells a stalled network from a silent sender is what comes next: after a stall, packets
come faster than they are played until the time is made up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_bench.measures.emodel import BUFFER_RANGE_MS
from latency_bench.measures.voices import Voice
from latency_bench.recording import Packets

FIXED_BUFFER_MS = 60.0
BUFFER_PERCENTILE = 99
SILENT_S = 0.1
"""A packet this much later than its timestamp says had silence, or a stall, before it."""
MADE_UP = 0.5
"""Where at least this share of the delay is made up again, it was a stall."""
MID_VOICE_S = 1.0
MID_VOICE_EDGE_S = 0.025
"""A pause of the sender up to ``MID_VOICE_S`` that cuts a voice in two, to within the edge, is a
gap: it ran dry."""
JITTER_GAIN = 1 / 16
JITTER_MEMORY = 1024
"""Differences before these have no weight left in the jitter (15/16 to that power)."""


@dataclass(frozen=True, slots=True)
class PacketFigures:
    """As `figures.WireFigures` says; ``packet_s``: how much sound one holds.

    ``concealed`` is of a player with a fixed buffer of 60 ms; ``adaptive_buffer_ms`` and
    ``adaptive_concealed`` of one whose buffer is as long as 99 of 100 packets need, from 20 to
    200 ms.
    """

    packets: int = 0
    lost: int = 0
    late: int = 0
    gap_max_ms: float | None = None
    gap_p99_ms: float | None = None
    jitter_ms: float | None = None
    concealed: float = 0.0
    adaptive_buffer_ms: float = BUFFER_RANGE_MS[0]
    adaptive_concealed: float = 0.0
    packet_s: float = 0.02


def packet_figures(packets: Packets, voices: Sequence[Voice]) -> PacketFigures:
    """Figures of all packets of a call; ``voices``: when the agent was voiced."""
    _, kept = np.unique(packets.sequence, return_index=True)
    # In the order of arrival, each once.
    kept = np.sort(kept)
    at_s, sequence = packets.at_s[kept], packets.sequence[kept]
    sent_s = packets.timestamp[kept] / packets.clock_hz
    count = len(at_s)
    if not count:
        return PacketFigures()
    lost = int(sequence.max() - sequence.min()) + 1 - count
    late = int(np.count_nonzero(sequence[1:] < np.maximum.accumulate(sequence)[:-1]))
    if count == 1:
        return PacketFigures(packets=1)
    packet_s = _packet_s(sequence, sent_s)
    silent = _silences(at_s, sequence, sent_s, packet_s, voices)
    gaps = np.diff(at_s)[~silent] * 1000
    uneven = np.abs(np.diff(at_s) - np.diff(sent_s))[~silent]
    anchors = np.flatnonzero(np.concatenate(([True], silent)))
    late_ms = _lateness_s(at_s, sent_s, anchors, voices) * 1000
    buffer_ms = float(np.clip(np.percentile(late_ms, BUFFER_PERCENTILE), *BUFFER_RANGE_MS))
    return PacketFigures(
        packets=count,
        lost=lost,
        late=late,
        gap_max_ms=float(gaps.max()) if len(gaps) else None,
        gap_p99_ms=float(np.percentile(gaps, 99)) if len(gaps) else None,
        jitter_ms=_jitter_s(uneven) * 1000 if len(uneven) else None,
        concealed=(_after(late_ms, FIXED_BUFFER_MS) + lost) / (count + lost),
        adaptive_buffer_ms=buffer_ms,
        adaptive_concealed=(_after(late_ms, buffer_ms) + lost) / (count + lost),
        packet_s=packet_s,
    )


def _packet_s(sequence: NDArray[np.int64], sent_s: NDArray[np.float64]) -> float:
    """The usual time between one packet's timestamp and the next one's."""
    steps = np.diff(sent_s)[np.diff(sequence) == 1]
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 0.02


def _silences(
    at_s: NDArray[np.float64],
    sequence: NDArray[np.int64],
    sent_s: NDArray[np.float64],
    packet_s: float,
    voices: Sequence[Voice],
) -> NDArray[np.bool_]:
    """Which intervals between one arrival and the next were the sender's silence.

    Shape (packets - 1,).
    """
    step, gap_s, media_s = np.diff(sequence), np.diff(at_s), np.diff(sent_s)
    # The timestamps went on without packets.
    silent: NDArray[np.bool_] = (step == 1) & (media_s > 1.5 * packet_s)
    delay_s = at_s - sent_s
    for place in np.flatnonzero(~silent & (step == 1) & (gap_s - media_s > SILENT_S)).tolist():
        held_s = float(gap_s[place] - media_s[place])
        until = int(np.searchsorted(at_s, at_s[place + 1] + held_s + SILENT_S, side="right"))
        made_up_s = float(delay_s[place + 1] - delay_s[place + 1 : until].min())
        if made_up_s >= MADE_UP * held_s:
            continue
        silent[place] = not _cuts_voice(
            float(at_s[place]) + packet_s, float(at_s[place + 1]), voices
        )
    return silent


def _cuts_voice(from_s: float, until_s: float, voices: Sequence[Voice]) -> bool:
    if until_s - from_s > MID_VOICE_S:
        return False
    ends = any(abs(voice.ended_s - from_s) <= MID_VOICE_EDGE_S for voice in voices)
    begins = any(abs(voice.began_s - until_s) <= MID_VOICE_EDGE_S for voice in voices)
    inside = any(voice.began_s < from_s and voice.ended_s > until_s for voice in voices)
    return inside or (ends and begins)


def _jitter_s(uneven_s: NDArray[np.float64]) -> float:
    """RFC 3550, 6.4.1: J += (|D| - J) / 16 over every difference; the last J."""
    recent = uneven_s[-JITTER_MEMORY:]
    weights = JITTER_GAIN * (1 - JITTER_GAIN) ** np.arange(len(recent) - 1, -1, -1.0)
    return float(recent @ weights)


def _after(late_ms: NDArray[np.float64], buffer_ms: float) -> int:
    """How many packets come too late for a player that holds each talk spurt back so long."""
    return int(np.count_nonzero(late_ms > buffer_ms + 1e-6))


def _lateness_s(
    at_s: NDArray[np.float64],
    sent_s: NDArray[np.float64],
    anchors: NDArray[np.int64],
    voices: Sequence[Voice],
) -> NDArray[np.float64]:
    """How much later each came than its talk spurt's first packet, by their timestamps.

    A spurt begins after a silence of the sender, and with each stretch of voice: there a player can
    change its delay unheard.
    """
    began = np.searchsorted(at_s, [voice.began_s for voice in voices], side="right") - 1
    starts = np.unique(np.concatenate((anchors, began[began >= 0])))
    spurt = np.searchsorted(starts, np.arange(len(at_s)), side="right") - 1
    anchor = starts[spurt]
    return (at_s - at_s[anchor]) - (sent_s - sent_s[anchor])
