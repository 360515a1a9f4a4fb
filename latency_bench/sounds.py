"""Sounds that are no speech: noise, babble, music, a cough. Pure; the same for the same seed."""

import numpy as np
from numpy.typing import NDArray

from latency_bench.scenario import Sound

Samples = NDArray[np.float64]
TALKERS = 6
CHORDS_HZ = ((261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6))
CHORD_S = 0.6
COUGH_S = 0.35


def sound(
    kind: Sound, seconds: float, rate_hz: int, level_dbfs: float, seed: int = 0
) -> NDArray[np.int16]:
    """``seconds`` of it as int16 mono, shape (samples,); ``level_dbfs``: root mean square.

    Babble has the spectrum and the rhythm of several people's speech, and no words.
    """
    count = max(1, round(seconds * rate_hz))
    draw = np.random.default_rng(seed)
    makers = {"white": _white, "pink": _pink, "babble": _babble, "music": _music, "cough": _cough}
    return at_level(makers[kind](count, rate_hz, draw), level_dbfs)


def at_level(samples: Samples, level_dbfs: float) -> NDArray[np.int16]:
    """``samples``, shape (samples,), brought to this root mean square, as int16."""
    power = float(np.mean(np.square(samples)))
    if power <= 0:
        return np.zeros(len(samples), np.int16)
    scaled = samples * (10 ** (level_dbfs / 20) * 32768 / np.sqrt(power))
    pcm: NDArray[np.int16] = np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
    return pcm


def _white(count: int, rate_hz: int, draw: np.random.Generator) -> Samples:
    return draw.standard_normal(count)


def _shaped(count: int, rate_hz: int, draw: np.random.Generator, weight: Samples) -> Samples:
    spectrum = np.fft.rfft(draw.standard_normal(count)) * weight
    return np.fft.irfft(spectrum, count)


def _pink(count: int, rate_hz: int, draw: np.random.Generator) -> Samples:
    hz = np.fft.rfftfreq(count, 1 / rate_hz)
    return _shaped(count, rate_hz, draw, 1 / np.sqrt(np.maximum(hz, 20.0)))


def _babble(count: int, rate_hz: int, draw: np.random.Generator) -> Samples:
    hz = np.fft.rfftfreq(count, 1 / rate_hz)
    at_s = np.arange(count) / rate_hz
    total = np.zeros(count)
    for _ in range(TALKERS):
        # Long-term speech: level to 500 Hz, then 9 dB an octave down (ITU-T P.50, roughly).
        weight = np.where(hz < 500, hz / 500, (np.maximum(hz, 1.0) / 500) ** -1.5)
        syllables_hz, phase = draw.uniform(3, 6), draw.uniform(0, 2 * np.pi)
        envelope = np.clip(np.sin(2 * np.pi * syllables_hz * at_s + phase), 0, None) ** 2
        phrases = np.sin(2 * np.pi * draw.uniform(0.2, 0.5) * at_s + phase) > -0.4
        total += _shaped(count, rate_hz, draw, weight) * envelope * phrases
    return total


def _music(count: int, rate_hz: int, draw: np.random.Generator) -> Samples:
    at_s = np.arange(count) / rate_hz
    within_s = at_s % CHORD_S
    chord = (at_s // CHORD_S).astype(int) % len(CHORDS_HZ)
    total = np.zeros(count)
    for index, notes in enumerate(CHORDS_HZ):
        for note_hz in notes:
            for overtone in (1, 2, 3):
                tone = np.sin(2 * np.pi * note_hz * overtone * at_s) / overtone**2
                total += np.where(chord == index, tone, 0.0)
    return total * np.minimum(within_s / 0.01, 1.0) * np.exp(-within_s * 2.5)


def _cough(count: int, rate_hz: int, draw: np.random.Generator) -> Samples:
    """One burst: a sharp onset, then a decay of a third of a second."""
    at_s = np.arange(count) / rate_hz
    envelope = np.minimum(at_s / 0.005, 1.0) * np.exp(-at_s / 0.08) * (at_s < COUGH_S)
    burst: Samples = _pink(count, rate_hz, draw) * envelope
    return burst
