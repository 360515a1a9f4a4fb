"""Another process that writes call records."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from agent.records.source import Source

HOLD = """
import sys
from dataclasses import replace
import record_process, test_record_holder as t
store = t.CallStore(record_process.named(sys.argv[1:]))
store.start_call(replace(t.CALL, call_id="theirs"))
assert store.flush(20)
print("under way", flush=True)
if sys.stdin.readline() == "end\\n":
    store.end_call(replace(t.CALL, call_id="theirs", cause="caller hung up"))
    store.close(20)
"""
HERE = Path(__file__).parent


def words(source: Source) -> list[str]:
    """What `named` makes it from, in the other process."""
    url = source.url.render_as_string(hide_password=False) if source.url else ""
    return [str(source.path), url]


def named(arguments: list[str]) -> Source:
    """The reverse of `words`."""
    path, url = arguments
    return Source(Path(path), make_url(url) if url else None)


def start(script: str, source: Source) -> "subprocess.Popen[str]":
    """Runs ``script`` beside these tests."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *words(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{HERE.parents[1]}:{HERE}", "PATH": "/usr/bin:/bin"},
    )


@contextmanager
def other_process(source: Source) -> Iterator["subprocess.Popen[str]"]:
    """A process with a call under way, called `theirs`; it ends it when told so."""
    child = start(HOLD, source)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "under way\n"
        yield child
    finally:
        child.kill()
        child.communicate(timeout=20)
