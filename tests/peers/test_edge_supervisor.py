"""`offhook serve --workers N`: real processes, a real edge, workers that are stand-ins."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from edge_peer import SipPeer
from edge_processes import Edge, free_ports, needs_edge, process, running_edge, until

TRUNK = "127.0.0.23"
AGENT = "sip:agent@offhook"
SUPERVISED = Path(__file__).with_name("edge_supervised.py")
ROOT = Path(__file__).resolve().parents[2]


class Supervised:
    """A running supervisor."""

    def __init__(self, child: "subprocess.Popen[bytes]", status: Path, log: Path) -> None:
        self.child = child
        self._status = status
        self._log = log

    def report(self) -> dict[str, Any]:
        found = json.loads(self._status.read_text())
        assert isinstance(found, dict)
        return found

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def workers(self, state: str) -> list[dict[str, Any]]:
        if not self._status.exists():
            return []
        return [worker for worker in self.report()["workers"] if worker["state"] == state]

    def until(self, fact: Callable[[], Any], what: str) -> Any:
        def checked() -> Any:
            return fact()

        try:
            return until(checked, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from None


@contextmanager
def supervised(tmp_path: Path, **settings: str) -> Iterator[Supervised]:
    status, log = tmp_path / "workers.json", tmp_path / "supervisor.log"
    environ = {
        "OFFHOOK_RECORDS__PATH": str(tmp_path / "calls.sqlite3"),
        "OFFHOOK_WORKERS__STATUS": str(status),
        "OFFHOOK_CALLS__DRAIN_S": "30",
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    with process([sys.executable, str(SUPERVISED)], environ, tmp_path, log) as child:
        running = Supervised(child, status, log)
        pids: set[int] = set()
        try:
            yield running
        finally:
            if status.exists():
                pids = {w["pid"] for w in running.report()["workers"] if w["pid"]}
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


@asynccontextmanager
async def trunk_at(edge: Edge) -> AsyncIterator[SipPeer]:
    trunk = await SipPeer.open(TRUNK, edge.address, "trunk")
    try:
        yield trunk
    finally:
        trunk.close()


def ports(edge: Edge) -> dict[str, str]:
    return {
        "OFFHOOK_WORKERS__SIP_PORT": str(edge.worker_ports[0]),
        "OFFHOOK_WORKERS__HTTP_PORT": str(edge.http_ports[0]),
        "OFFHOOK_WORKERS__EDGE": str(edge.folder),
    }


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(tmp_path_factory.mktemp("edge") / "edge", trunks=(TRUNK,)) as running:
        yield running


@needs_edge
async def test_a_killed_workers_place_is_taken_and_its_callers_hear_of_it(
    edge: Edge, tmp_path: Path
) -> None:
    count = {"OFFHOOK_WORKERS__COUNT": "2", "OFFHOOK_WORKERS__RESERVE": "yes"}
    with supervised(tmp_path, **count, **ports(edge)) as running:
        up = lambda: len(running.workers("serving")) == 2 and running.workers("reserve")  # noqa: E731
        await asyncio.to_thread(running.until, up, "two serve and one waits")
        uris = {worker["sip"] for worker in running.workers("serving")}
        assert {u for u, flags in edge.control.workers().items() if "D" not in flags} == uris
        async with trunk_at(edge) as trunk:
            calls = [await trunk.call(AGENT) for _ in range(4)]
            victim = running.workers("serving")[0]
            port = victim["sip"].rpartition(":")[2]
            theirs = [call for call in calls if call.answered_by == f"worker-{port}"]
            others = [call for call in calls if call not in theirs]
            assert theirs and others
            os.kill(victim["pid"], signal.SIGKILL)
            after = await asyncio.gather(*(trunk.call(AGENT) for _ in range(4)))
            assert f"worker-{port}" not in {call.answered_by for call in after}
            # The edge hangs up for the dead one; nobody is left listening to silence.
            async with asyncio.timeout(15):
                for call in theirs:
                    await call.ended.wait()
            await asyncio.to_thread(running.until, up, "full strength again")
            assert [call.ended.is_set() for call in others] == [False] * len(others)
            (dead,) = [w for w in running.report()["workers"] if w["worker"] == victim["worker"]]
            assert dead["last_exit"] == "killed by signal 9" and dead["starts"] == 2
            for call in (*others, *after):
                assert (await call.request("BYE")).status == 200


@needs_edge
async def test_sigterm_takes_no_new_call_and_loses_none(edge: Edge, tmp_path: Path) -> None:
    count = {"OFFHOOK_WORKERS__COUNT": "2", "OFFHOOK_WORKERS__RESERVE": "no"}
    with supervised(tmp_path, **count, **ports(edge)) as running:
        up = lambda: len(running.workers("serving")) == 2  # noqa: E731
        await asyncio.to_thread(running.until, up, "two serve")
        async with trunk_at(edge) as trunk:
            calls = [await trunk.call(AGENT) for _ in range(4)]
            assert len({call.answered_by for call in calls}) == 2
            running.child.terminate()
            left = lambda: len(running.workers("leaving")) == 2  # noqa: E731
            await asyncio.to_thread(running.until, left, "both leave")
            assert edge.active() == set()
            for call in calls:
                await call.media.send(10)
                async with asyncio.timeout(10):
                    while call.media.received < 8:
                        await asyncio.sleep(0.02)
            assert running.child.poll() is None
            for call in calls:
                assert (await call.request("BYE")).status == 200
            assert await asyncio.to_thread(running.child.wait, 20) == 0, running.log()
    assert "is lost" not in running.log()


@needs_edge
async def test_sighup_replaces_every_worker_under_calls(edge: Edge, tmp_path: Path) -> None:
    count = {"OFFHOOK_WORKERS__COUNT": "1", "OFFHOOK_WORKERS__RESERVE": "yes"}
    with supervised(tmp_path, **count, **ports(edge)) as running:
        up = lambda: running.workers("serving") and running.workers("reserve")  # noqa: E731
        await asyncio.to_thread(running.until, up, "one serves and one waits")
        before = {worker["pid"] for worker in running.report()["workers"]}
        async with trunk_at(edge) as trunk:
            call = await trunk.call(AGENT)
            running.child.send_signal(signal.SIGHUP)
            left = lambda: running.workers("leaving")  # noqa: E731
            await asyncio.to_thread(running.until, left, "the first one leaves")
            newer = await trunk.call(AGENT)
            assert newer.answered_by != call.answered_by
            assert (await call.request("BYE")).status == 200
            assert (await newer.request("BYE")).status == 200

        def renewed() -> bool:
            now = {worker["pid"] for worker in running.report()["workers"]}
            return not (now & before) and bool(up())

        await asyncio.to_thread(running.until, renewed, "all are fresh")
        assert "is lost" not in running.log()


def settings_alone(tmp_path: Path) -> dict[str, str]:
    sip_port, *_, http_port, _ = free_ports(6)
    return {
        "OFFHOOK_WORKERS__COUNT": "1",
        "OFFHOOK_WORKERS__RESERVE": "no",
        "OFFHOOK_WORKERS__SIP_PORT": str(sip_port),
        "OFFHOOK_WORKERS__HTTP_PORT": str(http_port),
    }


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv: apt-get install util-linux")
def test_workers_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, **settings_alone(tmp_path)) as running:
        (worker,) = running.until(lambda: running.workers("serving"), "it serves")
        running.child.kill()
        running.child.wait(10)
        running.until(lambda: not _runs(worker["pid"]), "the worker ends too")


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_settings_that_no_worker_can_run_with_end_the_supervisor(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import sys\nprint('the model is missing')\nsys.exit(2)\n")
    with supervised(tmp_path, STAND_IN=str(broken), **settings_alone(tmp_path)) as running:
        assert running.child.wait(30) == 2
        assert "[1] the model is missing" in running.log()
        assert "Traceback" not in running.log()


STUBBORN = """
import http.server, json, os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Status(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"active_calls": 1}).encode())
port = int(os.environ["OFFHOOK_SERVER__PORT"])
http.server.HTTPServer(("127.0.0.1", port), Status).serve_forever()
"""


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(STUBBORN)
    with supervised(tmp_path, STAND_IN=str(stubborn), **settings_alone(tmp_path)) as running:
        (worker,) = running.until(lambda: running.workers("serving"), "it serves")
        running.child.terminate()
        running.until(lambda: running.workers("leaving"), "it is told to leave")
        assert worker["calls"] <= 1 and _runs(worker["pid"])
        running.child.terminate()
        assert running.child.wait(20) == 1
        running.until(lambda: not _runs(worker["pid"]), "the worker is gone")


def test_a_worker_that_dies_is_started_again_later_and_later(tmp_path: Path) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text("import sys\nsys.exit(7)\n")
    with supervised(tmp_path, STAND_IN=str(dying), **settings_alone(tmp_path)) as running:
        running.until(lambda: "a new one starts in 4 s" in running.log(), "the third death")
        assert "worker 1 is lost (exit status 7); a new one starts in 1 s" in running.log()
        assert running.report()["workers"][0]["last_exit"] == "exit status 7"
        running.child.terminate()
        assert running.child.wait(20) == 0
