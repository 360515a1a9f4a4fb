"""A program that ends with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from latency_bench import leash

LIMIT_S = 30.0
STARTER = """
import subprocess, sys, time
from latency_bench.leash import leashed
child = subprocess.Popen(leashed((sys.executable, "-c", "import time; time.sleep(600)")))
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells of a parent's death")
def test_it_ends_when_its_starter_is_killed() -> None:
    starter = subprocess.Popen((sys.executable, "-c", STARTER), stdout=subprocess.PIPE)
    assert starter.stdout is not None
    with starter, starter.stdout:
        child = psutil.Process(int(starter.stdout.readline()))
        try:
            until_s = time.monotonic() + LIMIT_S
            # The leash is on once it has become the program.
            while child.cmdline()[-2:] != ["-c", "import time; time.sleep(600)"] or (
                "leash.py" in " ".join(child.cmdline())
            ):
                assert time.monotonic() < until_s
                time.sleep(0.02)
            starter.send_signal(signal.SIGKILL)
            starter.wait(LIMIT_S)
            _gone([child])
        finally:
            starter.kill()
            if child.is_running():
                child.kill()


def _gone(processes: list[psutil.Process]) -> None:
    """Nobody waits for an orphan here: a zombie is gone, too."""
    until_s = time.monotonic() + LIMIT_S
    for process in processes:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until_s, "it outlived its starter"
            time.sleep(0.05)


def test_it_passes_on_arguments_output_and_status() -> None:
    script = "import sys; print(sys.argv[1:], flush=True); sys.exit(7)"
    command = leash.leashed((sys.executable, "-c", script, "a b", "--x"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 7 and done.stdout == "['a b', '--x']\n"


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    command = leash.leashed((str(tmp_path / "none"),))
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 127 and "No such file" in done.stderr


def test_it_does_not_begin_without_its_starter() -> None:
    words = list(leash.leashed((sys.executable, "-c", "print('ran')")))
    words[4] = str(os.getpid() + 1)
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == leash.PARENT_GONE and not done.stdout
