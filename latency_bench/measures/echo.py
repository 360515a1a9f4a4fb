"""The caller's own voice in what comes back. Pure.

Each part of what the caller said is looked for in the received sound at every delay up to a second,
by cross-correlation. Both are pre-emphasised first, so that vowels which happen to be alike count
for less. An echo stands out over all other delays, and at the same delay each time. Where there is
one, what it explains of the received sound is no voice of the agent's.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft

from latency_bench.recording import CallRecording, Said
from latency_bench.wire import Stream

RATE_HZ = 8_000
LONGEST_S = 1.0
EARLY_S = 0.05
"""Packets that came together seem to come before what they echo."""
PIECE_S = 10.0
"""So much of each part is looked for, and so many parts before it is decided that there is none."""
PARTS = 20
OVER_CHANCE = 12.0
"""An echo's correlation, in standard deviations of those at all other delays."""
SAME_DELAY_S = 0.03
"""By so much may one part's echo come sooner than another's: packets jitter."""
QUIETEST_DB = -50.0
"""An echo under this troubles nobody, and codec noise may look like it."""
EMPHASIS = 0.95


WINDOW_S = 0.02
EXPLAINED = 0.6
"""Where the echo makes up this share of a window's energy, nobody else speaks."""
AS_LOUD = 2.0
"""Nor where it has no more energy than this many times the echo's around it: a lossy codec keeps
a sound's loudness better than its shape."""
AROUND_WINDOWS = 2
BETWEEN_WINDOWS = 5
"""So many windows between such ones go with them: a codec does not keep every sound's shape."""


@dataclass(frozen=True, slots=True)
class Echo:
    """``level_db``: relative to what was sent. ``spans``: first sample and end of each stretch of
    the received stream that is the caller's voice and nobody else's."""

    level_db: float
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Found:
    delay_s: float
    gain: float
    spans: list[tuple[int, int]]


def echo_of(recording: CallRecording) -> Echo | None:
    """The caller's voice in the received sound; None: not found."""
    spoken = [said for said in recording.said if said.kind == "speech"]
    found = [hit for said in spoken[:PARTS] if (hit := _search(recording, said))]
    if not found:
        return None
    delay_s = float(np.median([hit.delay_s for hit in found]))
    agreed = [hit for hit in found if _same_delay(hit, delay_s)]
    # Chance finds one delay here and another there.
    if len(agreed) * 3 < len(spoken[:PARTS]):
        return None
    level_db = 20 * math.log10(max(float(np.median([hit.gain for hit in agreed])), 1e-9))
    if level_db < QUIETEST_DB:
        return None
    for said in spoken[PARTS:]:
        if (hit := _search(recording, said)) and _same_delay(hit, delay_s):
            agreed.append(hit)
    return Echo(level_db, tuple(span for hit in agreed for span in hit.spans))


def without_echo(stream: Stream, echo: Echo) -> Stream:
    """The received stream with silence in place of the echo."""
    pcm = stream.pcm.copy()
    for first, end in echo.spans:
        pcm[first:end] = 0
    return replace(stream, pcm=pcm)


def _same_delay(hit: _Found, delay_s: float) -> bool:
    return abs(hit.delay_s - delay_s) <= SAME_DELAY_S


def _search(recording: CallRecording, said: Said) -> _Found | None:
    sent, received = recording.sent, recording.received
    if not len(received.pcm):
        return None
    end = min(said.last + 1, said.first + round(PIECE_S * sent.rate_hz))
    voice = _narrow(sent.pcm[said.first : end], sent.rate_hz)
    delays = round((EARLY_S + LONGEST_S) * RATE_HZ)
    from_sample = _sample_at(received, sent.time_s(said.first) - EARLY_S)
    samples = round((len(voice) + delays) / RATE_HZ * received.rate_hz)
    heard = _narrow(_sound_from(received, from_sample, samples), received.rate_hz)
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
    gain = float(np.dot(voice, echoed)) / float(np.dot(voice, voice))
    scale = received.rate_hz / RATE_HZ
    spans = [
        (from_sample + round((place + first) * scale), from_sample + round((place + end) * scale))
        for first, end in _explained(echoed, gain * voice)
    ]
    return _Found(
        place / RATE_HZ - EARLY_S,
        abs(gain),
        [(max(0, first), max(0, end)) for first, end in spans],
    )


def _explained(heard: NDArray[np.float32], echo: NDArray[np.float32]) -> list[tuple[int, int]]:
    """First sample and end of each stretch of ``heard`` that is ``echo`` and little else."""
    window = round(WINDOW_S * RATE_HZ)
    count = len(heard) // window
    if not count:
        return []
    shape = (count, window)
    whole = np.square(heard[: count * window].reshape(shape)).sum(axis=1)
    rest = np.square((heard - echo)[: count * window].reshape(shape)).sum(axis=1)
    expected = np.square(echo[: count * window].reshape(shape)).sum(axis=1)
    padded = np.pad(expected, AROUND_WINDOWS)
    around = sliding_window_view(padded, 2 * AROUND_WINDOWS + 1).max(axis=1)
    quiet = (rest <= (1 - EXPLAINED) * whole) | (whole <= AS_LOUD * around)
    spans: list[tuple[int, int]] = []
    for place in np.flatnonzero(quiet).tolist():
        # A window more on either side, where the echo swells and dies away.
        first, end = (place - 1) * window, (place + 2) * window
        if spans and first - spans[-1][1] <= BETWEEN_WINDOWS * window:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((first, end))
    return spans


def _sample_at(stream: Stream, at_s: float) -> int:
    """The sample that crossed the wire then; outside the stream, where it would have."""
    frame = int(np.searchsorted(np.maximum.accumulate(stream.at_s), at_s, side="right")) - 1
    frame = max(frame, 0)
    inside = round((at_s - float(stream.at_s[frame])) * stream.rate_hz)
    return int(stream.frame_start[frame]) + inside


def _sound_from(stream: Stream, first: int, samples: int) -> NDArray[np.int16]:
    """``samples`` of ``stream`` from ``first`` on; silence before its start and after its end."""
    sound = np.zeros(samples, np.int16)
    piece = stream.pcm[max(first, 0) : max(first + samples, 0)]
    skipped = max(-first, 0)
    sound[skipped : skipped + len(piece)] = piece
    return sound


def _narrow(pcm: NDArray[np.int16], rate_hz: int) -> NDArray[np.float32]:
    """At ``RATE_HZ``, full scale 1, without a constant offset."""
    sound: NDArray[np.float32] = pcm.astype(np.float32) / np.float32(32768)
    if rate_hz != RATE_HZ:
        sound = soxr.resample(sound, rate_hz, RATE_HZ)
    if len(sound):
        sound = sound - np.mean(sound, dtype=np.float32)
    return sound


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
