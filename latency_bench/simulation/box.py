"""The box in simulated time: the very queue and batcher that run in the real one."""

import math
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from latency_bench.simulation.agenda import Agenda, Processor
from latency_bench.simulation.costs import Costs
from latency_bench.simulation.llm_loop import LlmLoop
from models.busy_share import BusyShare
from models.job_queue import Job, JobQueue, QueueFull, QueueRules, Run

Guesses = Literal["fade", "always", "never"]
Order = Literal["edf", "fifo"]

ANSWER_LOAD = 0.5
"""From this load on no answer is guessed; as in `agent.guessing`."""
WORDS_LOAD = 0.3
"""From this load on words are not decoded before a pause; as there."""
EXCLUSIVE = frozenset({"stt"})
LOOP_FULL = 0.98
"""Of an event loop: beyond, audio comes in faster than it is taken."""
LOST_S = 10.0
"""A hop then: longer than anybody waits."""


@dataclass(frozen=True, slots=True)
class BoxRules:
    """What may be changed about the box."""

    guesses: Guesses = "fade"
    order: Order = "edf"
    """``fifo``: jobs as they come, whatever their deadline."""
    workers: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What a job of the queue does in simulated time."""

    work_s: float
    done: Callable[[], None]


class SimulatedBox:
    """Workers, the model's thread and the event loops over one processor."""

    def __init__(self, costs: Costs, rules: BoxRules, calls: int, seed: int) -> None:
        self.costs, self.rules = costs, rules
        self.random = random.Random(seed)
        self.processor = Processor(1.0 if costs.gpu else costs.cores, costs.beside)
        """What the engines run on."""
        self.agenda = Agenda(self.processor)
        self.queue: JobQueue[Work] = JobQueue(
            QueueRules(
                workers=rules.workers,
                limit=max(256, 8 * calls),
                exclusive=EXCLUSIVE,
                far_s=math.inf if rules.order == "fifo" else QueueRules().far_s,
            )
        )
        self.llm = LlmLoop(self.agenda, self.processor, costs, calls)
        self.load = BusyShare(rules.workers)
        self.work_s: defaultdict[str, float] = defaultdict(float)
        """Of a core that is alone, by kind of job."""
        self.workers_busy_s = 0.0
        self.stt_busy_s = 0.0
        self.discarded_s = 0.0
        """Engine work whose result nobody used."""
        self.loop_busy_s = 0.0
        """Of one event loop, on average."""
        self.background_s = 0.0
        """Core-seconds of all that is not simulated thread by thread, on the engines' cores."""
        self._background = 0.0
        self._batch = object()
        self._calls = 0
        self._calls_since_s = 0.0
        self._waking = False

    @property
    def now_s(self) -> float:
        """Simulated time."""
        return self.agenda.now_s

    def call_began(self) -> None:
        """One more call under way."""
        self._count_calls(1)

    def call_ended(self) -> None:
        """One fewer."""
        self._count_calls(-1)

    @property
    def loop_share(self) -> float:
        """How busy each event loop is; over 1 where it falls behind."""
        return self._calls * self.costs.loop_cores / self.costs.processes

    def hop_s(self) -> float:
        """How long something takes through the event loop: as at a server so busy (M/M/1)."""
        share = self.loop_share
        if not self.costs.gpu:
            # The loop's thread has its turn among the engines'.
            share *= max(1.0, (self.processor.threads + share) / self.costs.cores)
        return self.costs.hop_s / (1 - share) if share < LOOP_FULL else LOST_S

    def hop(self, then: Callable[[], None]) -> None:
        """Has ``then`` happen a hop later."""
        self.agenda.after(self.hop_s(), then)

    def room(self, limit: float) -> bool:
        """Whether the box guesses, as `agent.guessing` decides it."""
        if self.rules.guesses != "fade":
            return self.rules.guesses == "always"
        load = max(self.load.at(self.now_s), self.llm.load.at(self.now_s))
        return self.queue.waiting == 0 and load < limit

    @property
    def hesitates(self) -> bool:
        """Whether words are decoded late where the caller may not have finished."""
        return self.rules.guesses == "fade" and not self.room(ANSWER_LOAD)

    def submit(
        self,
        kind: str,
        work_s: float,
        deadline_s: float,
        done: Callable[[], None],
        *,
        guess: bool = False,
    ) -> Job[Work] | None:
        """Queues engine work; None where the queue is full."""
        together = self._batch if kind == "stt" and self.costs.stt_batch > 1 else None
        fifo = self.rules.order == "fifo"
        job = Job(
            Work(work_s, done),
            self.now_s if fifo else deadline_s,
            kind,
            guess and not fifo,
            together,
            self.costs.stt_batch,
        )
        try:
            self.queue.add(job, self.now_s)
        except QueueFull:
            return None
        self._dispatch()
        return job

    def cancel(self, job: Job[Work]) -> bool:
        """Takes back what has not begun."""
        cancelled = self.queue.cancel(job)
        if cancelled:
            self._dispatch()
        return cancelled

    def confirm(self, job: Job[Work]) -> None:
        """The guess is wanted now."""
        if self.rules.order == "edf" and self.queue.confirm(job, self.now_s):
            self._dispatch()

    def _dispatch(self) -> None:
        while (run := self.queue.take(self.now_s)) is not None:
            works = [job.payload.work_s for job in run.jobs]
            extra = 1 + self.costs.stt_extra * (len(works) - 1)
            work_s = sum(works) / len(works) * extra
            self.work_s[run.kind] += work_s
            self.processor.start(work_s, lambda run=run: self._done(run))  # type: ignore[misc]
        urgent_s = self.queue.urgent_in_s(self.now_s)
        if urgent_s and self.queue.running < self.rules.workers and not self._waking:
            self._waking = True
            self.agenda.after(urgent_s + 1e-6, self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._dispatch()

    def _done(self, run: Run[Work]) -> None:
        busy_s = self.queue.done(run, self.now_s)
        self.load.spent(busy_s, self.now_s)
        self.workers_busy_s += busy_s
        if run.kind == "stt":
            self.stt_busy_s += busy_s
        for job in run.jobs:
            job.payload.done()
        self._dispatch()

    def count_loop(self) -> None:
        """Brings ``loop_busy_s`` and ``background_s`` up to now."""
        passed_s, self._calls_since_s = self.now_s - self._calls_since_s, self.now_s
        self.loop_busy_s += passed_s * min(1.0, self.loop_share)
        self.background_s += passed_s * min(self._background, self.processor.cores)

    def _count_calls(self, change: int) -> None:
        self.count_loop()
        self._calls += change
        if not self.costs.gpu:
            loops = min(float(self.costs.processes), self._calls * self.costs.loop_cores)
            rest = self._calls * (self.costs.call_cores - self.costs.loop_cores)
            self._background = loops + rest
            self.processor.background(self._background)
