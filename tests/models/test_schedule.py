"""The schedule runs the most urgent job first; no test here measures time."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, wait

import pytest

from models.schedule import Batched, GuessDropped, Schedule

LIMIT_S = 5


@pytest.fixture
def held() -> "tuple[Schedule, threading.Event]":
    """One worker, busy until the event is set."""
    schedule, release, busy = Schedule(workers=1, limit=8), threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        release.wait(LIMIT_S)

    schedule.submit(hold, 0.0)
    assert busy.wait(LIMIT_S)
    yield schedule, release
    release.set()
    schedule.close()


def test_the_nearest_deadline_goes_first(held: "tuple[Schedule, threading.Event]") -> None:
    schedule, release = held
    order: list[str] = []
    futures = [
        schedule.submit(lambda name=name: order.append(name), deadline)
        for name, deadline in (("late", 9.0), ("soon", 1.0), ("next", 5.0), ("soon too", 1.0))
    ]
    release.set()
    for future in futures:
        future.result(LIMIT_S)
    assert order == ["soon", "soon too", "next", "late"]


def test_a_cancelled_job_never_runs(held: "tuple[Schedule, threading.Event]") -> None:
    schedule, release = held
    ran: list[int] = []
    cancelled = schedule.submit(lambda: ran.append(1), 1.0)
    after = schedule.submit(lambda: ran.append(2), 2.0)
    assert cancelled.cancel()
    release.set()
    after.result(LIMIT_S)
    assert ran == [2]


def test_an_error_reaches_its_caller_and_no_one_else(
    held: "tuple[Schedule, threading.Event]",
) -> None:
    schedule, release = held
    bad = schedule.submit(lambda: 1 // 0, 1.0)
    good = schedule.submit(lambda: "fine", 2.0)
    release.set()
    assert good.result(LIMIT_S) == "fine"
    with pytest.raises(ZeroDivisionError):
        bad.result(LIMIT_S)


def test_a_full_schedule_refuses(held: "tuple[Schedule, threading.Event]") -> None:
    schedule, _ = held
    for _ in range(8):
        schedule.submit(lambda: None, 1.0)
    with pytest.raises(RuntimeError, match="full"):
        schedule.submit(lambda: None, 1.0)
    assert schedule.waiting == 8


def test_close_cancels_what_waits_and_ends_the_threads() -> None:
    before = threading.active_count()
    schedule, release, busy = Schedule(workers=1), threading.Event(), threading.Event()
    running = schedule.submit(lambda: (busy.set(), release.wait(LIMIT_S)), 0.0)
    waiting = schedule.submit(lambda: None, 1.0)
    assert busy.wait(LIMIT_S)
    closer = threading.Thread(target=schedule.close)
    closer.start()
    with pytest.raises(CancelledError):
        waiting.result(LIMIT_S)
    release.set()
    closer.join(LIMIT_S)
    assert running.done()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        schedule.submit(lambda: None, 1.0)


def test_a_guess_runs_last_unless_it_is_confirmed(
    held: "tuple[Schedule, threading.Event]",
) -> None:
    schedule, release = held
    order: list[str] = []
    guess = schedule.submit(lambda: order.append("guess"), 1.0, guess=True)
    wanted = schedule.submit(lambda: order.append("wanted"), 1.0, guess=True)
    work = schedule.submit(lambda: order.append("work"), 5.0)
    assert wanted.confirm(2.0)
    release.set()
    done, _ = wait([guess, wanted, work], LIMIT_S)
    assert len(done) == 3
    assert order == ["wanted", "work", "guess"]
    assert not guess.confirm(2.0)


def test_a_cancelled_job_leaves_its_place_at_once(
    held: "tuple[Schedule, threading.Event]",
) -> None:
    schedule, _ = held
    futures = [schedule.submit(lambda: None, 1.0) for _ in range(8)]
    assert futures[3].cancel()
    assert schedule.waiting == 7
    schedule.submit(lambda: None, 1.0)
    assert not futures[3].confirm(0.0)


def test_a_full_schedule_drops_a_guess_for_other_work(
    held: "tuple[Schedule, threading.Event]",
) -> None:
    schedule, _ = held
    guess = schedule.submit(lambda: None, 1.0, guess=True, kind="tts")
    for _ in range(8):
        schedule.submit(lambda: None, 1.0)
    with pytest.raises(GuessDropped, match="more urgent"):
        guess.result(LIMIT_S)
    assert schedule.figures()["tts"].dropped == 1


def test_items_share_a_run_and_each_gets_its_own_result(
    held: "tuple[Schedule, threading.Event]",
) -> None:
    schedule, release = held
    sizes: list[int] = []

    def double(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        return [2 * item for item in items]

    batched = Batched(double, limit=4, kind="double")
    futures = [schedule.submit_to(batched, n, 1.0) for n in range(6)]
    release.set()
    assert [future.result(LIMIT_S) for future in futures] == [0, 2, 4, 6, 8, 10]
    # Nothing is known yet of what a run costs, so they are as large as they may be.
    assert sizes[0] == 4 and sum(sizes) == 6


def test_an_item_that_fails_fails_alone(held: "tuple[Schedule, threading.Event]") -> None:
    schedule, release = held
    batched = Batched(lambda items: [10 // item for item in items], limit=4, kind="divide")
    futures = [schedule.submit_to(batched, n, 1.0) for n in (1, 0, 5)]
    short = Batched(lambda items: [], limit=4, kind="short")
    nothing = schedule.submit_to(short, 1, 2.0)
    release.set()
    assert futures[0].result(LIMIT_S) == 10
    assert futures[2].result(LIMIT_S) == 2
    with pytest.raises(ZeroDivisionError):
        futures[1].result(LIMIT_S)
    with pytest.raises(RuntimeError, match="1 items gave 0 results"):
        nothing.result(LIMIT_S)


def test_load_tells_of_work_and_forgets_it() -> None:
    schedule = Schedule(workers=1)
    pause = threading.Event()
    assert schedule.load(time.monotonic()) == 0.0
    schedule.submit(lambda: pause.wait(0.05), 0.0, kind="pause").result(LIMIT_S)
    schedule.close()
    ended_s = time.monotonic()
    assert 0.0 < schedule.load(ended_s) <= 1.0
    assert schedule.load(ended_s + 60) < 1e-6
    assert schedule.figures()["pause"].busy_s >= 0.05


def test_nothing_is_lost_or_done_twice_under_stress() -> None:
    """Many callers' threads at once, with guesses, cancels, confirms and an exclusive kind."""
    schedule = Schedule(workers=3, limit=10_000, exclusive={"one"})
    lock, runs, alone, crowd = threading.Lock(), dict[int, int](), [0], [0, 0]

    def count(number: int) -> int:
        with lock:
            runs[number] = runs.get(number, 0) + 1
        return number

    def count_alone(number: int) -> int:
        with lock:
            alone[0] += 1
            crowd[0] = max(crowd[0], alone[0])
        result = count(number)
        with lock:
            alone[0] -= 1
        return result

    def count_all(items: Sequence[int]) -> list[int]:
        with lock:
            crowd[1] = max(crowd[1], len(items))
        return [count(item) for item in items]

    batched = Batched(count_all, limit=4, kind="many")
    outcomes: dict[int, bool] = {}

    def caller(first: int) -> None:
        draw = random.Random(first)
        mine = []
        for number in range(first, first + 300):
            deadline_s, guess = draw.random(), draw.random() < 0.3
            match draw.randrange(3):
                case 0:
                    job = schedule.submit_to(batched, number, deadline_s, guess=guess)
                case 1:
                    job = schedule.submit(
                        lambda number=number: count_alone(number), deadline_s, kind="one"
                    )
                case _:
                    job = schedule.submit(
                        lambda number=number: count(number), deadline_s, guess=guess
                    )
            if draw.random() < 0.2:
                job.cancel()
            elif guess and draw.random() < 0.5:
                job.confirm(draw.random())
            mine.append((number, job))
        for number, job in mine:
            try:
                done = job.result(LIMIT_S) == number
            except CancelledError:
                done = False
            with lock:
                outcomes[number] = done

    callers = [threading.Thread(target=caller, args=(n * 300,)) for n in range(6)]
    try:
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join(60)
    finally:
        schedule.close()
    assert len(outcomes) == 1800
    assert runs == {number: 1 for number, done in outcomes.items() if done}
    assert crowd[0] == 1
    assert 1 <= crowd[1] <= 4
    assert schedule.waiting == 0
    assert sum(f.jobs for f in schedule.figures().values()) >= len(runs)
