"""A caller on plain sockets, and how a door that is being pestered is watched."""

import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from sip_peers import (
    LIMIT_S,
    Packet,
    RtpPeer,
    SubjectProcess,
    assert_contiguous,
    gaps_ms,
)

LONGEST_GAP_MS = 500
"""Far beyond what a busy machine does to a thread; a door that is stuck stays stuck."""
FIRST_TIME = 4
"""What the stack begins once and keeps, such as threads that resolve names."""
SETTLE_S = 45.0
"""Calls that nobody confirmed are gone by then; a transaction holds its connection for 32 s."""


def offer(rtp_port: int, host: str = "127.0.0.1") -> bytes:
    """An ordinary offer of G.711 and keys."""
    lines = (
        "v=0",
        f"o=- 7 7 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {rtp_port} RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=sendrecv",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


@dataclass
class Dialog:
    """One call's names, and the requests that belong to it."""

    user: str
    port: int
    """The door's."""
    own_port: int
    host: str = "127.0.0.1"
    transport: str = "UDP"

    def __post_init__(self) -> None:
        self.call_id = uuid.uuid4().hex
        self.tag = uuid.uuid4().hex[:8]
        self.to_tag = ""

    def request(
        self, method: str, sequence: int, body: bytes = b"", branch: str = "", extra: str = ""
    ) -> bytes:
        """The request as it is on the wire."""
        branch = branch or f"z9hG4bK{uuid.uuid4().hex}"
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        own = f"{self.host}:{self.own_port}"
        content = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} sip:{self.user}@127.0.0.1:{self.port} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.transport} {own};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\n"
            f'From: "Plain" <sip:plain@{own}>;tag={self.tag}\r\n'
            f"To: <sip:{self.user}@127.0.0.1:{self.port}>{to_tag}\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {sequence} {method}\r\n"
            f"Contact: <sip:plain@{own}>\r\n"
            f"{extra}{content}"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def status_of(answer: bytes) -> int:
    """The status of a response; 0 of anything else."""
    found = re.match(rb"SIP/2\.0 (\d{3}) ", answer)
    return int(found[1]) if found else 0


class PlainCaller:
    """One call over UDP. ``rtp`` hears the door's audio and sends a tone of its own."""

    def __init__(self, port: int, user: str, rtp: RtpPeer, host: str = "127.0.0.1") -> None:
        self.user = user
        self.rtp = rtp
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.connect(("127.0.0.1", port))
        self._dialog = Dialog(user, port, self._socket.getsockname()[1], host)

    def call(self, body: bytes | None = None, limit_s: float = LIMIT_S) -> int:
        """Places the call and confirms it; the final status."""
        branch = f"z9hG4bK{uuid.uuid4().hex}"
        body = offer(self.rtp.port) if body is None else body
        invite = self._dialog.request("INVITE", 1, body, branch)
        answer = self._exchange(invite, b"INVITE", limit_s)
        found = re.search(rb"^To:.*;tag=([^;\r]+)", answer, re.M | re.I)
        self._dialog.to_tag = found[1].decode() if found else ""
        status = status_of(answer)
        # A refusal is confirmed within its transaction, an answer on its own (13.2.2.4, 17.1.1.3).
        self._socket.send(
            self._dialog.request("ACK", 1, branch="" if 200 <= status < 300 else branch)
        )
        self.answer = answer
        return status

    def hang_up(self) -> None:
        """Ends the call."""
        assert status_of(self._exchange(self._dialog.request("BYE", 2), b"BYE", LIMIT_S)) == 200

    def close(self) -> None:
        self._socket.close()

    def _exchange(self, request: bytes, method: bytes, limit_s: float) -> bytes:
        """Says it again every half second, as timer A does, until it is answered for good."""
        until_s = time.monotonic() + limit_s
        self._socket.settimeout(0.5)
        while time.monotonic() < until_s:
            self._socket.send(request)
            again_s = time.monotonic() + 0.5
            while time.monotonic() < again_s:
                try:
                    answer = self._socket.recv(65536)
                except (TimeoutError, ConnectionRefusedError):
                    break
                if status_of(answer) >= 200 and method in answer:
                    return answer
        raise AssertionError(f"{method.decode()} for {self.user} was not answered")


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a leak would show in."""

    descriptors: int
    threads: int
    rss_mb: float

    @classmethod
    def of(cls, pid: int) -> "Vitals":
        process = psutil.Process(pid)
        return cls(
            process.num_fds(), process.num_threads(), process.memory_info().rss / 2**20
        )  # fmt: skip


class WatchedCall:
    """A call that must not notice what else happens to its door."""

    def __init__(self, door: SubjectProcess, caller: PlainCaller) -> None:
        self.door = door
        self.caller = caller
        self._seen = len(caller.rtp.packets)

    @property
    def remote(self) -> tuple[str, int]:
        """Where the door takes this call's RTP."""
        assert self.caller.rtp.remote is not None
        return self.caller.rtp.remote

    def check(self, packets: int = 3) -> list[Packet]:
        """Its audio went on since the last time, and still does."""
        rtp = self.caller.rtp
        rtp.wait_packets(packets)
        since = rtp.packets[max(0, self._seen - 1) :]
        self._seen = len(rtp.packets)
        assert_contiguous(since)
        assert max(gaps_ms(since)) < LONGEST_GAP_MS, max(gaps_ms(since))
        assert not self.door.find("over", call=self.caller.user)
        return since

    def check_heard(self) -> None:
        """The door hears the caller's tone. Waits for it: what was sent before is heard out."""
        assert self.caller.rtp.send_hz is not None
        until_s = time.monotonic() + LIMIT_S
        while True:
            heard = self.door.ask("heard", call=self.caller.user)
            if abs(heard["hz"] - self.caller.rtp.send_hz) < 5 and heard["rms"] > 1000:
                return
            assert time.monotonic() < until_s, heard
            time.sleep(0.1)


@contextmanager
def watched_call(door: SubjectProcess, user: str = "watched") -> Iterator[WatchedCall]:
    """A call under way, ended in good order and still of good sound at the end."""
    with RtpPeer() as rtp:
        caller = PlainCaller(door.port, user, rtp)
        try:
            assert caller.call() == 200
            door.wait("answered", call=user)
            rtp.wait_packets(5)
            call = WatchedCall(door, caller)
            yield call
            call.check(10)
            call.check_heard()
            caller.hang_up()
            door.wait("over", call=user)
        finally:
            caller.close()


def assert_new_call_is_answered(door: SubjectProcess) -> None:
    """Somebody else calls and hears the tone."""
    with watched_call(door, f"afterwards-{uuid.uuid4().hex[:8]}") as call:
        call.check(20)


def assert_settled(
    door: SubjectProcess, before: Vitals, *, calls: int, rss_mb: float, kept: int = 0
) -> None:
    """Calls, descriptors and threads are back where they were, memory nearly so.

    ``kept``: so many more may be there.
    """
    until_s = time.monotonic() + SETTLE_S
    while True:
        now = Vitals.of(door.pid)
        active = door.ask("counts")["active"]
        settled = (
            active == calls
            and now.descriptors <= before.descriptors + kept
            and now.threads <= before.threads + kept
        )
        if settled:
            break
        assert time.monotonic() < until_s, (before, now, active)
        time.sleep(0.2)
    assert now.rss_mb - before.rss_mb < rss_mb, (before, now)
