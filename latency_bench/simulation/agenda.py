"""Simulated time: what happens next, and threads that share the processor's cores. Pure."""

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

Happening = Callable[[], None]


class Processor:
    """Threads that share cores equally: n threads on c cores run at c / n of a core each.

    That is processor sharing (Kleinrock, Queueing Systems II, 4.4): all threads run at the same
    speed, so that who is done next does not depend on it, and only virtual time has to be kept.
    """

    def __init__(self, cores: float, beside: float = 1.0) -> None:
        """``beside``: speed of each of several busy cores, as a share of one that is alone."""
        self.cores = cores
        self.busy_s = 0.0
        """Core-seconds used so far, but for the background."""
        self._beside = beside
        self._background = 0.0
        self._virtual_s = 0.0
        self._at_s = 0.0
        self._ends: list[tuple[float, int, Happening]] = []
        self._order = itertools.count()

    def background(self, cores: float) -> None:
        """From now on so many cores are busy with what is not simulated thread by thread."""
        self._background = cores

    @property
    def threads(self) -> int:
        """How many run."""
        return len(self._ends)

    @property
    def speed(self) -> float:
        """Work done a second, of each thread; in seconds of a core that is alone."""
        if not self._ends:
            return 0.0
        left = max(0.02 * self.cores, self.cores - self._background)
        beside = self._beside if len(self._ends) + self._background > 1.5 else 1.0
        return min(1.0, left / len(self._ends)) * beside

    def start(self, work_s: float, then: Happening) -> None:
        """Begins a thread with ``work_s`` to do at the time it was last brought to."""
        end_s = self._virtual_s + max(0.0, work_s)
        heapq.heappush(self._ends, (end_s, next(self._order), then))

    def next_s(self) -> float:
        """When the first thread is done; infinity without any."""
        if not self._ends:
            return math.inf
        return self._at_s + max(0.0, self._ends[0][0] - self._virtual_s) / self.speed

    def bring(self, now_s: float) -> None:
        """Lets the threads run until ``now_s``, no later than ``next_s``."""
        passed_s = now_s - self._at_s
        if self._ends:
            self._virtual_s += passed_s * self.speed
            self.busy_s += passed_s * min(len(self._ends), max(0.0, self.cores - self._background))
        self._at_s = now_s

    def finish(self) -> Happening:
        """Ends the first thread, whose work is done."""
        end_s, _, then = heapq.heappop(self._ends)
        self._virtual_s = end_s
        return then


@dataclass(eq=False, slots=True)
class Appointment:
    """Something that will happen, unless it is called off."""

    happening: Happening | None

    def call_off(self) -> None:
        """It does not happen."""
        self.happening = None


class Agenda:
    """Appointments, and the processors whose threads end in between."""

    def __init__(self, *processors: Processor) -> None:
        self.now_s = 0.0
        self._processors = processors
        self._order = itertools.count()
        self._appointments: list[tuple[float, int, Appointment]] = []

    def at(self, at_s: float, happening: Happening) -> Appointment:
        """Makes an appointment, not before now."""
        made = Appointment(happening)
        heapq.heappush(self._appointments, (max(at_s, self.now_s), next(self._order), made))
        return made

    def after(self, wait_s: float, happening: Happening) -> Appointment:
        """Makes an appointment in ``wait_s``."""
        return self.at(self.now_s + wait_s, happening)

    def run(self, until_s: float) -> None:
        """Lets everything happen that does before ``until_s``."""
        while True:
            first = min(self._processors, key=Processor.next_s)
            done_s = first.next_s()
            due_s = self._appointments[0][0] if self._appointments else math.inf
            if min(done_s, due_s) >= until_s:
                self._go_to(until_s)
                return
            self._go_to(min(done_s, due_s))
            if done_s <= due_s:
                first.finish()()
            else:
                happening = heapq.heappop(self._appointments)[2].happening
                if happening is not None:
                    happening()

    def _go_to(self, now_s: float) -> None:
        self.now_s = max(self.now_s, now_s)
        for processor in self._processors:
            processor.bring(self.now_s)
