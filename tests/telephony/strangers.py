"""Who has no business at the door: plain sockets at another address of this machine."""

import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from plain_caller import Dialog, offer, status_of
from sip_peers import FRAME_SAMPLES, LIMIT_S, encode_ulaw

STRANGER = "127.0.0.9"


@contextmanager
def udp(host: str = STRANGER) -> Iterator[socket.socket]:
    """A socket at an address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((host, 0))
        own.settimeout(LIMIT_S)
        yield own


def dialog_of(own: socket.socket, port: int, user: str) -> Dialog:
    """The names of a call that a socket places to the door at ``port``."""
    host, own_port = own.getsockname()
    return Dialog(user, port, own_port, host)


def assert_unheard(own: socket.socket, port: int) -> None:
    """What ``own`` sent was read by the door, and not answered."""
    with udp("127.0.0.2") as fence:
        options = dialog_of(fence, port, "agent").request("OPTIONS", 1)
        assert status_of(answer_to(fence, options, port)) == 200
    own.setblocking(False)
    try:
        raise AssertionError(own.recv(65536))
    except BlockingIOError:
        own.settimeout(LIMIT_S)


def statuses(own: socket.socket, *finals: int) -> set[int]:
    """The statuses that came until all of ``finals`` were there."""
    found: set[int] = set()
    while not found >= set(finals):
        found.add(status_of(own.recv(65536)))
    return found


def answer_to(own: socket.socket, request: bytes, port: int) -> bytes:
    """The final response to a request that is said once more where none comes."""
    method = request.split(b" ", 1)[0]
    own.settimeout(1.0)
    for _ in range(int(LIMIT_S)):
        own.sendto(request, ("127.0.0.1", port))
        try:
            while True:
                answer = own.recv(65536)
                if status_of(answer) >= 200 and b" " + method + b"\r\n" in answer:
                    return answer
        except TimeoutError:
            continue
    raise AssertionError(f"{method.decode()} was not answered")


class StrangersRtp:
    """RTP to a call's port from an address of choice, as its far end would send it."""

    def __init__(self, remote: tuple[str, int], host: str = STRANGER) -> None:
        self._remote = remote
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._sequence = random.randrange(1 << 15)
        self._timestamp = random.randrange(1 << 30)
        self._source = random.randrange(1 << 32)

    def __enter__(self) -> "StrangersRtp":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _send(self, payload_type: int, payload: bytes, marker: bool = False) -> None:
        self._sequence += 1
        head = struct.pack(
            "!BBHII",
            0x80,
            payload_type | (marker << 7),
            self._sequence,
            self._timestamp,
            self._source,
        )
        self._socket.sendto(head + payload, self._remote)

    def press(self, key: int) -> None:
        """One key (RFC 4733, payload type 101), its end said three times."""
        for number in range(1, 6):
            self._send(101, struct.pack("!BBH", key, 10, number * FRAME_SAMPLES), number == 1)
            time.sleep(0.02)
        for _ in range(3):
            self._send(101, struct.pack("!BBH", key, 0x8A, 800))
        self._timestamp += 1600

    def sing(self, hz: float, frames: int) -> None:
        """A tone in real time (PCMU)."""
        for frame in range(frames):
            at = np.arange(frame * FRAME_SAMPLES, (frame + 1) * FRAME_SAMPLES)
            self._send(0, encode_ulaw(8000 * np.sin(2 * np.pi * hz / 8000 * at)))
            self._timestamp += FRAME_SAMPLES
            time.sleep(0.02)


class Callee:
    """Answers one call at ``STRANGER``, and can end it."""

    def __init__(self, rtp_port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((STRANGER, 0))
        self._socket.settimeout(LIMIT_S)
        self._rtp_port = rtp_port
        self.port: int = self._socket.getsockname()[1]
        self.tag = "callee"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._confirmed = threading.Event()
        self._ended = threading.Event()

    def __enter__(self) -> "Callee":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(LIMIT_S)
        self._socket.close()

    def wait_confirmed(self) -> None:
        """Returns once its answer was confirmed."""
        assert self._confirmed.wait(LIMIT_S), "no ACK came"

    def bye(self, tag: str = "") -> bytes:
        """A BYE of this call, by default with the right tag for the other side."""
        own = f"{STRANGER}:{self.port}"
        theirs = self._from if not tag else re.sub(r"tag=[^;]*", f"tag={tag}", self._from)
        return (
            f"BYE {self._contact} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {own};branch=z9hG4bK{random.randrange(1 << 60)};rport\r\n"
            "Max-Forwards: 70\r\n"
            f"From: {self._to};tag={self.tag}\r\nTo: {theirs}\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def _serve(self) -> None:
        self._socket.settimeout(0.2)
        while not self._ended.is_set():
            try:
                request, caller = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            if request.startswith(b"INVITE"):
                self._socket.sendto(self._ok(request.decode()), caller)
            elif request.startswith(b"ACK"):
                self._confirmed.set()

    def _ok(self, invite: str) -> bytes:
        def header(name: str) -> str:
            found = re.search(rf"^{name}: *(.*?)\r$", invite, re.M | re.I)
            assert found is not None, invite
            return found[1]

        self._from, self._to, self._call_id = header("From"), header("To"), header("Call-ID")
        self._contact = re.sub(r"^<([^>]*)>.*", r"\1", header("Contact"))
        body = offer(self._rtp_port)
        return (
            f"SIP/2.0 200 OK\r\nVia: {header('Via')}\r\nFrom: {self._from}\r\n"
            f"To: {self._to};tag={self.tag}\r\nCall-ID: {self._call_id}\r\n"
            f"CSeq: {header('CSeq')}\r\nContact: <sip:callee@{STRANGER}:{self.port}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
