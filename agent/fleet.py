"""Which worker runs, which takes calls, which waits in reserve. Pure: time is an argument.

Each worker has a seat with ports of its own. A seat is down, starting, in reserve, serving or
leaving::

    DOWN -> STARTING -> RESERVE -> SERVING -> LEAVING -> DOWN
                    `--------------^

As many as were asked for serve; one more may wait in reserve, loaded, and takes the place of
one that dies. One worker starts at a time, so that the first is not held up by the rest. A
worker that dies is started again after a back-off that doubles, and forgets its failures once
it has served for a while.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

EXIT_FAULT = 2
"""A worker's exit status where settings or machine are at fault: no use to try again."""


class State(StrEnum):
    """What a seat's worker does."""

    DOWN = "down"
    STARTING = "starting"
    RESERVE = "reserve"
    SERVING = "serving"
    LEAVING = "leaving"


READY = frozenset({State.RESERVE, State.SERVING})
ALIVE = frozenset({State.STARTING, State.RESERVE, State.SERVING, State.LEAVING})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each thing may take."""

    back_off_s: float = 1.0
    """Before the first new start; doubles with every failure after it."""
    back_off_max_s: float = 60.0
    stable_s: float = 60.0
    """A worker that lived this long since it was ready has no failures to its name."""
    start_s: float = 600.0
    """To load, from start to first answer."""
    hang_s: float = 30.0
    """Without any answer to a question about its status."""
    leave_s: float = 20.0
    """From being told to leave to being killed."""


@dataclass(slots=True)
class Seat:
    """One worker's place."""

    number: int
    """From 1."""
    state: State = State.DOWN
    since_s: float = 0.0
    """When it came into this state."""
    answered_s: float = 0.0
    """When it last said how it is."""
    calls: int = 0
    """Under way at that time."""
    starts: int = 0
    failures: int = 0
    """Deaths in a row."""
    start_at_s: float = 0.0
    """While DOWN: no start before."""
    last_exit: str = ""
    """How its last process ended; empty: it never did."""
    killed_for: str = ""
    """Why it was killed from here."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the seat's process."""

    seat: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Tell the seat's process to finish its calls and end."""

    seat: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the seat's process."""

    seat: int
    why: str


@dataclass(frozen=True, slots=True)
class Route:
    """New calls go to ``serving`` from now on; ``leaving`` still have calls under way."""

    serving: tuple[int, ...]
    leaving: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """The seat's process died with whatever calls it had."""

    seat: int
    why: str
    again_in_s: float | None
    """Until it is started again; None: never."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No worker can start; end with this exit status."""

    status: int


Action = Start | Terminate | Kill | Route | Lost | GiveUp


@dataclass(slots=True)
class Fleet:
    """The state machine. Every method returns what is to be done, in order."""

    workers: int
    """How many serve."""
    reserve: bool = False
    """Whether there is a seat for one more."""
    patience: Patience = field(default_factory=Patience)
    room_for_reserve: bool = True
    """Whether memory allows the one more now; the owner keeps it up to date."""
    seats: list[Seat] = field(init=False)
    stopping: bool = field(default=False, init=False)
    _routed: Route = field(default=Route((), ()), init=False)
    _renew: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.seats = [Seat(number + 1) for number in range(self.workers + self.reserve)]

    def tick(self, now_s: float) -> list[Action]:
        """What time alone brings about; call it about once a second."""
        actions: list[Action] = []
        for seat in self.seats:
            actions += self._overdue(seat, now_s)
        return actions + self._settle(now_s)

    def answered(self, number: int, calls: int, now_s: float) -> list[Action]:
        """The seat's worker said how many calls it has."""
        seat = self._seat(number)
        seat.answered_s, seat.calls = now_s, calls
        if seat.state is State.STARTING:
            self._become(seat, State.RESERVE, now_s)
        return self._settle(now_s)

    def exited(self, number: int, status: int, now_s: float) -> list[Action]:
        """The seat's process ended; ``status`` is negative where a signal ended it."""
        seat = self._seat(number)
        was, lived_s = seat.state, now_s - seat.since_s
        seat.last_exit = seat.killed_for or describe(status)
        # Told to leave from here, or by an operator; either way it finished its calls.
        asked = was is State.LEAVING or (status == 0 and was in READY)
        never_ready = was is State.STARTING
        if was in READY and lived_s >= self.patience.stable_s:
            seat.failures = 0
        seat.failures += not asked
        wait_s = 0.0 if was is State.LEAVING else self._back_off_s(seat.failures)
        seat.calls = 0
        seat.start_at_s = now_s + wait_s
        self._become(seat, State.DOWN, now_s)
        if never_ready and status == EXIT_FAULT and not self._any_alive_or_proven():
            return [GiveUp(status)]
        actions: list[Action] = []
        if not asked or seat.killed_for or status != 0:
            again_in_s = None if self.stopping else wait_s
            actions.append(Lost(number, seat.last_exit, again_in_s))
        # New calls are led elsewhere before anything else is done about the loss.
        return self._settle(now_s) + actions

    def stop(self, now_s: float) -> list[Action]:
        """No new calls; workers end once theirs are over, or their time is."""
        self.stopping = True
        self._renew.clear()
        leaving = [seat for seat in self.seats if seat.state in ALIVE]
        for seat in leaving:
            if seat.state is not State.LEAVING:
                self._become(seat, State.LEAVING, now_s)
        # The edge is told first: a call refused by a worker costs the caller time.
        return self._settle(now_s) + [Terminate(seat.number) for seat in leaving]

    def renew(self) -> None:
        """Replaces every worker by a fresh one, one at a time, losing no call."""
        self._renew = [seat.number for seat in self.seats if seat.state in ALIVE]

    @property
    def serving(self) -> int:
        """How many take calls."""
        return sum(seat.state is State.SERVING for seat in self.seats)

    @property
    def over(self) -> bool:
        """Whether it was stopped and every process has ended."""
        return self.stopping and not any(seat.state in ALIVE for seat in self.seats)

    # -- transitions

    def _settle(self, now_s: float) -> list[Action]:
        """Fills places, starts what is missing, and says who takes calls where that changed."""
        if self.stopping:
            return self._route()
        for seat in self._in(State.RESERVE):
            if self.serving < self.workers:
                self._become(seat, State.SERVING, now_s)
        actions = self._renew_next(now_s)
        return self._route() + actions + self._start_next(now_s)

    def _start_next(self, now_s: float) -> list[Action]:
        if any(self._in(State.STARTING)):
            return []
        staffed = sum(seat.state in (State.RESERVE, State.SERVING) for seat in self.seats)
        wanted = self.workers + (self.reserve and self.room_for_reserve)
        due = [seat for seat in self._in(State.DOWN) if seat.start_at_s <= now_s]
        if staffed >= wanted or not due:
            return []
        # The one that waited longest, so that a broken seat does not keep others out.
        seat = min(due, key=lambda seat: seat.start_at_s)
        seat.starts += 1
        seat.killed_for = ""
        self._become(seat, State.STARTING, now_s)
        return [Start(seat.number)]

    def _renew_next(self, now_s: float) -> list[Action]:
        """The next one to replace leaves once the others, or the reserve, stand in for it."""
        self._renew = [number for number in self._renew if self._seat(number).state in ALIVE]
        busy = any(True for state in (State.LEAVING, State.STARTING) for _ in self._in(state))
        if not self._renew or busy or self.serving < self.workers:
            return []
        if self.reserve and self.room_for_reserve and not any(self._in(State.RESERVE)):
            return []
        leaver = self._seat(self._renew.pop(0))
        self._become(leaver, State.LEAVING, now_s)
        for seat in self._in(State.RESERVE):
            if self.serving < self.workers:
                self._become(seat, State.SERVING, now_s)
        return [Terminate(leaver.number)]

    def _overdue(self, seat: Seat, now_s: float) -> list[Action]:
        in_state_s = now_s - seat.since_s
        silent_s = now_s - max(seat.answered_s, seat.since_s)
        match seat.state:
            case State.STARTING if in_state_s > self.patience.start_s:
                why = f"not ready within {self.patience.start_s:g} s"
            case State.LEAVING if in_state_s > self.patience.leave_s:
                why = f"not gone within {self.patience.leave_s:g} s of being told to leave"
            case State.RESERVE | State.SERVING if silent_s > self.patience.hang_s:
                why = f"said nothing for {self.patience.hang_s:g} s"
            case _:
                return []
        if seat.killed_for:
            return []
        seat.killed_for = why
        return [Kill(seat.number, why)]

    def _route(self) -> list[Action]:
        route = Route(
            tuple(seat.number for seat in self._in(State.SERVING)),
            tuple(seat.number for seat in self._in(State.LEAVING)),
        )
        if route == self._routed:
            return []
        self._routed = route
        return [route]

    def _back_off_s(self, failures: int) -> float:
        doubled = self.patience.back_off_s * 2.0 ** min(max(failures, 1) - 1, 30)
        return min(doubled, self.patience.back_off_max_s)

    def _any_alive_or_proven(self) -> bool:
        return any(seat.state in ALIVE or seat.answered_s for seat in self.seats)

    def _become(self, seat: Seat, state: State, now_s: float) -> None:
        seat.state, seat.since_s = state, now_s

    def _in(self, state: State) -> Iterable[Seat]:
        return [seat for seat in self.seats if seat.state is state]

    def _seat(self, number: int) -> Seat:
        return self.seats[number - 1]


def describe(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        return f"killed by signal {-status}"
    return f"exit status {status}"
