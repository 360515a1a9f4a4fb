"""Received audio stays on the wall clock: a simulated network, and no network at all."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from telephony.continuity import Continuity

RATE_HZ = 8000
PACKET = 160
MINUTES_S = 600.0
SUSTAINED_S = 1.0


@dataclass
class Heard:
    """What became of a stream."""

    late_s: NDArray[np.float64]
    """How far the stream was behind the wall clock at each look."""
    look_s: float
    put_in: int = 0
    left_out: int = 0
    lost: int = 0
    corrections: list[tuple[float, int]] = field(default_factory=list)

    def sustained_ms(self) -> tuple[float, float]:
        """(latest, earliest) that it was for a whole second, whatever it was in between."""
        windows = sliding_window_view(self.late_s, int(SUSTAINED_S / self.look_s))
        return float(windows.min(1).max()) * 1000, float(windows.max(1).min()) * 1000


def listen(
    *,
    seconds: float = MINUTES_S,
    delay_s: Callable[[float], float] = lambda _: 0.0,
    lost: Callable[[float], bool] = lambda _: False,
    ppm: float = 0.0,
    look_s: float = 0.01,
    uneven_s: float = 0.0,
    seed: int = 1,
) -> Heard:
    """20 ms packets through a network that keeps their order, looked for every ``look_s``."""
    chance = random.Random(seed)
    arrivals, latest_s, missing = [], 0.0, 0
    for number in range(int(seconds / 0.02)):
        sent_s = number * 0.02 * (1 - ppm * 1e-6)
        if lost(sent_s):
            missing += PACKET
            continue
        latest_s = max(latest_s, sent_s + delay_s(sent_s))
        arrivals.append(latest_s)
    continuity = Continuity(RATE_HZ)
    now_s, next_packet, stream, began_s = 0.0, 0, 0, -1.0
    late_s = []
    heard = Heard(np.empty(0), look_s + uneven_s / 2, lost=missing)
    while now_s < seconds:
        now_s += look_s + chance.random() * uneven_s
        samples = 0
        while next_packet < len(arrivals) and arrivals[next_packet] <= now_s:
            samples += PACKET
            next_packet += 1
        change = continuity.take(samples, now_s)
        # What is left out is always of what has just come.
        assert change >= -samples
        heard.put_in += max(0, change)
        heard.left_out -= min(0, change)
        if change:
            heard.corrections.append((now_s, change))
        stream += samples + change
        if began_s < 0 and samples:
            began_s = now_s - samples / RATE_HZ
        if began_s >= 0:
            late_s.append(now_s - began_s - stream / RATE_HZ)
    heard.late_s = np.array(late_s)
    return heard


@pytest.mark.parametrize(("loss", "seed"), [(0.01, 3), (0.05, 4), (0.1, 5)])
def test_ten_minutes_of_loss_stay_on_the_clock(loss: float, seed: int) -> None:
    chance = random.Random(seed)
    heard = listen(lost=lambda _: chance.random() < loss)
    latest_ms, earliest_ms = heard.sustained_ms()
    assert latest_ms <= 20.1
    assert earliest_ms >= -20.1
    assert heard.put_in == pytest.approx(heard.lost, abs=3 * PACKET)
    assert heard.left_out == 0
    # Nothing adds up: at the end it is where it was.
    assert abs(heard.late_s[-100:].min()) <= 0.0201


def test_loss_in_heavy_jitter_does_not_add_up() -> None:
    chance = random.Random(6)
    heard = listen(lost=lambda _: chance.random() < 0.05, delay_s=lambda _: chance.random() * 0.06)
    latest_ms, earliest_ms = heard.sustained_ms()
    # It takes longer to tell loss from delay; six packets may be lost in that time.
    assert latest_ms <= 120.1
    assert earliest_ms >= -20.1
    assert heard.put_in - heard.left_out == pytest.approx(heard.lost, abs=6 * PACKET)


@pytest.mark.parametrize("seed", range(4))
def test_jitter_alone_alters_nothing(seed: int) -> None:
    chance = random.Random(seed)
    heard = listen(delay_s=lambda _: chance.random() * 0.06, uneven_s=0.01)
    assert heard.corrections == []


@pytest.mark.parametrize("ppm", [-100, 100])
@pytest.mark.parametrize("jitter_s", [0.0, 0.06])
def test_a_clock_that_runs_wrong_is_made_up_for(ppm: float, jitter_s: float) -> None:
    chance = random.Random(7)
    heard = listen(ppm=ppm, delay_s=lambda _: chance.random() * jitter_s)
    latest_ms, earliest_ms = heard.sustained_ms()
    assert latest_ms <= 30.1
    assert earliest_ms >= -30.1
    # 100 ppm of ten minutes are 60 ms: three frames, and no more is touched.
    assert len(heard.corrections) <= 5
    assert (heard.left_out if ppm > 0 else heard.put_in) >= PACKET
    assert (heard.put_in if ppm > 0 else heard.left_out) == 0


def test_an_outage_and_the_gaps_of_keys_and_silence_are_filled() -> None:
    gaps = [(60.0, 62.0), *((100 + 3.0 * n, 100 + 3.0 * n + 0.22) for n in range(50))]
    gaps += [(300 + 4.0 * n, 300 + 4.0 * n + 2.5) for n in range(50)]
    heard = listen(lost=lambda at: any(begin <= at < end for begin, end in gaps))
    assert abs(heard.late_s).max() <= 0.12
    latest_ms, earliest_ms = heard.sustained_ms()
    assert -20.1 <= earliest_ms and latest_ms <= 20.1
    assert heard.put_in == heard.lost
    assert heard.left_out == 0


def test_what_comes_late_after_all_is_kept_and_made_up_for() -> None:
    # 0.3 s are held up on the way at second 10, and then come at once.
    heard = listen(seconds=60, delay_s=lambda at: max(0.0, 10.3 - at) if 10 <= at < 10.3 else 0.0)
    assert heard.put_in > 0
    assert heard.left_out == heard.put_in
    # Never more than a frame at a time, and never two in a row.
    outs = [at for at, change in heard.corrections if change < 0]
    assert all(change >= -PACKET for _, change in heard.corrections if change < 0)
    assert min(np.diff(outs)) >= 0.39
    assert abs(heard.late_s[-500:]).max() <= 0.0301


def test_a_delay_that_stays_is_followed() -> None:
    # A jitter buffer that grew: all that follows is later, and nothing was lost.
    heard = listen(seconds=60, delay_s=lambda at: 0.06 if at > 20 else 0.0)
    assert heard.put_in in (2 * PACKET, 3 * PACKET)
    assert abs(heard.late_s[-500:]).max() <= 0.0301


def test_a_call_resumed_from_hold_begins_anew() -> None:
    continuity = Continuity(RATE_HZ)
    for number in range(100):
        assert continuity.take(PACKET, number * 0.02) == 0
    continuity.restart()
    assert continuity.take(0, 500.0) == 0
    for number in range(100):
        assert continuity.take(PACKET, 600 + number * 0.02) == 0


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    uneven_s=st.floats(0, 0.02),
    late_begin_s=st.floats(0, 0.02),
)
def test_nothing_is_altered_where_nothing_is_lost(
    seed: int, uneven_s: float, late_begin_s: float
) -> None:
    chance = random.Random(seed)
    heard = listen(
        seconds=30,
        seed=seed,
        uneven_s=uneven_s,
        delay_s=lambda at: late_begin_s if at == 0 else chance.random() * 0.005,
    )
    assert heard.corrections == []


@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.floats(1, 25), st.floats(0.02, 2.5)), max_size=6),
    loss=st.floats(0, 0.1),
    seed=st.integers(0, 2**32),
)
def test_whatever_is_lost_the_stream_ends_on_the_clock(
    gaps: list[tuple[float, float]], loss: float, seed: int
) -> None:
    chance = random.Random(seed)
    heard = listen(
        seconds=32,
        lost=lambda at: (
            at < 30
            and at > 0
            and (
                any(begin <= at < begin + length for begin, length in gaps)
                or chance.random() < loss
            )
        ),
    )
    assert abs(heard.late_s[-50:]).max() <= 0.0301
    assert abs(heard.put_in - heard.left_out - heard.lost) <= 2 * PACKET
