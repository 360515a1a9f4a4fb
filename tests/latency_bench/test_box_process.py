"""A child that behaves and some that do not, in the place of the box."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from latency_bench.box_process import BoxFailed, BoxProcess, free_port

READY = """
import http.server, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/status" else 404)
        self.end_headers()
    def log_message(self, *_): pass
print("arguments", sys.argv[1:], flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
DEAF = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
DYING = """
import sys
print("port 7860 is in use; stop the other program", file=sys.stderr)
sys.exit(2)
"""


def box(tmp_path: Path, script: str) -> BoxProcess:
    port = free_port()
    return BoxProcess(
        f"http://127.0.0.1:{port}",
        tmp_path / "box.log",
        program=(sys.executable, "-c", script, str(port)),
    )


async def test_a_box_is_watched_and_ended(tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        async with box(tmp_path, READY) as running:
            ready_s = await running.until_ready(limit_s=30)
            assert 0 < ready_s < 30 and running.ready_s == ready_s
            assert running.rss_mb() > 1
            assert 0 <= await running.cpu(0.2) < 8
            running.check()
            (child,) = _children_with(str(running.url.rpartition(":")[2]))
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert "'serve'" in running.log.read_text()


async def test_a_box_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    async with asyncio.timeout(60), box(tmp_path, DYING) as running:
        with pytest.raises(BoxFailed, match="exit status 2; it said:\n  port 7860 is in use"):
            await running.until_ready(limit_s=30)


async def test_a_box_that_never_answers_is_given_up(tmp_path: Path) -> None:
    async with asyncio.timeout(60), box(tmp_path, "import time; time.sleep(600)") as running:
        with pytest.raises(BoxFailed, match=r"not ready after 0 s and said nothing"):
            await running.until_ready(limit_s=0.3)


async def test_a_box_that_ignores_the_signal_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latency_bench.box_process.STOP_LIMIT_S", 0.5)
    async with asyncio.timeout(60):
        async with box(tmp_path, DEAF) as running:
            while "deaf" not in running.log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            (child,) = _children_with(str(running.url.rpartition(":")[2]))
        assert not child.is_running()


async def test_a_box_ends_with_an_error_in_the_bench(tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(ZeroDivisionError):
            async with box(tmp_path, READY) as running:
                await running.until_ready(limit_s=30)
                (child,) = _children_with(str(running.url.rpartition(":")[2]))
                raise ZeroDivisionError
        assert not child.is_running()


def _children_with(argument: str) -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if argument in p.cmdline()]
