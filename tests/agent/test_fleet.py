"""The fleet's decisions, second by second."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet import (
    ALIVE,
    Action,
    Fleet,
    GiveUp,
    Kill,
    Lost,
    Patience,
    Route,
    Start,
    State,
    Terminate,
)

PATIENCE = Patience(back_off_s=1, back_off_max_s=8, stable_s=60, hang_s=30, leave_s=20)


class Drill:
    """A fleet whose orders are carried out at once, unless told otherwise."""

    def __init__(self, workers: int, reserve: bool = False) -> None:
        self.fleet = Fleet(workers, reserve, PATIENCE)
        self.now_s = 0.0
        self.done: list[Action] = []
        self.route = Route((), ())

    def carry_out(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            self.done.append(action)
            if isinstance(action, Route):
                self.route = action
        return actions

    def tick(self, s: float = 1.0) -> list[Action]:
        self.now_s += s
        return self.carry_out(self.fleet.tick(self.now_s))

    def ready(self, seat: int, calls: int = 0) -> list[Action]:
        return self.carry_out(self.fleet.answered(seat, calls, self.now_s))

    def exit(self, seat: int, status: int = -9) -> list[Action]:
        return self.carry_out(self.fleet.exited(seat, status, self.now_s))

    def up(self) -> "Drill":
        """Everything started and ready."""
        self.tick()
        for _ in self.fleet.seats:
            for seat in self.fleet.seats:
                if seat.state is State.STARTING:
                    self.ready(seat.number)
        self.done.clear()
        return self

    def states(self) -> list[State]:
        return [seat.state for seat in self.fleet.seats]


def starts(drill: Drill) -> Iterator[int]:
    return (action.seat for action in drill.done if isinstance(action, Start))


def test_one_starts_at_a_time_and_serves_as_soon_as_it_is_ready() -> None:
    drill = Drill(2)
    assert drill.tick() == [Start(1)]
    assert drill.tick() == []
    assert drill.ready(1) == [Route((1,), ()), Start(2)]
    assert drill.ready(2) == [Route((1, 2), ())]


def test_the_reserve_waits_and_takes_over_at_once() -> None:
    drill = Drill(2, reserve=True).up()
    assert drill.states() == [State.SERVING, State.SERVING, State.RESERVE]
    assert drill.exit(1) == [Route((2, 3), ()), Lost(1, "killed by signal 9", 1)]
    # The dead one comes back as the reserve.
    drill.tick()
    assert drill.ready(1) == []
    assert drill.states() == [State.RESERVE, State.SERVING, State.SERVING]


def test_without_room_there_is_no_reserve_until_there_is() -> None:
    drill = Drill(1, reserve=True)
    drill.fleet.room_for_reserve = False
    drill.up()
    assert drill.states() == [State.SERVING, State.DOWN]
    drill.fleet.room_for_reserve = True
    assert drill.tick() == [Start(2)]


def test_back_off_doubles_up_to_its_limit_and_is_forgiven_after_a_stable_time() -> None:
    drill = Drill(1).up()
    waits = []
    for _ in range(6):
        (lost,) = [a for a in drill.exit(1) if isinstance(a, Lost)]
        assert lost.again_in_s is not None
        waits.append(lost.again_in_s)
        assert not list(starts(drill))
        assert drill.tick(lost.again_in_s) == [Start(1)]
        drill.ready(1)
        drill.done.clear()
    assert waits == [1, 2, 4, 8, 8, 8]
    for _ in range(61):
        drill.tick()
        drill.ready(1)
    assert Lost(1, "killed by signal 9", 1) in drill.exit(1)


def test_one_that_an_operator_told_to_leave_is_replaced_and_no_failure() -> None:
    drill = Drill(1, reserve=True).up()
    assert drill.exit(1, 0) == [Route((2,), ())]
    assert drill.fleet.seats[0].failures == 0
    assert drill.tick(1) == [Start(1)]


def test_a_seat_that_keeps_failing_does_not_keep_others_out() -> None:
    drill = Drill(2)
    drill.tick()
    drill.exit(1, 1)
    assert drill.tick(0) == [] and list(starts(drill)) == [1, 2]
    drill.ready(2)
    assert drill.route == Route((2,), ())


def test_settings_at_fault_end_it_all_where_no_worker_ever_ran() -> None:
    drill = Drill(2)
    drill.tick()
    assert drill.exit(1, 2) == [GiveUp(2)]


def test_settings_at_fault_later_are_tried_again() -> None:
    drill = Drill(2).up()
    drill.exit(1)
    drill.tick(1)
    assert Lost(1, "exit status 2", 2) in drill.exit(1, 2)


def test_one_that_hangs_is_killed_once_and_said_so() -> None:
    drill = Drill(2).up()
    for _ in range(30):
        drill.tick()
        drill.ready(2)
    assert drill.tick() == [Kill(1, "said nothing for 30 s")]
    assert drill.tick() == []
    assert Lost(1, "said nothing for 30 s", 1) in drill.exit(1)


def test_one_that_does_not_get_ready_is_killed() -> None:
    drill = Drill(1)
    drill.tick()
    assert drill.tick(601) == [Kill(1, "not ready within 600 s")]


def test_stopping_leads_calls_away_first_then_lets_them_finish() -> None:
    drill = Drill(2).up()
    actions = drill.carry_out(drill.fleet.stop(drill.now_s))
    assert actions == [Route((), (1, 2)), Terminate(1), Terminate(2)]
    assert not drill.fleet.over
    assert drill.exit(1, 0) == [Route((), (2,))]
    assert drill.tick(20) == []
    assert drill.tick() == [Kill(2, "not gone within 20 s of being told to leave")]
    (route, lost) = drill.exit(2, -9)
    assert route == Route((), ()) and isinstance(lost, Lost) and lost.again_in_s is None
    assert drill.fleet.over


def test_stopping_ends_what_is_still_loading() -> None:
    drill = Drill(2)
    drill.tick()
    assert drill.fleet.stop(drill.now_s) == [Route((), (1,)), Terminate(1)]
    drill.exit(1, -15)
    assert drill.fleet.over and drill.tick() == []


@pytest.mark.parametrize("reserve", [True, False])
def test_renewing_replaces_each_once_with_full_strength_where_there_is_a_reserve(
    reserve: bool,
) -> None:
    drill = Drill(2, reserve).up()
    drill.fleet.renew()
    gone: list[int] = []
    for _ in range(40):
        drill.tick()
        for seat in drill.fleet.seats:
            if seat.state is State.LEAVING:
                gone.append(seat.number)
                assert len(drill.route.serving) == (2 if reserve else 1)
                drill.exit(seat.number, 0)
            elif seat.state is State.STARTING:
                drill.ready(seat.number)
    assert sorted(gone) == [seat.number for seat in drill.fleet.seats]
    assert len(drill.route.serving) == 2
    assert not any(isinstance(action, Lost) for action in drill.done)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["tick", "ready", "exit", "renew", "stop"]),
        st.integers(1, 4),
        st.sampled_from([0, 1, 2, -9]),
        st.sampled_from([0.0, 1.0, 10.0, 100.0]),
    ),
    max_size=60,
)


@given(EVENTS, st.booleans())
def test_whatever_happens_calls_go_to_living_workers_and_one_loads_at_a_time(
    events: list[tuple[str, int, int, float]], reserve: bool
) -> None:
    drill = Drill(3, reserve)
    for kind, number, status, pause_s in events:
        drill.now_s += pause_s
        seats = drill.fleet.seats
        seat = seats[(number - 1) % len(seats)]
        match kind:
            case "tick":
                drill.tick(0)
            case "ready" if seat.state in ALIVE:
                drill.ready(seat.number)
            case "exit" if seat.state in ALIVE:
                drill.exit(seat.number, status)
            case "renew":
                drill.fleet.renew()
            case "stop" if not drill.fleet.stopping:
                drill.carry_out(drill.fleet.stop(drill.now_s))
        states = drill.states()
        assert {seats[n - 1].state for n in drill.route.serving} <= {State.SERVING}
        assert drill.fleet.serving == len(drill.route.serving) <= 3
        assert states.count(State.STARTING) <= 1
        if drill.fleet.stopping:
            assert not drill.route.serving
