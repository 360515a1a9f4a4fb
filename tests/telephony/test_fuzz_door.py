"""Malformed SIP, SDP, RTP and RTCP from fixed seeds, sent to the door while a call runs."""

import socket
import struct
import time
from collections.abc import Iterator, Sequence

import pytest
from malformed import (
    LARGEST_DATAGRAM,
    Malformed,
    offers,
    rtcp_packets,
    rtp_packets,
    sip_messages,
)
from plain_caller import (
    FIRST_TIME,
    PlainCaller,
    Vitals,
    WatchedCall,
    assert_new_call_is_answered,
    assert_settled,
    watched_call,
)
from sip_peers import LIMIT_S, RtpPeer, SubjectProcess, running

SOURCE = "127.0.78.1"
RSS_MB = 24.0
TCP_HELD = 24
"""A connection reset half way is held until its transaction's timer ends, after 32 s."""
AT_ONCE = 10
"""Inputs between two looks at the call that must not notice."""


@pytest.fixture(scope="module")
def door() -> Iterator[SubjectProcess]:
    with running("--answer-limit", "1.0", rtp_from="any") as subject:
        yield subject


@pytest.fixture(scope="module")
def call(door: SubjectProcess) -> Iterator[WatchedCall]:
    with watched_call(door) as call:
        yield call


def in_batches(inputs: Sequence[Malformed]) -> Iterator[Sequence[Malformed]]:
    for at in range(0, len(inputs), AT_ONCE):
        yield inputs[at : at + AT_ONCE]


def udp(host: str = SOURCE) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((host, 0))
    return sender


def test_there_are_hundreds_and_they_are_the_same_each_time() -> None:
    def all_inputs() -> list[Malformed]:
        return [*sip_messages(), *offers(4000), *rtp_packets(0, 101), *rtcp_packets()]

    inputs = all_inputs()
    assert len({data.name for data in inputs}) == len(inputs) >= 200
    assert [data.data for data in all_inputs()] == [data.data for data in inputs]
    assert max(len(data.data) for data in inputs) <= LARGEST_DATAGRAM


def test_malformed_sip_over_udp(door: SubjectProcess, call: WatchedCall) -> None:
    def everything() -> None:
        with udp() as sender:
            for batch in in_batches(list(sip_messages())):
                for malformed in batch:
                    sender.sendto(malformed.data, ("127.0.0.1", door.port))
                call.check(2)

    quiet = Vitals.of(door.pid)
    everything()
    assert_settled(door, quiet, calls=1, rss_mb=RSS_MB, kept=FIRST_TIME)
    used = Vitals.of(door.pid)
    everything()
    assert_settled(door, used, calls=1, rss_mb=RSS_MB)
    # Some were sound enough to ring, or nothing but the first byte was ever read.
    assert door.find("ringing", call="refuse-486")
    call.check_heard()
    assert_new_call_is_answered(door)


def test_malformed_sip_over_tcp(door: SubjectProcess, call: WatchedCall) -> None:
    def everything() -> None:
        for batch in in_batches(list(sip_messages())):
            connections = []
            for malformed in batch:
                connection = socket.create_connection(
                    ("127.0.0.1", door.port), LIMIT_S, (SOURCE, 0)
                )
                connections.append(connection)
                try:
                    connection.sendall(malformed.data)
                except (ConnectionResetError, BrokenPipeError):
                    continue  # It was turned away half way through.
            call.check(2)
            for connection in connections:
                connection.close()

    quiet = Vitals.of(door.pid)
    everything()
    assert_settled(door, quiet, calls=1, rss_mb=RSS_MB, kept=TCP_HELD)
    used = Vitals.of(door.pid)
    everything()
    assert_settled(door, used, calls=1, rss_mb=RSS_MB, kept=TCP_HELD)
    call.check_heard()
    assert_new_call_is_answered(door)


def test_a_message_in_single_bytes_and_connections_that_say_nothing(
    door: SubjectProcess, call: WatchedCall
) -> None:
    before = Vitals.of(door.pid)
    silent = [
        socket.create_connection(("127.0.0.1", door.port), LIMIT_S, (SOURCE, 0)) for _ in range(60)
    ]
    with socket.create_connection(("127.0.0.1", door.port), LIMIT_S, (SOURCE, 0)) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = (
            "OPTIONS sip:agent@127.0.0.1 SIP/2.0",
            "Via: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKslow",
            "Max-Forwards: 70",
            "From: <sip:a@b>;tag=1",
            "To: <sip:agent@127.0.0.1>",
            "Call-ID: slow",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
            "\r\n",
        )
        asked = "\r\n".join(lines).encode()
        for byte in asked:
            slow.send(bytes([byte]))
        assert slow.recv(4096).startswith(b"SIP/2.0 200 ")
    call.check(5)
    for connection in silent:
        connection.close()
    assert_settled(door, before, calls=1, rss_mb=RSS_MB, kept=FIRST_TIME)


def test_malformed_offers(door: SubjectProcess, call: WatchedCall) -> None:
    """Each is a whole call: what can be answered is confirmed, talks, and is hung up."""

    def everything() -> int:
        answered = 0
        with RtpPeer() as rtp:
            for malformed in offers(rtp.port):
                caller = PlainCaller(door.port, f"echo-{malformed.name}", rtp)
                try:
                    if caller.call(malformed.data) == 200:
                        answered += 1
                        time.sleep(0.03)
                        caller.hang_up()
                finally:
                    caller.close()
                call.check(1)
        return answered

    quiet = Vitals.of(door.pid)
    answered = everything()
    assert answered >= 10
    assert_settled(door, quiet, calls=1, rss_mb=RSS_MB, kept=FIRST_TIME)
    used = Vitals.of(door.pid)
    # Never more than the wire would: an offer is answered or not whenever it comes.
    assert everything() == answered
    assert_settled(door, used, calls=1, rss_mb=RSS_MB)
    call.check_heard()
    assert_new_call_is_answered(door)


def test_malformed_rtp_and_rtcp(door: SubjectProcess, call: WatchedCall) -> None:
    host, port = call.remote

    def everything() -> None:
        # From another address than the caller's, as anybody can who guesses the port.
        with udp() as sender:
            for batch in in_batches(list(rtp_packets(0, 101))):
                for malformed in batch:
                    sender.sendto(malformed.data, (host, port))
                call.check(1)
            for batch in in_batches(list(rtcp_packets())):
                for malformed in batch:
                    sender.sendto(malformed.data, (host, port + 1))
                    sender.sendto(malformed.data, (host, port))
                call.check(1)

    quiet = Vitals.of(door.pid)
    everything()
    assert_settled(door, quiet, calls=1, rss_mb=RSS_MB, kept=FIRST_TIME)
    used = Vitals.of(door.pid)
    everything()
    assert_settled(door, used, calls=1, rss_mb=RSS_MB)
    call.check_heard()
    assert_new_call_is_answered(door)


def test_a_flood_of_keys(door: SubjectProcess, call: WatchedCall) -> None:
    """A thousand keys that begin and never end, and durations beyond any hand."""
    with RtpPeer() as rtp:
        pressing = PlainCaller(door.port, "many-keys", rtp)
        try:
            assert pressing.call() == 200
            rtp.wait_packets(5)
            assert rtp.remote is not None
            with udp("127.0.0.1") as sender:
                for number in range(1000):
                    head = struct.pack("!BBHII", 0x80, 0x80 | 101, number, number * 160, 9)
                    event = struct.pack("!BBH", number % 16, 10 if number % 3 else 0x8A, 0xFFFF)
                    sender.sendto(head + event, rtp.remote)
                    if number % 100 == 99:
                        call.check(1)
            rtp.wait_packets(10)
            pressing.hang_up()
        finally:
            pressing.close()
    door.wait("over", call="many-keys")
    keys = {event["key"] for event in door.find("digit", call="many-keys")}
    assert keys <= set("0123456789*#ABCD")
    call.check_heard()
