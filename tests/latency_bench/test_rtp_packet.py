"""RTP packets, their order, keys as events, and the wire's thread."""

import socket
import struct
import threading
import time
from collections.abc import Iterable, Sequence

import pytest

from latency_bench.sip.rtp_keys import PAUSE_FRAMES, PRESS_FRAMES, KeySender
from latency_bench.sip.rtp_packet import Place, RtpOrder, RtpPacket, parse_rtp
from latency_bench.sip.rtp_wire import Address, RtpWire, open_rtp_socket, shared_wire


def _packet(sequence: int, timestamp: int, source: int = 1) -> RtpPacket:
    return RtpPacket(0, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, source, b"")


def _places(packets: Iterable[tuple[RtpPacket, float]]) -> list[Place]:
    order = RtpOrder(8000)
    return [order.place(packet, at_s) for packet, at_s in packets]


def test_a_packet_is_read_back() -> None:
    packet = RtpPacket(101, 65535, 4_000_000_000, 7, b"abc", marker=True)
    assert parse_rtp(packet.pack()) == packet


def test_extensions_contributors_and_padding_are_no_sound() -> None:
    head = struct.pack("!BBHII", 0x80 | 0x20 | 0x10 | 1, 0, 5, 6, 7)
    raw = head + b"CSRC" + struct.pack("!HH", 0xBEDE, 1) + b"ext!" + b"sound" + b"\0\0\3"
    found = parse_rtp(raw)
    assert found is not None and found.payload == b"sound"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80" * 11,
        b"SIP/2.0 200 OK",
        struct.pack("!BBHII", 0x80, 200, 6, 7, 8),  # RTCP
        struct.pack("!BBHII", 0x90, 0, 6, 7, 8),  # an extension that is not there
        struct.pack("!BBHII", 0xA0, 0, 6, 7, 8) + b"\xff",  # more padding than packet
    ],
)
def test_what_is_no_rtp_is_none(raw: bytes) -> None:
    assert parse_rtp(raw) is None


def test_numbers_are_unwrapped_and_late_packets_find_their_place() -> None:
    arrivals = [(65534, 0.0), (65535, 0.02), (1, 0.04), (0, 0.05), (2, 0.08)]
    unwrapped = [sequence if sequence > 60000 else sequence + 65536 for sequence, _ in arrivals]
    places = _places(
        (_packet(sequence, 2**32 - 320 + (number - 65534) * 160), at_s)
        for (sequence, at_s), number in zip(arrivals, unwrapped, strict=True)
    )
    assert [place.sequence for place in places] == [0, 1, 3, 2, 4]
    assert [place.timestamp for place in places] == [0, 160, 480, 320, 640]
    assert not any(place.repeated or place.restarted for place in places)


def test_a_packet_that_comes_twice_is_known() -> None:
    places = _places([(_packet(5, 0), 0.0), (_packet(6, 160), 0.02), (_packet(5, 0), 0.03)])
    assert [place.repeated for place in places] == [False, False, True]


def test_a_new_source_goes_on_by_the_clock() -> None:
    places = _places([(_packet(5, 0), 0.0), (_packet(900, 77_777, source=2), 1.0)])
    assert places[1] == Place(1, 8000, restarted=True)


def test_a_timestamp_from_nowhere_leaves_no_hole_of_hours() -> None:
    order = RtpOrder(8000)
    order.place(_packet(0, 0), 0.0)
    for number in range(1, 200):
        # Each one five hours after the one before, by its own account.
        place = order.place(_packet(number, number * 5 * 3600 * 8000), number * 0.02)
    assert place.timestamp <= 200 * 160 + 5 * 8000


def test_sources_by_turns_far_ahead_make_no_line_of_minutes() -> None:
    order = RtpOrder(8000)
    ahead = 0
    for number in range(500):
        # A new source every other packet, whose second one is 4.9 s after its first.
        packet = _packet(number, (number % 2) * 39_200, source=number // 2)
        at_s = number * 0.02
        ahead = max(ahead, order.place(packet, at_s).timestamp - round(at_s * 8000))
    assert ahead <= 5 * 8000


def test_an_agent_that_sends_nothing_in_silence_is_no_new_one() -> None:
    silence = _places([(_packet(0, 0), 0.0), (_packet(1, 160 + 20 * 8000), 20.02)])
    assert silence[1] == Place(1, 160 + 20 * 8000)


def test_a_key_is_held_for_100_ms_and_ends_three_times() -> None:
    sender = KeySender(8000)
    sender.press("5x#")
    frames = [sender.packets(1000 + 160 * n) for n in range(2 * (PRESS_FRAMES + PAUSE_FRAMES) + 3)]
    counts = [len(frame) for frame in frames]
    assert counts == ([1, 1, 1, 1, 3] + [0] * 5) * 2 + [0] * 3
    first = [packet for frame in frames[:5] for packet in frame]
    events = [struct.unpack("!BBH", packet.payload) for packet in first]
    assert [event[0] for event in events] == [5] * 7
    assert [event[1] >> 7 for event in events] == [0, 0, 0, 0, 1, 1, 1]
    assert [event[2] for event in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [packet.marker for packet in first] == [True] + [False] * 6
    assert {packet.began for packet in first} == {1000}
    assert frames[10][0].payload[0] == 11 and frames[10][0].began == 1000 + 1600


class _End:
    """Says its number, and counts what comes."""

    def __init__(self, faulty: bool = False) -> None:
        self.socket = open_rtp_socket("127.0.0.1")
        self.peer: Address | None = None
        self.asked_s: list[float] = []
        self.left_s: list[float] = []
        self.came: list[tuple[bytes, float]] = []
        self.broken: Exception | None = None
        self._faulty = faulty

    def due(self, now_s: float) -> Sequence[bytes]:
        if self._faulty:
            raise ValueError("a fault of this end")
        self.asked_s.append(now_s)
        return (b"%d" % len(self.asked_s),)

    def departed(self, at_s: float) -> None:
        self.left_s.append(at_s)

    def arrived(self, data: bytes, at_s: float, source: Address) -> None:
        self.came.append((data, at_s))

    def broke(self, error: Exception) -> None:
        self.broken = error


def _until(true: object, limit_s: float = 10.0) -> None:
    assert callable(true)
    until_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < until_s, "it did not come about"
        time.sleep(0.01)


def test_frames_leave_on_a_beat_and_arrive_with_the_kernels_time() -> None:
    one, other = _End(), _End()
    with RtpWire() as wire:
        wire.add(other)
        one.peer = other.socket.getsockname()
        wire.add(one)
        _until(lambda: len(other.came) >= 25)
        wire.remove(one)
        wire.remove(other)
        count = len(one.asked_s)
        time.sleep(0.05)
        assert len(one.asked_s) == count, "asked after it was removed"
    assert [data for data, _ in other.came[:25]] == [b"%d" % (n + 1) for n in range(25)]
    for asked_s, left_s, (_, came_s) in zip(one.asked_s, one.left_s, other.came, strict=False):
        # The kernel's stamp is on the same clock: after it left, and not when it was read.
        assert asked_s <= left_s <= came_s + 0.001
    assert other.asked_s == [], "nothing is asked of an end without a peer"
    for end in (one, other):
        end.socket.close()


def test_a_faulty_end_does_not_silence_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    faulty, sound = _End(faulty=True), _End()
    with RtpWire() as wire:
        for end in (faulty, sound):
            end.peer = ("127.0.0.1", 9)
            wire.add(end)
        _until(lambda: faulty.broken is not None and len(sound.asked_s) > 3)
        for end in (faulty, sound):
            wire.remove(end)
            end.socket.close()
    assert isinstance(faulty.broken, ValueError)


def test_the_wire_is_shared_and_ends_with_its_last_user() -> None:
    with shared_wire() as one:
        with shared_wire() as other:
            assert one is other
        end = _End()
        end.peer = ("127.0.0.1", 9)
        one.add(end)
        _until(lambda: len(end.asked_s) > 2)
        one.remove(end)
        end.socket.close()
    _until(lambda: not any(thread.name == "rtp-wire" for thread in threading.enumerate()))
    with shared_wire() as fresh:
        assert fresh is not one


class _Slow(threading.Event):
    """Leaves the thread that waits for it the time to act before whoever set it goes on."""

    def set(self) -> None:
        super().set()
        time.sleep(0.005)


@pytest.mark.parametrize(("rounds", "stopped"), [(200, threading.Event), (20, _Slow)])
def test_a_wire_that_is_closed_while_packets_come_ends_quietly(
    rounds: int, stopped: type[threading.Event]
) -> None:
    """Closing races with the thread's own end, which may come first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        for _ in range(rounds):
            one, other = _End(), _End()
            one.peer = far.getsockname()
            with shared_wire() as wire:
                wire._stopped = stopped()
                wire.add(one)
                wire.add(other)
                for _ in range(3):
                    far.sendto(b"x", one.socket.getsockname())
                wire.remove(one)
                # Keeps the thread awake.
                for _ in range(3):
                    far.sendto(b"x", other.socket.getsockname())
            one.socket.close()
            _until(lambda wire=wire: wire.closed)
            other.socket.close()
    _until(lambda: not any(thread.name == "rtp-wire" for thread in threading.enumerate()))


def test_a_wire_that_has_ended_can_be_closed_again_and_takes_nobody() -> None:
    for _ in range(20):
        wire = RtpWire()
        wire.close()
        _until(lambda wire=wire: wire.closed)
        wire.close()
        late = _End()
        wire.add(late)
        wire.remove(late)
        late.socket.close()
        assert isinstance(late.broken, OSError)


def test_a_wire_that_breaks_tells_its_ends_and_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with shared_wire() as wire:

        def fail() -> float | None:
            raise MemoryError("no more")

        monkeypatch.setattr(wire, "_send_due", fail)
        wire.add(end := _End())
        _until(lambda: wire.closed)
        wire.remove(end)
        with shared_wire() as fresh:
            assert fresh is not wire and not fresh.closed
    end.socket.close()
    assert isinstance(end.broken, MemoryError)
    _until(lambda: not any(thread.name == "rtp-wire" for thread in threading.enumerate()))


def test_rtp_sockets_are_on_even_ports() -> None:
    with open_rtp_socket("127.0.0.1") as opened:
        assert isinstance(opened, socket.socket)
        assert opened.getsockname()[1] % 2 == 0
