"""Whose is what the machine spent? Pure: intervals in, each call's part out.

Of the processor seconds of an interval

1. what the box takes without a call is nobody's: it is learned while there is none;
2. what carrying a call takes (its wire, its bookkeeping, voice detection) is shared by presence:
   how much that is, is learned while calls are there and no engine works for them;
3. the rest is the engines', and shared by their work for each call.

Engines tell of most work when it is done, so that an interval may show what a later one explains:
such seconds wait, `PATIENCE_S` at most, and go by presence then. One call alone gets all at once.
Seconds of a GPU wait too, but without work on it they are nobody's: it may have other users.

Joules count above the idle draw, which is learned too, and follow the seconds: what other programs
spend on the processor is not the box's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.metering.reading import Spent
from agent.usage import Usage

PATIENCE_S = 3.0
"""How long seconds wait for the work that explains them; a decode takes a tenth of that."""
MEMORY = 0.2
"""The latest interval's weight in what is learned."""
STILL_CORES = 0.1
"""While the machine does less than this, and no call is there, its draw is its idle draw."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one call did in an interval."""

    present_s: float
    cpu_work_s: float = 0.0
    """Seconds on the engines' threads, of this machine."""
    gpu_work_s: float = 0.0
    """Of these, with engines that compute on a GPU."""


@dataclass(slots=True)
class Learned:
    """A rate that is found out as time passes."""

    value: float | None = None

    def learn(self, seen: float) -> None:
        """Takes one more interval's."""
        was = seen if self.value is None else self.value
        self.value = was + MEMORY * (seen - was)

    def over(self, seconds: float) -> float:
        """What so many seconds come to; 0 before anything was learned."""
        return (self.value or 0.0) * seconds


@dataclass(slots=True)
class _Pool:
    """Seconds and joules that wait for the work that explains them."""

    seconds: float = 0.0
    joules: float = 0.0
    waited_s: float = 0.0

    def hand_out(self, shares: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """All of it: seconds and joules for each."""
        given = {
            call: (self.seconds * share, self.joules * share) for call, share in shares.items()
        }
        self.seconds = self.joules = self.waited_s = 0.0
        return given

    def waits(self, interval_s: float) -> bool:
        """Whether it waits on, after an interval that did not explain it."""
        self.waited_s += interval_s
        return self.waited_s < PATIENCE_S


@dataclass(slots=True)
class Sharing:
    """Follows the machine interval by interval."""

    _nobodys: _Pool = field(default_factory=_Pool)
    """Processor seconds that no call caused so far, and joules of GPUs."""
    _nobodys_gpu_s: float = 0.0
    _idle_cores: Learned = field(default_factory=Learned)
    _call_cores: Learned = field(default_factory=Learned)
    """Of one call."""
    _idle_cpu_w: Learned = field(default_factory=Learned)
    _idle_gpu_w: Learned = field(default_factory=Learned)
    _engines: _Pool = field(default_factory=_Pool)
    _gpus: _Pool = field(default_factory=_Pool)
    _quiet: float | None = None
    """Cores a call in the interval before this, if no work was done in it."""

    @property
    def unclaimed(self) -> Usage:
        """What no call caused so far."""
        return Usage(
            cpu_s=self._nobodys.seconds,
            gpu_s=self._nobodys_gpu_s,
            energy_j=self._nobodys.joules,
        )

    @property
    def waiting(self) -> Usage:
        """What is not given to anybody yet."""
        return Usage(
            cpu_s=self._engines.seconds,
            gpu_s=self._gpus.seconds,
            energy_j=self._engines.joules + self._gpus.joules,
        )

    def take(self, spent: Spent, parts: Mapping[str, Part]) -> dict[str, Usage]:
        """What each call that was there is given.

        With ``unclaimed`` and ``waiting`` it is all the processor and GPU seconds that were spent.
        """
        if not parts:
            self._nobody(spent)
            return {}
        present = {call: part.present_s for call, part in parts.items()}
        work = {call: part.cpu_work_s for call, part in parts.items()}
        caused_s = max(0.0, spent.process_s - self._idle_cores.over(spent.seconds))
        self._nobodys.seconds += spent.process_s - caused_s
        joules = _above(spent.cpu_j, self._idle_cpu_w, spent.seconds)
        joules_a_s = joules / spent.machine_s if spent.machine_s else 0.0
        wire_s = min(caused_s, self._call_cores.over(sum(present.values())))
        self._learn_quiet(caused_s, sum(present.values()), sum(work.values()))
        self._engines.seconds += caused_s - wire_s
        self._engines.joules += (caused_s - wire_s) * joules_a_s
        by_presence = _shares(present) or dict.fromkeys(present, 1 / len(present))
        wire = _Pool(wire_s, wire_s * joules_a_s).hand_out(by_presence)
        engines: dict[str, tuple[float, float]] = {}
        if shares := _shares(work):
            engines = self._engines.hand_out(shares)
        elif len(parts) == 1 or not self._engines.waits(spent.seconds):
            engines = self._engines.hand_out(by_presence)
        gpus = self._share_gpus(spent, {call: part.gpu_work_s for call, part in parts.items()})
        return {call: _usage(wire[call], engines.get(call), gpus.get(call)) for call in parts}

    def _share_gpus(
        self, spent: Spent, work: Mapping[str, float]
    ) -> dict[str, tuple[float, float]]:
        self._gpus.seconds += spent.gpu_s
        self._gpus.joules += _above(spent.gpu_j, self._idle_gpu_w, spent.seconds)
        if shares := _shares(work):
            return self._gpus.hand_out(shares)
        if not self._gpus.waits(spent.seconds):
            self._let_go_gpus()
        return {}

    def _let_go_gpus(self) -> None:
        self._nobodys_gpu_s += self._gpus.seconds
        self._nobodys.joules += self._gpus.joules
        self._gpus = _Pool()

    def _nobody(self, spent: Spent) -> None:
        """An interval without calls: what it took is what the box takes anyway."""
        self._nobodys.seconds += self._engines.seconds + spent.process_s
        self._nobodys.joules += self._engines.joules
        self._nobodys_gpu_s += spent.gpu_s
        self._let_go_gpus()
        self._engines, self._quiet = _Pool(), None
        if not spent.seconds:
            return
        self._idle_cores.learn(spent.process_s / spent.seconds)
        if spent.cpu_j is not None and spent.machine_s < STILL_CORES * spent.seconds:
            self._idle_cpu_w.learn(spent.cpu_j / spent.seconds)
        if spent.gpu_j is not None and not spent.gpu_s:
            self._idle_gpu_w.learn(spent.gpu_j / spent.seconds)

    def _learn_quiet(self, caused_s: float, present_s: float, work_s: float) -> None:
        """Work may be told of one interval late: what was quiet is known one later."""
        if work_s or not present_s:
            self._quiet = None
            return
        if self._quiet is not None:
            self._call_cores.learn(self._quiet)
        self._quiet = caused_s / present_s


def _above(joules: float | None, idle_w: Learned, seconds: float) -> float:
    """Above the idle draw; 0 where there is no counter, or its idle draw is not known yet."""
    if joules is None or idle_w.value is None:
        return 0.0
    return max(0.0, joules - idle_w.over(seconds))


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Parts of 1; empty where nothing weighs."""
    whole = sum(weights.values())
    return {call: weight / whole for call, weight in weights.items()} if whole > 0 else {}


def _usage(
    wire: tuple[float, float],
    engines: tuple[float, float] | None,
    gpus: tuple[float, float] | None,
) -> Usage:
    engine_s, engine_j = engines or (0.0, 0.0)
    gpu_s, gpu_j = gpus or (0.0, 0.0)
    return Usage(cpu_s=wire[0] + engine_s, gpu_s=gpu_s, energy_j=wire[1] + engine_j + gpu_j)
