"""What the SIP door's tests talk to it with: its own process, and RTP on a plain socket."""

import json
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMIT_S = 15.0
"""For anything that takes well under a second on an idle machine."""
FRAME_SAMPLES = 160
# From linux/time.h; Python's socket module does not name it.
SO_TIMESTAMPNS = 35


def need(binary: str, package: str) -> str:
    """The path of a program; skips where its Debian package is not installed."""
    found = shutil.which(binary)
    if found is None:
        pytest.skip(f"{binary} is not here: apt-get install {package}")
    return found


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    """A port nobody listens on now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class SubjectProcess:
    """tests/telephony/sip_subject.py, running."""

    def __init__(self, *arguments: str, **settings: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "sip_subject.py"), json.dumps(settings), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self.log: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.port = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> "SubjectProcess":
        self.port = int(self.wait("ready")["port"])
        return self

    def do(self, do: str, **facts: object) -> None:
        """Gives one command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **facts}) + "\n")
        self._process.stdin.flush()

    def ask(self, do: str, **facts: object) -> dict[str, Any]:
        """Gives a command that is answered with an event of its own name."""
        seen = len(self.events)
        self.do(do, **facts)
        return self.wait(do, since=seen, **facts)

    def find(self, event: str, since: int = 0, **facts: object) -> list[dict[str, Any]]:
        """The events of a kind so far."""
        wanted = {"event": event, **facts}
        return [
            seen for seen in self.events[since:] if all(seen.get(k) == v for k, v in wanted.items())
        ]

    def wait(
        self,
        event: str,
        *,
        limit_s: float = LIMIT_S,
        since: int = 0,
        count: int = 1,
        **facts: object,
    ) -> dict[str, Any]:
        """The ``count``-th event of a kind, once it is there."""
        with self._news:
            until_s = time.monotonic() + limit_s
            while True:
                found = self.find(event, since, **facts)
                if len(found) >= count:
                    return found[count - 1]
                left_s = until_s - time.monotonic()
                if left_s <= 0 or self._process.poll() is not None and not self._reading():
                    raise AssertionError(
                        f"no {event} {facts} ({len(found)} of {count}, exit "
                        f"{self._process.poll()}); events: {self.events[-40:]}; "
                        f"log: {''.join(self.log[-30:])}"
                    )
                self._news.wait(min(left_s, 0.2))

    def _reading(self) -> bool:
        return self._readers[0].is_alive()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            del self.log[:-2000]

    def stop(self) -> int:
        """Closes the stack; the exit status. Kills it where that takes too long."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it is gone already
        try:
            return self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(LIMIT_S)
            return -9
        finally:
            for reader in self._readers:
                reader.join(5)
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()


@contextmanager
def running(*arguments: str, **settings: object) -> Iterator[SubjectProcess]:
    """The door as a process, and the proof that it neither crashed nor hung at the end."""
    subject = SubjectProcess(*arguments, **settings)
    try:
        yield subject.start()
    except BaseException:
        subject.stop()
        sys.stderr.write("".join(subject.log[-60:]))
        raise
    assert subject.stop() == 0, "".join(subject.log[-30:])


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet, and when the kernel took it in."""

    at_s: float
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    payload: bytes


@dataclass
class RtpPeer:
    """A far end's RTP: keeps what arrives, and answers to where it came from.

    ``send_hz``: the tone it sends once it hears something; None: it only listens.
    """

    send_hz: float | None = 1000.0
    packets: list[Packet] = field(default_factory=list)
    quiet: bool = False
    """Set to stop sending."""

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self.remote: tuple[str, int] | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._sequence = random.randrange(1 << 15)
        self._timestamp = random.randrange(1 << 30)
        self._source = random.randrange(1 << 32)
        self._threads = [threading.Thread(target=self._receive, daemon=True)]
        if self.send_hz is not None:
            self._threads.append(threading.Thread(target=self._send, daemon=True))
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "RtpPeer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def _receive(self) -> None:
        while not self._stopped.is_set():
            try:
                data, extra, _, remote = self._socket.recvmsg(2048, 256)
            except TimeoutError:
                continue
            if len(data) < 12 or 64 <= data[1] & 0x7F < 96:
                continue  # RTCP, on the wrong port or multiplexed
            at_s = time.time()
            for level, kind, value in extra:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("qq", value)
                    at_s = seconds + nanoseconds / 1e9
            second, sequence, timestamp = struct.unpack("!xBHI", data[:8])
            self.remote = remote
            self.packets.append(
                Packet(at_s, second & 0x7F, bool(second & 0x80), sequence, timestamp, data[12:])
            )

    def _packet(self, payload_type: int, payload: bytes, marker: bool, timestamp: int) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return (
            struct.pack(
                "!BBHII",
                0x80,
                payload_type | (marker << 7),
                self._sequence,
                timestamp & 0xFFFFFFFF,
                self._source,
            )
            + payload
        )

    def _send(self) -> None:
        assert self.send_hz is not None
        step = 2 * np.pi * self.send_hz / 8000
        phase = 0.0
        due_s = time.monotonic()
        while not self._stopped.wait(max(0.0, due_s - time.monotonic())):
            due_s += 0.02
            self._timestamp += FRAME_SAMPLES
            if self.remote is None or self.quiet:
                continue
            samples = 8000 * np.sin(phase + step * np.arange(FRAME_SAMPLES))
            phase += step * FRAME_SAMPLES
            with self._lock:
                self._socket.sendto(
                    self._packet(0, encode_ulaw(samples), False, self._timestamp), self.remote
                )

    def press(self, key: str, payload_type: int, *, lose_start: bool = False) -> None:
        """One key as an RFC 4733 event of 100 ms, its end said three times."""
        assert self.remote is not None, "nothing was heard yet"
        event = "0123456789*#ABCD".index(key)
        with self._lock:
            began = self._timestamp
            for number in range(1, 6):
                if not (lose_start and number == 1):
                    self._socket.sendto(
                        self._packet(
                            payload_type,
                            struct.pack("!BBH", event, 10, number * FRAME_SAMPLES),
                            number == 1,
                            began,
                        ),
                        self.remote,
                    )
                time.sleep(0.02)
            for _ in range(3):
                self._socket.sendto(
                    self._packet(payload_type, struct.pack("!BBH", event, 0x8A, 800), False, began),
                    self.remote,
                )
            self._timestamp += 800

    # -- what was heard

    def wait_packets(self, count: int, limit_s: float = LIMIT_S) -> list[Packet]:
        """Packets once there are ``count`` more of them than now."""
        begin = len(self.packets)
        until_s = time.monotonic() + limit_s
        while len(self.packets) < begin + count:
            assert time.monotonic() < until_s, (
                f"{len(self.packets) - begin} of {count} RTP packets on port {self.port}"
            )
            time.sleep(0.01)
        return self.packets[begin : begin + count]

    def wait_quiet(self, quiet_s: float = 0.3, limit_s: float = LIMIT_S) -> None:
        """Returns once no packet came for ``quiet_s``."""
        until_s = time.monotonic() + limit_s
        seen, since_s = len(self.packets), time.monotonic()
        while time.monotonic() - since_s < quiet_s:
            assert time.monotonic() < until_s, "RTP goes on"
            time.sleep(0.02)
            if len(self.packets) != seen:
                seen, since_s = len(self.packets), time.monotonic()

    def digits(self) -> str:
        """The keys the other side pressed, by their RFC 4733 events, once each."""
        events: dict[int, int] = {}
        for packet in self.packets:
            if packet.payload_type >= 96 and len(packet.payload) == 4:
                events.setdefault(packet.timestamp, packet.payload[0])
        return "".join("0123456789*#ABCD"[event] for event in events.values())


def gaps_ms(packets: list[Packet]) -> list[float]:
    """Milliseconds between packets, by the kernel's clock."""
    return [(b.at_s - a.at_s) * 1000 for a, b in zip(packets, packets[1:], strict=False)]


def assert_contiguous(packets: list[Packet], step: int = FRAME_SAMPLES) -> None:
    """Sequence numbers and timestamps go up by one frame from packet to packet."""
    for before, after in zip(packets, packets[1:], strict=False):
        assert (after.sequence - before.sequence) & 0xFFFF == 1, (before, after)
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == step, (before, after)


def _ulaw_table() -> NDArray[np.int32]:
    code = ~np.arange(256) & 0xFF
    value = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -value, value).astype(np.int32)


ULAW = _ulaw_table()
_ORDER = np.argsort(ULAW, kind="stable")


def encode_ulaw(samples: NDArray[Any]) -> bytes:
    """ITU-T G.711 mu-law of samples in the range of PCM16: the nearest code's."""
    levels = ULAW[_ORDER]
    middles = (levels[1:] + levels[:-1]) / 2
    return _ORDER[np.searchsorted(middles, samples)].astype(np.uint8).tobytes()


def decode_ulaw(packets: list[Packet]) -> NDArray[np.int32]:
    """The PCM of PCMU packets."""
    return ULAW[np.frombuffer(b"".join(p.payload for p in packets), np.uint8)]


def loudest_hz(samples: NDArray[Any], rate_hz: int) -> float:
    """The frequency of the strongest line in a spectrum."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


def tone_ratio_db(samples: NDArray[Any], rate_hz: int, hz: float) -> float:
    """How far the tone stands above everything else, in dB."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    inside = np.abs(frequencies - hz) < 20
    return float(10 * np.log10(power[inside].sum() / max(power[~inside].sum(), 1e-9)))
