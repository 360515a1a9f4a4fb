"""What ran out at a load, said from constructed figures and found on a busy process."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from latency_bench.load.process_load import ProcessLoad, parse_gpu, vitals
from latency_bench.load.saturation import Gpu, Usage, alone, growth, saturated, verdict, warnings

CALM = Usage(
    cores=4,
    machine_cores=1.6,
    callers_cores=0.2,
    memory_total_mb=8000.0,
    memory_left_mb=4000.0,
    core_busy=(0.4, 0.4, 0.4, 0.4),
    box_cores=1.2,
    rss_mb=900.0,
    threads={"llm": 0.6, "engine": 0.4, "event loop": 0.2},
    busiest=("llm", 0.6),
)
FIRST = {"end_of_turn": 300.0, "transcript": 40.0, "first_token": 100.0}
LAST = {"end_of_turn": 310.0, "transcript": 120.0, "first_token": 900.0}
LIMIT_S = 30


def test_the_cores_are_named_with_who_used_them() -> None:
    found = saturated(replace(CALM, machine_cores=3.7, box_cores=3.1), FIRST, LAST)
    assert found.what == "cores"
    assert found.why == (
        "3.7 of 4 cores were busy (box 3.1, callers 0.2, others 0.4); first token grew most, "
        "from 100 to 900 ms"
    )


def test_one_full_thread_is_named_where_cores_are_left() -> None:
    found = saturated(replace(CALM, busiest=("event loop", 0.97)), FIRST, LAST)
    assert found.what == "the event loop"
    assert found.why.startswith("the event loop was busy 97% of the time; first token grew most")
    assert saturated(replace(CALM, busiest=("x", 0.9)), {}, {}).what == "the thread x"


def test_memory_and_gpu_come_first() -> None:
    full = replace(CALM, machine_cores=4.0, gpu=Gpu(0.95, 70_000, 80_000))
    assert saturated(full, FIRST, LAST).what == "GPU"
    assert saturated(replace(full, memory_left_mb=100.0), FIRST, LAST).what == "memory"
    idle = replace(CALM, gpu=Gpu(0.2, 1000, 80_000))
    assert saturated(idle, FIRST, LAST).what == "first token"


def test_with_nothing_full_the_stage_that_grew_is_named() -> None:
    found = saturated(CALM, FIRST, LAST)
    assert found.what == "first token" and "1.6 of 4 cores" in found.why
    assert saturated(CALM, FIRST, FIRST).what == "nothing that was seen"
    assert saturated(CALM, {}, LAST).what == "nothing that was seen"


def test_an_agent_that_is_slow_without_load_is_not_called_full() -> None:
    found = alone(1, {"end_of_turn": 1520.0, "first_token": 300.0})
    assert verdict("This box", 0, None, 1, found) == (
        "This box does not carry 1 at once within the objective (1 call broke it already, and "
        "nothing is full; the slowest stage is end of turn decided, P95 1520 ms)."
    )
    assert alone(2, {}).why == "2 calls broke it already, and nothing is full"


def test_the_stage_that_grew_most() -> None:
    assert growth(FIRST, LAST) == "first token grew most, from 100 to 900 ms"
    assert growth(FIRST, {**FIRST, "first_token": 110.0}) == ""
    assert growth({"llm": 10.0}, {"llm": 30.0}) == "llm grew most, from 10 to 30 ms"


def test_the_sentence() -> None:
    what = saturated(replace(CALM, machine_cores=3.9, box_cores=3.5), FIRST, LAST)
    said = verdict("This box", 3, 1180.4, 4, what)
    assert said.startswith(
        "This box carries 3 calls at once with P95 V2V of 1180 ms; at 4 the cores saturate (3.9"
    )
    thread = saturated(replace(CALM, busiest=("llm", 0.97)), {}, {})
    assert "at 2 the language model's thread saturates" in verdict("This box", 1, 900, 2, thread)
    assert "1 call at once with" in verdict("This box", 1, 900, 2, thread)
    engines = saturated(replace(CALM, busiest=("engine", 0.9)), {}, {})
    assert "at 2 the engines' threads (synthesis, end of turn, voice) saturate (" in verdict(
        "This box", 1, 900, 2, engines
    )
    slower = saturated(CALM, FIRST, LAST)
    assert "; at 2 nothing is full: first token grew most, from 100 to 900 ms" in verdict(
        "This box", 1, 900, 2, slower
    )
    assert verdict("The agent", 8, 700, None, None) == (
        "The agent carries at least 8 calls at once with P95 V2V of 700 ms; more were not tried."
    )
    assert verdict("This box", 0, None, 1, what).startswith(
        "This box does not carry 1 at once within the objective (3.9 of 4"
    )
    assert verdict("This box", 0, None, None, None) == "Nothing was measured."


def test_a_bench_that_was_part_of_the_load_says_so() -> None:
    assert warnings(4, CALM) == []
    (found,) = warnings(4, replace(CALM, callers_cores=1.0, machine_cores=2.2))
    assert "at 4 calls the callers took 25% of this machine" in found
    (found,) = warnings(4, replace(CALM, machine_cores=3.0))
    assert "other programs took 40%" in found
    assert warnings(4, replace(CALM, machine_cores=3.0, box_cores=None)) == []


def test_what_nvidia_smi_says() -> None:
    assert parse_gpu("87, 10240, 81559\n") == Gpu(0.87, 10240.0, 81559.0)
    assert parse_gpu("75, 1, 10\n25, 3, 10\n") == Gpu(0.5, 4.0, 20.0)
    for text in ("", "No devices were found", "[N/A], 1, 2"):
        assert parse_gpu(text) is None


BUSY = """
import sys, threading, time
from models.thread_name import name_thread
def work():
    name_thread("engine-3")
    # Long enough to be seen, however loaded the machine is.
    while time.thread_time() < 0.6: pass
    print("done", flush=True)
    time.sleep(60)
threading.Thread(target=work).start()
"""


async def test_a_busy_thread_of_a_process_is_found_by_name() -> None:
    box = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)  # noqa: ASYNC220
    try:
        load = ProcessLoad(box.pid, lambda: ())
        async with asyncio.timeout(LIMIT_S), load.watching():
            began_s = time.monotonic()
            load.begin(began_s)
            assert box.stdout is not None
            await asyncio.to_thread(box.stdout.readline)
            lasted_s = time.monotonic() - began_s
            usage = load.end(time.monotonic())
        assert usage.busiest is not None and usage.busiest[0] == "engine"
        assert usage.threads["engine"] * lasted_s == pytest.approx(0.6, abs=0.15)
        assert usage.box_cores is not None and usage.box_cores >= usage.threads["engine"] * 0.9
        assert usage.cores == os.cpu_count() == len(usage.core_busy)
        assert usage.machine_cores > 0 and usage.callers_cores >= 0
        assert usage.rss_mb is not None and usage.rss_mb > 5
        assert 0 < usage.memory_left_mb < usage.memory_total_mb
        held = vitals(box.pid)
        assert held is not None and held.processes == 1 and held.threads >= 2
        assert held.descriptors >= 3
    finally:
        box.kill()
        box.wait(LIMIT_S)
        with contextlib.suppress(AttributeError):
            box.stdout.close()  # type: ignore[union-attr]
    assert vitals(box.pid) is None


async def test_a_target_of_others_has_no_box() -> None:
    load = ProcessLoad(None, lambda: (2**22 + 1,))
    with pytest.raises(RuntimeError):
        load.end(0.0)
    load.begin(0.0)
    usage = load.end(1.0)
    assert usage.box_cores is usage.rss_mb is usage.others_cores is None
    assert usage.threads == {} and usage.to_json()["cpu_cores"] is None
