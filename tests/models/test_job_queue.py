"""The queue's rules, by hand and over drawn workloads; time is a number here."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.job_costs import JobCosts
from models.job_queue import Job, JobQueue, QueueFull, QueueRules, Run

ALIKE = {kind: object() for kind in ("stt", "tts")}
COST_S = {"stt": 0.12, "tts": 0.05, "turn": 0.03}


def job(
    name: str,
    deadline_s: float,
    kind: str = "",
    *,
    guess: bool = False,
    most: int = 1,
) -> Job[str]:
    return Job(name, deadline_s, kind, guess, ALIKE.get(kind), most)


def queue(workers: int = 1, *jobs: Job[str], limit: int = 256, now_s: float = 0.0) -> JobQueue[str]:
    made: JobQueue[str] = JobQueue(
        QueueRules(workers=workers, limit=limit, exclusive=frozenset({"stt"}))
    )
    for each in jobs:
        made.add(each, now_s)
    return made


def names(run: Run[str] | None) -> list[str]:
    assert run is not None
    return [each.payload for each in run.jobs]


def drain(made: JobQueue[str], now_s: float = 0.0) -> list[list[str]]:
    """Runs everything on one worker, in no time."""
    taken = []
    while (run := made.take(now_s)) is not None:
        taken.append(names(run))
        made.done(run, now_s)
    return taken


def test_the_nearest_deadline_goes_first_and_ties_in_order_of_arrival() -> None:
    made = queue(1, job("late", 9), job("soon", 1), job("next", 5), job("soon too", 1))
    assert drain(made) == [["soon"], ["soon too"], ["next"], ["late"]]


def test_a_guess_waits_for_everything_else() -> None:
    made = queue(1, job("guess", 0.1, guess=True), job("far", 30), job("near", 0.5))
    assert drain(made) == [["near"], ["far"], ["guess"]]


def test_a_confirmed_guess_is_ordinary_work() -> None:
    guess = job("guess", 0.1, guess=True)
    made = queue(1, job("far", 30), guess, job("near", 0.5))
    assert made.confirm(guess, 0.2)
    assert drain(made) == [["guess"], ["near"], ["far"]]
    assert not made.confirm(guess, 0.2)
    assert made.figures[""].guesses == 0


def test_a_guess_confirmed_while_it_runs_was_no_waste() -> None:
    guess = job("guess", 0.1, guess=True)
    made = queue(2, guess, job("another", 0.2, guess=True))
    run = made.take(0.0)
    assert names(run) == ["guess"] and made.take(0.0) is None
    assert made.confirm(guess, 0.1)
    # It no longer counts as one that can wait: the worker left free may take the other.
    assert names(made.take(0.0)) == ["another"]
    assert run is not None
    made.done(run, 0.3)
    assert made.figures[""].guess_busy_s == 0.0


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("guess", [True, False])
def test_what_can_wait_leaves_a_worker_to_what_is_urgent(workers: int, guess: bool) -> None:
    made = queue(workers, *(job(str(n), 20.0 + n, guess=guess) for n in range(workers)))
    taken = [made.take(0.0) for _ in range(workers)]
    assert [run is None for run in taken] == [False] * (workers - 1) + [True]
    made.add(job("urgent", 0.2), 0.0)
    assert names(made.take(0.0)) == ["urgent"]


def test_far_work_becomes_urgent_as_its_deadline_comes_near() -> None:
    made = queue(2, job("a", 5.0), job("b", 6.0))
    assert names(made.take(0.0)) == ["a"] and made.take(0.0) is None
    assert made.urgent_in_s(0.0) == pytest.approx(5.0)
    assert made.urgent_in_s(4.9) == pytest.approx(0.1)
    assert names(made.take(5.1)) == ["b"]
    assert made.urgent_in_s(5.1) is None


def test_one_run_of_an_exclusive_kind_at_a_time() -> None:
    made = queue(2, job("first", 0.1, "stt"), job("second", 0.2, "stt"), job("voice", 0.3, "tts"))
    first = made.take(0.0)
    assert names(first) == ["first"]
    assert names(made.take(0.0)) == ["voice"]
    assert first is not None
    made.done(first, 0.1)
    assert names(made.take(0.1)) == ["second"]


def test_a_guess_does_not_slip_past_work_that_waits_for_its_engine() -> None:
    made = queue(2, job("first", 0.1, "stt"), job("second", 0.2, "stt"), job("g", 0.1, guess=True))
    assert names(made.take(0.0)) == ["first"]
    assert made.take(0.0) is None


def test_equally_urgent_work_shares_a_run_within_the_limit() -> None:
    made = queue(2, *(job(str(n), 0.9 + n / 100, "stt", most=3) for n in range(5)))
    first = made.take(0.0)
    assert names(first) == ["0", "1", "2"]
    assert first is not None
    made.done(first, 0.1)
    assert names(made.take(0.1)) == ["3", "4"]
    assert made.figures["stt"].batch == 2.5


def test_less_urgent_work_shares_no_run() -> None:
    made = queue(1, job("now", 0.1, "stt", most=4), job("later", 0.9, "stt", most=4))
    assert drain(made) == [["now"], ["later"]]


def test_free_workers_do_their_part_of_what_is_not_exclusive() -> None:
    made = queue(2, *(job(str(n), 0.5, "tts", most=8) for n in range(4)))
    assert names(made.take(0.0)) == ["0", "1"]
    assert names(made.take(0.0)) == ["2", "3"]


def learned(made: JobQueue[str], kind: str, seconds: Iterable[float]) -> None:
    """Tells of runs of 1, 2, ... jobs."""
    for jobs, busy_s in enumerate(seconds, start=1):
        made.costs.record(kind, jobs, busy_s)


def test_a_run_is_no_larger_than_its_first_job_can_bear() -> None:
    made = queue(1, *(job(str(n), 0.26, "stt", most=8) for n in range(6)))
    learned(made, "stt", [0.1, 0.15])
    # 0.1 + 0.05 a further job: four take 0.25 s.
    assert names(made.take(0.0)) == ["0", "1", "2", "3"]


def test_a_run_makes_no_other_urgent_job_late() -> None:
    rival = job("rival", 0.35, "tts")
    made = queue(1, *(job(str(n), 0.3, "stt", most=8) for n in range(4)), rival)
    learned(made, "stt", [0.1, 0.15])
    learned(made, "tts", [0.14])
    # Three would end at 0.2 and leave it 0.01 s over; four at 0.25.
    assert names(made.take(0.0)) == ["0", "1", "2"]


def test_who_is_late_already_shares_a_run_only_where_all_gain() -> None:
    for extra_s, size in ((0.04, 4), (0.08, 1)):
        made = queue(1, *(job(str(n), -1.0, "stt", most=8) for n in range(4)))
        learned(made, "stt", [0.1, 0.1 + extra_s])
        assert len(names(made.take(0.0))) == size


def test_all_that_is_late_is_equally_urgent() -> None:
    made = queue(1, job("a", 0.1, "stt", most=8), job("b", 0.9, "stt", most=8))
    assert names(made.take(0.8)) == ["a", "b"]


def test_at_the_limit_guesses_go_first_and_then_new_work_is_refused() -> None:
    made = queue(1, job("a", 1), job("g1", 1, guess=True), job("g2", 2, guess=True), limit=3)
    dropped = made.add(job("b", 3), 0.0)
    assert dropped is not None and dropped.payload == "g2"
    with pytest.raises(QueueFull):
        made.add(job("g3", 0, guess=True), 0.0)
    assert made.add(job("c", 4), 0.0) is not None
    with pytest.raises(QueueFull):
        made.add(job("d", 0), 0.0)
    assert drain(made) == [["a"], ["b"], ["c"]]
    assert (made.figures[""].dropped, made.figures[""].refused) == (2, 2)


def test_what_is_cancelled_never_runs() -> None:
    gone = job("gone", 0.1)
    made = queue(1, gone, job("kept", 0.2))
    assert made.cancel(gone) and not made.cancel(gone)
    assert drain(made) == [["kept"]]
    assert [each.payload for each in queue(1, job("a", 1), job("b", 2, guess=True)).clear()] == [
        "a",
        "b",
    ]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        queue().add(job("when", math.nan), 0.0)
    with pytest.raises(ValueError, match="at least one worker"):
        QueueRules(workers=0)


def test_costs_are_learned_from_runs_alone_and_together() -> None:
    costs = JobCosts()
    assert costs.expected_s("stt") == 0.0
    costs.record("stt", 3, 0.2)
    assert costs.expected_s("stt") == pytest.approx(0.1)
    for _ in range(60):
        costs.record("stt", 1, 0.1)
        costs.record("stt", 5, 0.5)
    assert costs.expected_s("stt", 3) == pytest.approx(0.3, rel=0.01)
    assert not costs.worth_waiting("stt", 4)


@dataclass(frozen=True)
class Planned:
    """A job that a drawn workload brings."""

    at_s: float
    slack_s: float
    kind: str
    guess: bool
    batches: bool
    leaves: bool
    """Cancelled a moment after it came, if it still waits."""


PLANNED = st.builds(
    Planned,
    at_s=st.floats(0, 2),
    slack_s=st.one_of(st.floats(-0.2, 0.5), st.floats(0.5, 4)),
    kind=st.sampled_from(sorted(COST_S)),
    guess=st.booleans(),
    batches=st.booleans(),
    leaves=st.sampled_from([False, False, False, True]),
)
MOST = 4


class Watched:
    """Workers around a queue, in simulated time; every take is judged by brute force."""

    def __init__(self, workers: int, limit: int) -> None:
        self.queue = queue(workers, limit=limit)
        self.rules = self.queue.rules
        self.waiting: list[Job[str]] = []
        self.ends: list[tuple[float, int, Run[str]]] = []
        self.outcomes: dict[str, list[str]] = {}

    def add(self, name: str, plan: Planned) -> Job[str] | None:
        new = job(
            name,
            plan.at_s + plan.slack_s,
            plan.kind,
            guess=plan.guess,
            most=MOST if plan.batches else 1,
        )
        if not plan.batches:
            new.together = None
        try:
            dropped = self.queue.add(new, plan.at_s)
        except QueueFull:
            assert len(self.waiting) == self.rules.limit
            assert new.guess or not any(each.guess for each in self.waiting)
            self.outcomes[name] = ["refused"]
            return None
        self.waiting.append(new)
        if dropped is not None:
            assert dropped.guess
            self._leaves(dropped, "dropped")
        return new

    def cancel(self, gone: Job[str]) -> None:
        assert self.queue.cancel(gone) == (gone in self.waiting)
        if gone in self.waiting:
            self._leaves(gone, "cancelled")

    def work(self, now_s: float) -> None:
        """Frees workers whose run is over, and gives every free one what it may take."""
        for end in sorted(self.ends, key=lambda entry: entry[:2]):
            if end[0] <= now_s:
                self.ends.remove(end)
                self.queue.done(end[2], end[0])
        while (run := self.queue.take(now_s)) is not None:
            self.judge(run, now_s)
            for each in run.jobs:
                self._leaves(each, "ran")
            length_s = COST_S[run.kind] * (0.4 + 0.6 * len(run.jobs))
            self.ends.append((now_s + length_s, run.jobs[0].order, run))
        self.judge_rest(now_s)

    def ready(self, now_s: float, before: Run[str] | None = None) -> list[Job[str]]:
        """Ordinary jobs that the rules let begin, by deadline and arrival."""
        others = [run for _, _, run in self.ends if run is not before]
        busy = {run.kind for run in others} & set(self.rules.exclusive)
        can_wait = sum(run.can_wait for run in others)
        spare = self.rules.workers == 1 or can_wait < self.rules.workers - 1
        fit = [
            each
            for each in self.waiting
            if each.kind not in busy
            and not each.guess
            and (spare or each.deadline_s - now_s <= self.rules.far_s)
        ]
        return sorted(fit, key=lambda each: (each.deadline_s, each.order))

    def judge(self, run: Run[str], now_s: float) -> None:
        first = run.jobs[0]
        running = [other for _, _, other in self.ends]
        assert len(running) < self.rules.workers
        if first.guess:
            assert not any(not each.guess for each in self.waiting)
        else:
            assert self.ready(now_s)[0] is first
        if run.kind in self.rules.exclusive:
            assert run.kind not in {other.kind for other in running}
        if self.rules.workers > 1:
            assert sum(other.can_wait for other in [*running, run]) < self.rules.workers
        self.judge_batch(run, now_s)

    def judge_batch(self, run: Run[str], now_s: float) -> None:
        first, size = run.jobs[0], len(run.jobs)
        assert size <= first.most
        if size == 1:
            return
        assert {(each.together, each.guess) for each in run.jobs} == {(first.together, False)}
        assert max(each.deadline_s for each in run.jobs) <= (
            max(first.deadline_s, now_s) + self.rules.equally_urgent_s
        )
        expected_s = self.queue.costs.expected_s
        ends_s, alone_s = now_s + expected_s(run.kind, size), now_s + expected_s(run.kind)
        if alone_s <= first.deadline_s:
            assert ends_s <= first.deadline_s
        rest = [each for each in self.waiting if each not in run.jobs and not each.guess]
        for other in sorted(rest, key=lambda each: (each.deadline_s, each.order)):
            if other.together is first.together:
                continue
            # Who is next in line is no later than it would have been anyway.
            latest_s = other.deadline_s - expected_s(other.kind)
            assert ends_s <= latest_s or alone_s > latest_s
            break

    def judge_rest(self, now_s: float) -> None:
        """No worker is idle while anything may begin."""
        if len(self.ends) < self.rules.workers:
            assert not self.ready(now_s)

    def _leaves(self, gone: Job[str], outcome: str) -> None:
        self.waiting.remove(gone)
        self.outcomes.setdefault(gone.payload, []).append(outcome)


@settings(max_examples=150, deadline=None)
@given(
    plans=st.lists(PLANNED, max_size=40),
    workers=st.integers(1, 3),
    limit=st.sampled_from([3, 8, 256]),
)
def test_the_rules_hold_over_any_workload(plans: list[Planned], workers: int, limit: int) -> None:
    watched = Watched(workers, limit)
    for number, plan in enumerate(sorted(plans, key=lambda each: each.at_s)):
        while watched.ends and (end_s := min(watched.ends, key=lambda e: e[:2])[0]) <= plan.at_s:
            watched.work(end_s)
        added = watched.add(str(number), plan)
        if added is not None and plan.leaves:
            watched.cancel(added)
        watched.work(plan.at_s)
    now_s = 2.0
    while watched.ends or watched.waiting:
        # Far work beside far work begins when it becomes urgent, or when a worker is free.
        moments = [end[0] for end in watched.ends]
        urgent_s = watched.queue.urgent_in_s(now_s)
        if urgent_s and len(watched.ends) < workers:
            moments.append(now_s + urgent_s + 1e-9)
        now_s = max(now_s, min(moments))
        watched.work(now_s)
    # Nothing was lost, and nothing ran twice.
    assert sorted(watched.outcomes, key=int) == [str(number) for number in range(len(plans))]
    assert all(len(outcome) == 1 for outcome in watched.outcomes.values())
    taken = sum(figures.jobs for figures in watched.queue.figures.values())
    assert taken == sum(outcome == ["ran"] for outcome in watched.outcomes.values())
    assert watched.queue.running == watched.queue.waiting == 0
