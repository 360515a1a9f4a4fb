"""The caller's own voice in what comes back. Pure.

Each part of what the caller said is looked for in the received sound at every delay up to a second,
by cross-correlation. Both are pre-emphasised first, so that vowels which happen to be alike count
for less. An echo stands out over all other delays, and at the same delay each time.
"""

import math
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft

from latency_bench.recording import CallRecording, Said
from latency_bench.wire import Stream

RATE_HZ = 8_000
LONGEST_S = 1.0
EARLY_S = 0.05
"""Packets that came together seem to come before what they echo."""
PIECE_S = 10.0
"""So much of each part is looked for, and so many parts: an echo hides from none of them."""
PARTS = 20
OVER_CHANCE = 12.0
"""An echo's correlation, in standard deviations of those at all other delays."""
SAME_DELAY_S = 0.03
"""By so much may one part's echo come sooner than another's: packets jitter."""
QUIETEST_DB = -50.0
"""An echo under this troubles nobody, and codec noise may look like it."""
EMPHASIS = 0.95


@dataclass(frozen=True, slots=True)
class _Found:
    delay_s: float
    gain: float


def echo_db(recording: CallRecording) -> float | None:
    """Level of the caller's voice in the received sound, relative to it; None: not found."""
    spoken = [said for said in recording.said if said.kind == "speech"][:PARTS]
    found = [hit for said in spoken if (hit := _search(recording, said))]
    if not found:
        return None
    delay_s = float(np.median([hit.delay_s for hit in found]))
    agreed = [hit.gain for hit in found if abs(hit.delay_s - delay_s) <= SAME_DELAY_S]
    # Chance finds one delay here and another there.
    if len(agreed) * 3 < len(spoken):
        return None
    level_db = 20 * math.log10(max(float(np.median(agreed)), 1e-9))
    return level_db if level_db >= QUIETEST_DB else None


def _search(recording: CallRecording, said: Said) -> _Found | None:
    sent, received = recording.sent, recording.received
    end = min(said.last + 1, said.first + round(PIECE_S * sent.rate_hz))
    voice = _narrow(sent.pcm[said.first : end], sent.rate_hz)
    delays = round((EARLY_S + LONGEST_S) * RATE_HZ)
    from_s = sent.time_s(said.first) - EARLY_S
    heard = _narrow(
        _sound_from(received, from_s, round((len(voice) + delays) / RATE_HZ * received.rate_hz)),
        received.rate_hz,
    )
    if len(voice) < RATE_HZ // 10 or not heard.any():
        return None
    correlation = _correlation(_emphasised(heard), _emphasised(voice))[:delays]
    place = int(np.argmax(np.abs(correlation)))
    near = round(0.002 * RATE_HZ)
    others = np.concatenate((correlation[: max(0, place - near)], correlation[place + near + 1 :]))
    chance = math.sqrt(float(np.mean(np.square(others)))) if len(others) else 0.0
    if abs(float(correlation[place])) < OVER_CHANCE * max(chance, 1e-12):
        return None
    echoed = heard[place : place + len(voice)]
    voice = voice[: len(echoed)]
    gain = abs(float(np.dot(voice, echoed))) / float(np.dot(voice, voice))
    return _Found(place / RATE_HZ - EARLY_S, gain)


def _sound_from(stream: Stream, from_s: float, samples: int) -> NDArray[np.int16]:
    """``samples`` of ``stream`` from that time on; silence before its start and after its end."""
    sound = np.zeros(samples, np.int16)
    if not len(stream.pcm):
        return sound
    frame = int(np.searchsorted(np.maximum.accumulate(stream.at_s), from_s, side="right")) - 1
    frame = max(frame, 0)
    inside = round((from_s - float(stream.at_s[frame])) * stream.rate_hz)
    first = int(stream.frame_start[frame]) + inside
    piece = stream.pcm[max(first, 0) : max(first + samples, 0)]
    skipped = max(-first, 0)
    sound[skipped : skipped + len(piece)] = piece
    return sound


def _narrow(pcm: NDArray[np.int16], rate_hz: int) -> NDArray[np.float32]:
    """At ``RATE_HZ``, full scale 1, without a constant offset."""
    sound = pcm.astype(np.float32) / 32768
    if rate_hz != RATE_HZ:
        sound = soxr.resample(sound, rate_hz, RATE_HZ)
    centred: NDArray[np.float32] = sound - sound.mean() if len(sound) else sound
    return centred


def _emphasised(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = sound.copy()
    flat[1:] -= np.float32(EMPHASIS) * sound[:-1]
    return flat


def _correlation(heard: NDArray[np.float32], voice: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of ``voice`` with ``heard`` from each delay on, in samples."""
    size = fft.next_fast_len(len(heard) + len(voice), real=True)
    spectrum = fft.rfft(heard, size) * np.conj(fft.rfft(voice, size))
    found: NDArray[np.float32] = fft.irfft(spectrum, size)
    return found
