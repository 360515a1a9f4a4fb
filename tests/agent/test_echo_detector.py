"""The agent's own voice, made of noise in syllables, comes back; another's does not count as it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.echo import FRAME_S, EchoDetector

FRAME = 0.02


def voice(seconds: float, rate_hz: int, seed: int) -> NDArray[np.float64]:
    """Syllables of coloured noise with pauses, some -20 dBFS."""
    draw = np.random.default_rng(seed)
    pieces: list[NDArray[np.float64]] = []
    while sum(map(len, pieces)) < seconds * rate_hz:
        count = round(draw.uniform(0.08, 0.25) * rate_hz)
        spectrum = np.fft.rfft(draw.standard_normal(count))
        hz = np.fft.rfftfreq(count, 1 / rate_hz)
        for formant in draw.uniform([300, 900], [900, 3000]):
            spectrum = spectrum * (0.1 + np.exp(-(((hz - formant) / 250) ** 2)))
        syllable = np.fft.irfft(spectrum, count)
        pieces += [
            syllable / syllable.std() * 3000,
            np.zeros(round(draw.choice([0.03, 0.25]) * rate_hz)),
        ]
    return np.concatenate(pieces)[: round(seconds * rate_hz)]


def share_told(
    played: NDArray[np.float64], heard: NDArray[np.float64], rate_hz: int, *, from_s: float = 0.0
) -> tuple[float, EchoDetector]:
    """Of the loud windows after ``from_s``, how many are told to be echo."""
    detector, size, step = EchoDetector(rate_hz), round(FRAME_S * rate_hz), round(FRAME * rate_hz)
    told: list[bool] = []
    sent = 0
    noise = np.random.default_rng(9).standard_normal(len(heard)) * 8
    pcm = np.clip(heard + noise, -32768, 32767).astype(np.int16)
    for first in range(0, len(pcm) - size + 1, size):
        at_s = (first + size) / rate_hz
        while sent * FRAME <= at_s and (sent + 1) * step <= len(played):
            frame = played[sent * step : (sent + 1) * step].astype(np.int16)
            detector.played(frame, sent * FRAME)
            sent += 1
        window = pcm[first : first + size]
        echo = detector.heard(window, at_s)
        if at_s >= from_s and np.abs(heard[first : first + size]).mean() > 40:
            told.append(echo)
    return sum(told) / len(told), detector


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("delay_s", [0.05, 0.3])
@pytest.mark.parametrize("level_db", [-24, -10])
def test_an_echo_is_told_at_any_delay_and_level(
    rate_hz: int, delay_s: float, level_db: int
) -> None:
    agent = voice(6.0, rate_hz, 1)
    late = np.zeros(round(delay_s * rate_hz))
    back = np.concatenate([late, agent])[: len(agent)] * 10 ** (level_db / 20)
    share, detector = share_told(agent, back, rate_hz)
    assert share > 0.9
    assert detector.lag_s == pytest.approx(delay_s, abs=0.05)


@pytest.mark.parametrize("level_db", [None, -24, -14])
def test_a_caller_over_the_agent_is_no_echo(level_db: int | None) -> None:
    agent, caller = voice(9.0, 8000, 1), voice(9.0, 8000, 2) * 0.5
    caller[: 3 * 8000] = 0
    back = np.concatenate([np.zeros(1200), agent])[: len(agent)]
    echo = back * (0.0 if level_db is None else 10 ** (level_db / 20))
    # Only what the caller says is counted; the echo alone is another test's.
    heard = np.where(np.abs(caller) > 0, echo + caller, 0)
    share, _ = share_told(agent, heard, 8000, from_s=3.2)
    assert share < 0.25


def test_without_anything_played_nothing_is_echo() -> None:
    share, detector = share_told(np.zeros(0), voice(3.0, 8000, 2), 8000)
    assert share == 0 and detector.lag_s is None


def test_audio_that_comes_in_fits_is_followed_all_the_same() -> None:
    agent = voice(6.0, 8000, 1)
    back = np.concatenate([np.zeros(1200), agent])[: len(agent)] * 0.1
    detector, told, draw = EchoDetector(8000), [], np.random.default_rng(3)
    sent = 0
    for first in range(0, len(back) - 255, 256):
        at_s = (first + 256) / 8000 + draw.uniform(0, 0.03)
        while (sent + 1) * 160 <= len(agent) and sent * FRAME <= at_s:
            frame = agent[sent * 160 : (sent + 1) * 160].astype(np.int16)
            detector.played(frame, sent * FRAME + draw.uniform(0, 0.02))
            sent += 1
        echo = detector.heard(back[first : first + 256].astype(np.int16), at_s)
        if np.abs(back[first : first + 256]).mean() > 40:
            told.append(echo)
    assert sum(told) / len(told) > 0.85


def test_what_was_told_and_then_held_back_does_no_harm() -> None:
    frames = voice(8.2, 8000, 1).reshape(-1, 160)
    heard = np.zeros((480, 160))
    told: list[tuple[int, int, float]] = []
    for part in range(4):
        # Two seconds, then held for 0.3 s. What was told 0.2 s ahead by then is told again.
        first_tick, first_frame = part * 115, part * 100
        for number in range(110):
            tick, frame = first_tick + number, first_frame + number
            told.append((max(first_tick, tick - 10), frame, tick * FRAME))
            if number < 100:
                heard[tick + 5] = frames[frame] * 0.1
    pcm, detector, loud = heard.reshape(-1).astype(np.int16), EchoDetector(8000), []
    for first in range(0, len(pcm) - 255, 256):
        at_s = (first + 256) / 8000
        while told and told[0][0] * FRAME <= at_s:
            _, frame, when_s = told.pop(0)
            detector.played(frames[frame].astype(np.int16), when_s)
        echo = detector.heard(pcm[first : first + 256], at_s)
        if np.abs(pcm[first : first + 256].astype(int)).mean() > 40:
            loud.append(echo)
    assert sum(loud) / len(loud) > 0.9
    assert detector.lag_s == pytest.approx(0.1, abs=0.03)
