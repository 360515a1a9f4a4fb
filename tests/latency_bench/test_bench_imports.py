"""`offhook --help` stays quick: what the bench adds to the command line imports nothing heavy."""

import json
import subprocess
import sys

HEAVY = {
    *("aiohttp", "aiortc", "av", "httpx2", "jiwer", "matplotlib", "numpy", "pipecat", "pydantic"),
    *("rich", "scipy", "soxr", "websockets", "yaml"),
}
BUILD = """
import argparse, json, sys
from latency_bench import command, demo
subparsers = argparse.ArgumentParser().add_subparsers()
command.command(subparsers)
demo.command(subparsers)
print(json.dumps(sorted(sys.modules)))
"""


def test_the_benchs_commands_import_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUILD], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = json.loads(done.stdout)
    assert {"latency_bench.report_command", "latency_bench.calibration.command"} <= set(imported)
    assert not HEAVY & {name.partition(".")[0] for name in imported}
