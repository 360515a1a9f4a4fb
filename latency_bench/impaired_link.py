"""Two network namespaces joined by a wire that loses, delays and reorders packets.

Each end is a TUN device in a namespace of its own; what a process sends there is carried over by
a thread here, with faults that mean what they mean to ``tc netem``. Unlike netem it needs no
module of the kernel, which many containers and small virtual machines lack, and it draws from a
seed: every run loses the same packets.
"""

import argparse
import array
import errno
import fcntl
import heapq
import math
import os
import random
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

ADDRESSES = ("10.77.0.1", "10.77.0.2")
"""Of the two ends; the namespaces know nothing else."""
DEVICE = "wire0"
TUN = Path("/dev/net/tun")
PACKET_BYTES = 2048
START_LIMIT_S = 20.0
LONGEST_QUEUE = 10_000
# linux/if_tun.h
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

End = Literal[0, 1]


class LinkFailed(Exception):
    """No such link can be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the network does to packets, each way, in the words of ``tc netem``."""

    name: str
    loss: float = 0.0
    """Share of packets, each drawn by itself."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Each packet is delayed by ``delay_ms`` and up to this much less or more, evenly drawn; where
    that is more than a packet's 20 ms, packets overtake each other."""
    reorder: float = 0.0
    """Share of packets that are not delayed at all and so overtake others."""
    outage_s: float = 0.0
    """Nothing passes for this long, ``outage_after_s`` from the first packet on and again every
    ``outage_every_s`` (0: once)."""
    outage_after_s: float = 0.0
    outage_every_s: float = 0.0


class Impairment:
    """One direction of a link. Pure: draws from ``seed``, and is told the time."""

    def __init__(self, fault: Fault, seed: int) -> None:
        self._fault = fault
        self._random = random.Random(seed)
        self._first_s: float | None = None

    def arrival_s(self, sent_s: float) -> float | None:
        """When a packet sent at ``sent_s`` arrives; None: never."""
        fault = self._fault
        # One draw each for every packet, so that a fault does not move another one's draws.
        lost, overtaking, spread = (self._random.random() for _ in range(3))
        if self._first_s is None:
            self._first_s = sent_s
        since_s = sent_s - self._first_s - fault.outage_after_s
        if since_s >= 0 and since_s % (fault.outage_every_s or math.inf) < fault.outage_s:
            return None
        if lost < fault.loss:
            return None
        if overtaking < fault.reorder:
            return sent_s
        delay_ms = fault.delay_ms + (2 * spread - 1) * fault.jitter_ms
        return sent_s + max(0.0, delay_ms) / 1000


class Link:
    """The wire. A context manager; processes started at its ends are the caller's to end."""

    def __init__(self, fault: Fault, seed: int = 0) -> None:
        self.fault = fault
        self.carried = 0
        self.lost = 0
        self._directions = [Impairment(fault, 2 * seed), Impairment(fault, 2 * seed + 1)]
        self._devices: list[int | None] = [None, None]
        self._queue: list[tuple[float, int, int, bytes]] = []
        """(when due, order, to which end, packet)"""
        self._order = 0
        self._began_s = time.monotonic()
        self._stopped = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._carry, name=f"link {fault.name}", daemon=True)

    def __enter__(self) -> "Link":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._selector.close()
        for device in self._devices:
            if device is not None:
                os.close(device)

    def start(
        self,
        end: End,
        command: Sequence[str],
        *,
        stdin: int | IO[str] | None = subprocess.DEVNULL,
        stderr: int | IO[str] | None = None,
    ) -> "subprocess.Popen[str]":
        """Runs ``command`` at one end, with its output on a pipe. Once for each end.

        Raises LinkFailed.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            process = subprocess.Popen(
                [
                    *_namespace(),
                    *(sys.executable, "-m", "latency_bench.impaired_link"),
                    *(str(theirs.fileno()), ADDRESSES[end], *command),
                ],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                pass_fds=(theirs.fileno(),),
            )
            theirs.close()
            try:
                device = _received_device(ours)
            except LinkFailed:
                process.kill()
                process.communicate()
                raise
        os.set_blocking(device, False)
        self._devices[end] = device
        self._selector.register(device, selectors.EVENT_READ, end)
        return process

    # -- the wire itself, in its thread

    def _carry(self) -> None:
        while not self._stopped.is_set():
            wait_s = 0.05
            if self._queue:
                wait_s = min(wait_s, max(0.0, self._queue[0][0] - self._now_s()))
            if not self._selector.get_map():
                self._stopped.wait(0.02)
                continue
            for key, _ in self._selector.select(wait_s):
                self._take(key.data)
            self._deliver()

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    def _take(self, end: int) -> None:
        device = self._devices[end]
        assert device is not None
        while True:
            try:
                packet = os.read(device, PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # Its namespace ended with its last process.
                self._selector.unregister(device)
                return
            if packet[0] >> 4 != 4:
                continue  # IPv6 looks for neighbours, of which there are none
            due_s = self._directions[end].arrival_s(self._now_s())
            if due_s is None or len(self._queue) >= LONGEST_QUEUE:
                self.lost += 1
                continue
            self._order += 1
            heapq.heappush(self._queue, (due_s, self._order, 1 - end, packet))

    def _deliver(self) -> None:
        while self._queue and self._queue[0][0] <= self._now_s():
            _, _, end, packet = heapq.heappop(self._queue)
            device = self._devices[end]
            if device is None:
                continue
            try:
                os.write(device, packet)
                self.carried += 1
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EBADFD, errno.EAGAIN):
                    raise


def why_not() -> str:
    """Why no link can be made on this machine; empty: one can."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare and ip are needed: apt-get install util-linux iproute2"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} cannot be opened: run as root, or with --device {TUN} in a container"
    tried = subprocess.run(
        [*_namespace(), "true"], capture_output=True, text=True, timeout=START_LIMIT_S, check=False
    )
    if tried.returncode:
        return f"no network namespace can be made ({tried.stderr.strip()}): run as root"
    return ""


def _namespace() -> tuple[str, ...]:
    return ("unshare", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--")


def _received_device(channel: socket.socket) -> int:
    channel.settimeout(START_LIMIT_S)
    try:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    except TimeoutError as error:
        raise LinkFailed("the end of a link did not come up") from error
    if not descriptors:
        raise LinkFailed("the end of a link did not come up; see what it printed")
    return descriptors[0]


def _open_end(channel: int, address: str) -> None:
    """Makes this namespace an end, and hands its device to the wire."""
    device = os.open(TUN, os.O_RDWR)
    name = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(device, _TUNSETIFF, name)
    for command in (
        ("link", "set", "lo", "up"),
        ("addr", "add", f"{address}/24", "dev", DEVICE),
        ("link", "set", DEVICE, "up"),
    ):
        subprocess.run(("ip", *command), check=True, timeout=START_LIMIT_S)
    with socket.socket(fileno=channel) as to_wire:
        to_wire.sendmsg(
            [b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [device]))]
        )
    os.close(device)


def main() -> None:
    """Run by `Link.start` in a new namespace: ``CHANNEL ADDRESS COMMAND...``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("channel", type=int)
    parser.add_argument("address")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    _open_end(args.channel, args.address)
    os.execvp(args.command[0], args.command)


if __name__ == "__main__":
    main()
