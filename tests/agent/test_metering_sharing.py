"""Whose is what the machine spent: worked by hand, and over anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.metering.reading import Reading, Spent, spent_between
from agent.metering.sharing import PATIENCE_S, Part, Sharing
from agent.usage import Usage


def idle(sharing: Sharing, cores: float, *, cpu_w: float | None = None) -> None:
    """A second without calls."""
    watts = None if cpu_w is None else cpu_w
    assert sharing.take(Spent(1.0, cores, cores, watts), {}) == {}


def test_without_a_call_all_is_nobodys() -> None:
    sharing = Sharing()
    idle(sharing, 0.02)
    assert sharing.unclaimed == Usage(cpu_s=0.02)


def test_one_call_gets_all_but_what_the_box_takes_anyway() -> None:
    sharing = Sharing()
    idle(sharing, 0.02)
    given = sharing.take(Spent(1.0, 0.52, 0.6), {"a": Part(1.0, 0.4)})
    assert given["a"].cpu_s == pytest.approx(0.5)
    assert sharing.waiting == Usage()


def test_engines_go_by_work_and_the_wire_by_presence() -> None:
    sharing = Sharing()
    idle(sharing, 0.0)
    quiet = {"a": Part(1.0), "b": Part(1.0)}
    for _ in range(4):
        # What was quiet is known a second later; what it took until then waits, or is shared.
        sharing.take(Spent(1.0, 0.1, 0.1), quiet)
    sharing.take(Spent(1.0, 0.1, 0.1), {"a": Part(1.0, 0.001), "b": Part(1.0, 0.001)})
    given = sharing.take(Spent(1.0, 1.3, 1.3), {"a": Part(1.0, 0.9), "b": Part(1.0, 0.3)})
    # 0.05 each for the wire, and 1.2 by 3 to 1: an engine may run on several threads.
    assert given["a"].cpu_s == pytest.approx(0.95)
    assert given["b"].cpu_s == pytest.approx(0.35)


def test_who_was_there_for_half_the_time_bears_half_of_the_wire() -> None:
    sharing = Sharing()
    idle(sharing, 0.0)
    parts = {"a": Part(PATIENCE_S), "b": Part(PATIENCE_S / 2)}
    given = sharing.take(Spent(PATIENCE_S, 0.3, 0.3), parts)
    assert given["a"].cpu_s == pytest.approx(0.2)
    assert given["b"].cpu_s == pytest.approx(0.1)


def test_work_that_is_told_late_still_gets_its_seconds() -> None:
    sharing = Sharing()
    idle(sharing, 0.0)
    first = sharing.take(Spent(1.0, 0.8, 0.8), {"a": Part(1.0), "b": Part(1.0)})
    assert first == {"a": Usage(), "b": Usage()}
    assert sharing.waiting.cpu_s == pytest.approx(0.8)
    then = sharing.take(Spent(1.0, 0.2, 0.2), {"a": Part(1.0, 1.0), "b": Part(1.0)})
    assert (then["a"].cpu_s, then["b"].cpu_s) == (pytest.approx(1.0), 0.0)


def test_joules_count_above_the_idle_draw_and_others_bear_their_own() -> None:
    sharing = Sharing()
    idle(sharing, 0.02, cpu_w=10.0)
    # 30 J above idle; half of the processor's time was another program's.
    given = sharing.take(Spent(2.0, 1.04, 2.0, cpu_j=50.0), {"a": Part(2.0, 1.0)})
    assert given["a"].energy_j == pytest.approx(30.0 * 1.0 / 2.0)


def test_a_busy_machine_does_not_tell_its_idle_draw() -> None:
    sharing = Sharing()
    assert sharing.take(Spent(1.0, 0.01, 1.9, cpu_j=60.0), {}) == {}
    given = sharing.take(Spent(1.0, 0.5, 1.0, cpu_j=60.0), {"a": Part(1.0, 0.5)})
    assert given["a"].energy_j == 0.0  # not measured


def test_a_gpu_goes_by_the_work_done_on_it() -> None:
    sharing = Sharing()
    sharing.take(Spent(1.0, 0.0, 0.0, gpu_s=0.0, gpu_j=70.0), {})
    parts = {"a": Part(1.0, 0.5, 0.5), "b": Part(1.0, 1.0, 0.0)}
    given = sharing.take(Spent(1.0, 0.0, 0.0, gpu_s=0.6, gpu_j=370.0), parts)
    assert given["a"].gpu_s == pytest.approx(0.6)
    assert given["a"].energy_j == pytest.approx(300.0)
    assert given["b"] == Usage()


def test_a_gpu_that_works_for_others_is_nobodys() -> None:
    sharing = Sharing()
    parts = {"a": Part(PATIENCE_S)}
    assert sharing.take(Spent(PATIENCE_S, 0.0, 0.0, gpu_s=2.0), parts) == {"a": Usage()}
    assert sharing.unclaimed.gpu_s == pytest.approx(2.0)


SECONDS = st.floats(0, 5, allow_nan=False)
PARTS = st.dictionaries(
    st.sampled_from("abcd"), st.builds(Part, present_s=SECONDS, cpu_work_s=SECONDS), max_size=4
)
SPENT = st.tuples(st.floats(0.01, 5), SECONDS, SECONDS, SECONDS).map(
    lambda t: Spent(t[0], t[1], t[1] + t[2], gpu_s=t[3])
)


@settings(deadline=None)
@given(st.lists(st.tuples(SPENT, PARTS), max_size=12))
def test_nothing_is_lost_or_given_twice(intervals: list[tuple[Spent, dict[str, Part]]]) -> None:
    sharing, total = Sharing(), Usage()
    for spent, parts in intervals:
        given = sharing.take(spent, parts)
        assert set(given) == set(parts)
        assert all(usage.cpu_s >= 0 and usage.gpu_s >= 0 for usage in given.values())
        total = sum(given.values(), total)
    whole = total + sharing.unclaimed + sharing.waiting
    assert whole.cpu_s == pytest.approx(sum(spent.process_s for spent, _ in intervals))
    assert whole.gpu_s == pytest.approx(sum(spent.gpu_s for spent, _ in intervals))


def test_counters_that_begin_anew_take_nothing_back() -> None:
    before = Reading(10.0, 5.0, 100.0, cpu_j=500.0, gpu_s=3.0, gpu_j=None)
    after = Reading(12.0, 4.0, 90.0, cpu_j=400.0, gpu_s=2.0, gpu_j=10.0)
    assert spent_between(before, after) == Spent(2.0, 0.0, 0.0, 0.0, 0.0, None)
