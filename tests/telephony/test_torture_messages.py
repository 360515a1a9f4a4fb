"""RFC 4475: every torture message, over UDP and TCP, while a call runs."""

import itertools
import socket
from collections.abc import Iterator

import pytest
from plain_caller import (
    FIRST_TIME,
    Vitals,
    WatchedCall,
    assert_new_call_is_answered,
    assert_settled,
    watched_call,
)
from sip_peers import LIMIT_S, SubjectProcess, running
from torture_messages import MESSAGES, Torture

SOURCE = "127.0.77.1"
"""Answers go to the port that the message names, such as 5060: nobody listens here."""
NUMBERS = itertools.count()
RSS_MB = 16.0


@pytest.fixture(scope="module")
def door() -> Iterator[SubjectProcess]:
    with running("--answer-limit", "1.0") as subject:
        yield subject


@pytest.fixture(scope="module")
def call(door: SubjectProcess) -> Iterator[WatchedCall]:
    with watched_call(door) as call:
        yield call


def send(data: bytes, transport: str, port: int) -> socket.socket:
    """Sends the message; the socket, for what comes back."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    sender = socket.socket(socket.AF_INET, kind)
    sender.settimeout(LIMIT_S)
    sender.bind((SOURCE, 0))
    sender.connect(("127.0.0.1", port))
    sender.sendall(data)
    return sender


def test_the_collection_is_whole() -> None:
    assert len(MESSAGES) == len({torture.section for torture in MESSAGES}) == 49
    # The lengths that the RFC gives tell whether its bytes are all here.
    wrong = {t.name for t in MESSAGES if t.said_length != str(len(t.body)).encode()}
    assert wrong == {"dblreq", "clerr", "ncl", "mcl01", "inv2543"}
    by_name = {torture.name: torture.data for torture in MESSAGES}
    assert b'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:' in by_name["intmeth"]
    assert "но сто девяносто девять - простое".encode() in by_name["unreason"]
    assert by_name["trws"].startswith(b"OPTIONS sip:remote-target@example.com SIP/2.0  \r\n")
    assert len(by_name["longreq"]) > 3000


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("torture", MESSAGES, ids=lambda t: f"{t.section}-{t.name}")
def test_a_call_does_not_notice(
    door: SubjectProcess, call: WatchedCall, torture: Torture, transport: str
) -> None:
    for data in (torture.data, torture.acceptable(next(NUMBERS))):
        with send(data, transport, door.port):
            call.check(2)


def test_nothing_is_left_behind(door: SubjectProcess, call: WatchedCall) -> None:
    def everything() -> None:
        for torture in MESSAGES:
            for transport in ("udp", "tcp"):
                for data in (torture.data, torture.acceptable(next(NUMBERS))):
                    send(data, transport, door.port).close()
            call.check(1)

    quiet = Vitals.of(door.pid)
    everything()
    assert_settled(door, quiet, calls=1, rss_mb=RSS_MB, kept=FIRST_TIME)
    used = Vitals.of(door.pid)
    everything()
    # They are not all turned away at the door: some calls ring, and are never confirmed.
    for user in ("j.user", "j_user", "user", "%75se%72"):
        assert door.wait("gone", call=user)["error"].endswith("(no ACK)")
    assert_settled(door, used, calls=1, rss_mb=RSS_MB)
    call.check_heard()
    assert_new_call_is_answered(door)
