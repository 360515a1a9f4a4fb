"""Kamailio, rtpengine and workers as processes of a test, on free ports, in its own folder."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from telephony.edge.control import EdgeControl, EdgeUnreachable
from telephony.edge.dispatcher import Destination, write_list

ROOT = Path(__file__).resolve().parents[2]
EDGE = ROOT / "telephony" / "edge"
UP_LIMIT_S = 30.0
REALM = "offhook"
PASSWORD = "correct-horse"
LISTS = ("dispatcher.list", "addresses.list", "db/credentials")

needs_edge = pytest.mark.skipif(
    not (shutil.which("kamailio") and shutil.which("rtpengine")),
    reason="needs Kamailio and rtpengine: apt-get install --no-install-recommends kamailio "
    "kamailio-tls-modules rtpengine-daemon",
)


def until(fact: Callable[[], Any], what: str, limit_s: float = UP_LIMIT_S) -> Any:
    deadline_s = time.monotonic() + limit_s
    while not (found := fact()):
        assert time.monotonic() < deadline_s, f"not within {limit_s:g} s: {what}"
        time.sleep(0.05)
    return found


def free_ports(count: int) -> list[int]:
    """Neighbouring ports that are free for UDP and TCP now, below those given out at random."""
    start = 12000 + os.getpid() % 400 * 40
    for first in range(start, 31000, count):
        if all(_is_free(port) for port in range(first, first + count)):
            return list(range(first, first + count))
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@contextmanager
def process(
    command: list[str], environ: Mapping[str, str], cwd: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        child = subprocess.Popen(
            command, env={**os.environ, **environ}, cwd=cwd, stdout=out, stderr=out,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)


class Edge:
    """A running edge; ``folder`` holds its lists, ``control`` speaks to it."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.folder = folder
        self.port, self.tls_port, self.internal_port, self.ng_port, *rest = ports
        self.worker_ports, self.http_ports = rest[:8], rest[8:]
        """For SIP and for HTTP of workers."""
        self.address = ("127.0.0.1", self.port)
        self.internal = ("127.0.0.1", self.internal_port)
        self.control = EdgeControl(folder)
        self.rtp_from, self.rtp_to = 31000 + self.port % 10 * 100, 0
        self.environ: dict[str, str] = {}

    def set_trunks(self, *addresses: str) -> None:
        path = self.folder / "dispatcher.list"
        kept = [line for line in path.read_text().splitlines() if not line.startswith("2 ")]
        trunks = [f"2 sip:{address} 0 {len(addresses) - n}" for n, address in enumerate(addresses)]
        path.write_text("\n".join(kept + trunks) + "\n")
        self.control.reload_workers()

    def set_workers(self, *ports: int) -> None:
        write_list(
            self.folder / "dispatcher.list", [Destination("127.0.0.1", port) for port in ports]
        )
        self.control.reload_workers()

    def active(self) -> set[int]:
        """Ports of the workers that take calls."""
        workers = self.control.workers().items()
        return {int(uri.rpartition(":")[2]) for uri, flags in workers if flags.startswith("A")}

    def log(self) -> str:
        return (self.folder / "kamailio.log").read_text(errors="replace")


def edge_folder(folder: Path, users: Mapping[str, str], trunks: tuple[str, ...]) -> None:
    """The folder as README.md says to make it."""
    (folder / "db").mkdir(parents=True)
    for name in LISTS:
        shutil.copy(EDGE / "folder" / name, folder / name)
    with (folder / "addresses.list").open("a") as addresses:
        addresses.writelines(f"1 {address} 32\n" for address in trunks)
    with (folder / "db" / "credentials").open("a") as credentials:
        for user, password in users.items():
            ha1 = hashlib.md5(f"{user}:{REALM}:{password}".encode()).hexdigest()
            credentials.write(f"{user}:0:0:{ha1}:0\n")
    write_list(folder / "dispatcher.list", [])


@contextmanager
def running_edge(
    folder: Path,
    users: Mapping[str, str] | None = None,
    trunks: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    media_address: str = "127.0.0.1",
) -> Iterator[Edge]:
    edge_folder(folder, users or {"alice": PASSWORD}, trunks)
    ports = free_ports(20)
    edge = Edge(folder, ports)
    edge.rtp_from = 20000 + ports[0] % 5000 * 2
    edge.rtp_to = edge.rtp_from + 400
    edge.environ = {
        "EDGE_FOLDER": str(folder),
        "EDGE_PORT": str(edge.port),
        "EDGE_TLS_PORT": str(edge.tls_port),
        "EDGE_INTERNAL_PORT": str(edge.internal_port),
        "EDGE_RTPENGINE": f"udp:127.0.0.1:{edge.ng_port}",
        "EDGE_WORKER_PORTS_FROM": str(edge.worker_ports[0]),
        "EDGE_WORKER_PORTS_TO": str(edge.worker_ports[-1]),
        "EDGE_PROCESSES": "2",
        "EDGE_MASK_KEY": "a key for this test alone",
        **(environ or {}),
    }
    rtpengine = [
        "rtpengine", f"--config-file={EDGE / 'rtpengine.conf'}",
        f"--interface=external/{media_address}", "--interface=internal/127.0.0.1",
        f"--listen-ng=127.0.0.1:{edge.ng_port}",
        f"--port-min={edge.rtp_from}", f"--port-max={edge.rtp_to}",
    ]  # fmt: skip
    kamailio = [
        "kamailio", "-f", str(EDGE / "kamailio.cfg"), "-DD", "-E", "-m", "64", "-M", "8",
        "-w", str(folder), "-Y", str(folder), "-P", str(folder / "kamailio.pid"),
    ]  # fmt: skip
    with (
        media_server(rtpengine, edge.ng_port, folder / "rtpengine.log"),
        process(kamailio, edge.environ, folder, folder / "kamailio.log") as signalling,
    ):

        def up() -> bool:
            assert signalling.poll() is None, edge.log()[-3000:]
            try:
                edge.control.bans()
            except EdgeUnreachable:
                return False
            return True

        until(up, "Kamailio answers")
        yield edge


@contextmanager
def media_server(command: list[str], ng_port: int, log: Path) -> Iterator[None]:
    """rtpengine, once it answers a ping of its control protocol."""
    with (
        process(command, {}, log.parent, log) as child,
        socket.socket(type=socket.SOCK_DGRAM) as ng,
    ):
        ng.settimeout(0.1)

        def answers() -> bool:
            assert child.poll() is None, log.read_text()[-3000:]
            try:
                ng.sendto(b"1 d7:command4:pinge", ("127.0.0.1", ng_port))
                return b"pong" in ng.recv(1000)
            except OSError:
                return False

        until(answers, "rtpengine answers")
        yield


class Worker:
    """A stand-in worker (edge_worker.py) as a process."""

    def __init__(self, child: subprocess.Popen[bytes], port: int, http_port: int) -> None:
        self.child = child
        self.port = port
        self.http_port = http_port

    def status(self) -> dict[str, int] | None:
        return worker_status(self.http_port)


def worker_status(http_port: int) -> dict[str, int] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/api/status", timeout=5) as got:
            found = json.load(got)
            assert isinstance(found, dict)
            return found
    except (OSError, urllib.error.URLError):
        return None


@contextmanager
def running_worker(edge: Edge, port: int, drain_s: float = 60) -> Iterator[Worker]:
    http_port = edge.http_ports[edge.worker_ports.index(port)]
    environ = {
        "OFFHOOK_SIP__PORT": str(port),
        "OFFHOOK_SERVER__PORT": str(http_port),
        "OFFHOOK_CALLS__DRAIN_S": str(drain_s),
    }
    command = [sys.executable, str(Path(__file__).with_name("edge_worker.py"))]
    with process(command, environ, edge.folder, edge.folder / f"worker-{port}.log") as child:
        worker = Worker(child, port, http_port)
        until(worker.status, f"worker {port} is up")
        try:
            yield worker
        finally:
            child.kill()
