"""More threads for prompts only while the machine is idle."""

from models.llm.prompt_threads import PromptThreads, Reading


def at(at_s: float, process_s: float, machine_s: float | None = None) -> Reading:
    return Reading(at_s, process_s, process_s if machine_s is None else machine_s)


def test_an_idle_machine_lends_a_thread_and_a_busy_process_takes_it_back() -> None:
    threads = PromptThreads(1, 2, cores=2)
    assert threads.choose(at(0, 0)) == 1
    assert threads.choose(at(1, 0.5)) == 2
    assert threads.choose(at(2, 2.0)) == 1
    assert threads.choose(at(3, 2.5)) == 2


def test_the_load_of_others_counts_too() -> None:
    threads = PromptThreads(1, 2, cores=2)
    threads.choose(at(0, 0))
    assert threads.choose(at(1, 0.1, machine_s=1.9)) == 1


def test_a_burst_shorter_than_the_window_is_no_load() -> None:
    threads = PromptThreads(1, 2, cores=2)
    threads.choose(at(0, 0))
    assert threads.choose(at(1, 0.1)) == 2
    assert threads.choose(at(1.2, 0.5)) == 2


def test_never_fewer_than_asked_for() -> None:
    threads = PromptThreads(4, 2, cores=8)
    threads.choose(at(0, 0))
    assert threads.choose(at(1, 0)) == 4
