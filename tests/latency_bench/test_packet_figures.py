"""Packets whose loss, order and delay are known."""

import numpy as np
import pytest
from constructed_call import FRAME, RATE_HZ, packets
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from latency_bench.measures.emodel import mos, mos_of, rating
from latency_bench.measures.packet_figures import PacketFigures, packet_figures
from latency_bench.measures.voices import Voice

COUNT = 500
EVEN = 100 + np.arange(COUNT) * 0.02


def figures(
    at_s: NDArray[np.float64],
    sequence: list[int] | None = None,
    timestamp: list[int] | None = None,
    voices: tuple[Voice, ...] = (),
) -> PacketFigures:
    return packet_figures(packets(at_s, sequence, timestamp), voices)


def voice(from_s: float, until_s: float) -> Voice:
    return Voice(0, 1, from_s, until_s)


def test_an_even_stream_has_nothing_wrong_with_it() -> None:
    found = figures(EVEN)
    assert (found.packets, found.lost, found.late, found.concealed) == (COUNT, 0, 0, 0)
    assert found.gap_max_ms == pytest.approx(20) and found.gap_p99_ms == pytest.approx(20)
    assert found.jitter_ms == pytest.approx(0, abs=1e-6) and found.packet_s == pytest.approx(0.02)


def test_no_packets_and_a_single_one() -> None:
    assert figures(np.zeros(0)) == PacketFigures()
    one = figures(np.array([1.0]))
    assert (one.packets, one.lost, one.gap_max_ms, one.jitter_ms) == (1, 0, None, None)


@given(st.sets(st.integers(1, COUNT - 2), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None)
def test_lost_packets_are_counted_and_made_up(missing: set[int]) -> None:
    kept = [number for number in range(COUNT) if number not in missing]
    found = figures(EVEN[kept], kept)
    assert (found.packets, found.lost, found.late) == (COUNT - len(missing), len(missing), 0)
    assert found.concealed == pytest.approx(len(missing) / COUNT)
    # The player runs by the timestamps, so a loss is no jitter.
    assert found.jitter_ms == pytest.approx(0, abs=1e-6)
    assert found.gap_max_ms is not None and found.gap_max_ms >= 39.9


def test_packets_that_overtook_one_another_are_late_and_not_lost() -> None:
    order = list(range(COUNT))
    order[100], order[101] = 101, 100
    found = figures(EVEN, order)
    assert (found.lost, found.late) == (0, 1)


def test_a_packet_that_came_twice_counts_once() -> None:
    order = [*range(100), 99, *range(100, COUNT - 1)]
    found = figures(EVEN, order)
    assert (found.packets, found.lost, found.late) == (COUNT - 1, 0, 0)


@pytest.mark.parametrize(("late_ms", "made_up"), [(50, 0), (59, 0), (61, 1), (500, 1)])
def test_a_packet_too_late_for_the_player_is_made_up(late_ms: int, made_up: int) -> None:
    at_s = EVEN.copy()
    at_s[200] += late_ms / 1000
    order = np.argsort(at_s, kind="stable")
    found = figures(at_s[order], order.tolist())
    assert found.concealed == pytest.approx(made_up / COUNT)
    assert found.lost == 0 and found.late == (1 if late_ms > 20 else 0)


def test_a_stalled_network_is_a_gap_however_fast_it_makes_up_for_it() -> None:
    at_s = EVEN.copy()
    # Packets 200 to 214 were held until 300 ms after the first of them was due.
    at_s[200:215] = np.maximum(at_s[200:215], at_s[200] + 0.3 + np.arange(15) * 0.0002)
    found = figures(at_s)
    assert found.gap_max_ms == pytest.approx(320, abs=1)
    # Those 60 ms late or less could still be played: 300, 280, ... 62 could not.
    assert found.concealed == pytest.approx(13 / COUNT)


@pytest.mark.parametrize("stamps_go_on", [True, False])
def test_an_agent_that_sends_nothing_in_silence_has_no_gap(stamps_go_on: bool) -> None:
    pause_s = 3.0
    at_s = np.concatenate((EVEN[:250], EVEN[250:] + pause_s))
    stamps = np.arange(COUNT) * FRAME
    if stamps_go_on:
        stamps[250:] += round(pause_s * RATE_HZ)
    voices = (voice(100, 104.8), voice(108.03, 112))
    found = figures(at_s, None, stamps.tolist(), voices)
    assert found.gap_max_ms == pytest.approx(20) and found.concealed == 0
    assert found.jitter_ms == pytest.approx(0, abs=1e-6)


def test_an_agent_that_runs_dry_in_the_middle_of_a_word_has_a_gap() -> None:
    at_s = np.concatenate((EVEN[:250], EVEN[250:] + 0.4))
    found = figures(at_s, voices=(voice(100, 105), voice(105.4, 110)))
    assert found.gap_max_ms == pytest.approx(420)
    # A pause between words, with silence around it, is none.
    found = figures(at_s, voices=(voice(100, 104.9), voice(105.46, 110)))
    assert found.gap_max_ms == pytest.approx(20)


def test_jitter_is_that_of_rfc_3550() -> None:
    late_s = np.abs(np.random.default_rng(4).normal(0, 0.004, COUNT))
    at_s = EVEN + late_s
    expected = 0.0
    for difference in np.diff(late_s):
        expected += (abs(difference) - expected) / 16
    found = figures(at_s)
    assert found.jitter_ms == pytest.approx(expected * 1000, rel=1e-6)


def test_a_slow_clock_is_not_taken_for_packets_that_come_too_late() -> None:
    # 0.02% slow: after ten minutes, 120 ms behind. The player catches up between words.
    count = 30_000
    at_s = np.arange(count) * 0.02 * 1.0002
    voices = [voice(from_s, from_s + 4) for from_s in np.arange(0, 590, 6.0).tolist()]
    assert packet_figures(packets(at_s), voices).concealed == 0
    assert packet_figures(packets(at_s), ()).concealed > 0.4


def test_the_e_model_gives_the_values_of_its_recommendation() -> None:
    # G.107 with all defaults: R = 93.2, MOS 4.41.
    assert rating("PCMU/8000", 0, 0) == pytest.approx(93.2)
    assert mos_of(93.2) == pytest.approx(4.41, abs=0.005)
    assert [mos_of(r) for r in (-5, 0, 100, 120)] == [1, 1, 4.5, 4.5]
    # G.107, table B.1: the limits of "satisfied" and of "nearly all dissatisfied".
    assert mos_of(80) == pytest.approx(4.03, abs=0.01)
    assert mos_of(50) == pytest.approx(2.58, abs=0.005)
    # 5% lost: 95 * 5 / (5 + 25.1).
    assert rating("PCMA/8000", 0.05, 0) == pytest.approx(93.2 - 15.78, abs=0.01)
    # 0.024 * 277.3 + 0.11 * 100.
    assert rating("PCMU/8000", 0, 277.3) == pytest.approx(93.2 - 17.655, abs=0.01)


@given(
    st.floats(0, 1), st.floats(0, 1), st.sampled_from(["PCMU/8000", "opus/48000/2", "G722/8000"])
)
@settings(max_examples=40, deadline=None)
def test_more_loss_and_more_delay_never_sound_better(a: float, b: float, codec: str) -> None:
    less, more = sorted((a, b))
    assert 1 <= mos(codec, more, 40) <= mos(codec, less, 40) <= 4.5
    assert mos(codec, less, 40, network_ms=more * 500) <= mos(codec, less, 40, less * 500)
    assert mos(codec, less, more * 300) <= mos(codec, less, less * 300)


def test_a_sender_in_bursts_sounds_well_behind_a_player_that_adapts() -> None:
    # Five packets at once each 100 ms; the voice begins in the middle of a burst.
    at_s = 100 + (np.arange(COUNT) // 5) * 0.1
    bursts = figures(at_s, voices=(Voice(0, 1, 100.001, 110),))
    assert bursts.lost == 0 and bursts.concealed > 0.1
    assert bursts.adaptive_concealed == 0 and bursts.adaptive_buffer_ms == pytest.approx(80)
    score = mos("PCMU/8000", bursts.adaptive_concealed, 20 + bursts.adaptive_buffer_ms)
    assert score > 4.2
    assert figures(EVEN).adaptive_buffer_ms == 20


def test_no_player_waits_for_ever() -> None:
    at_s = EVEN + np.where(np.arange(COUNT) % 50 == 5, 0.5, 0.0)
    order = np.argsort(at_s, kind="stable")
    found = figures(at_s[order], order.tolist())
    assert found.lost == 0 and found.adaptive_buffer_ms == 200
    assert found.adaptive_concealed == pytest.approx(10 / COUNT)
