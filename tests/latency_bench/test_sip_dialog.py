"""What a caller sends and understands, without a network."""

import pytest

from latency_bench.sip.dialog import Dialog
from latency_bench.sip.message import (
    MessageReader,
    Request,
    Response,
    SipFault,
    compose,
    parse,
    reason_text,
)
from latency_bench.sip.uri import UriError, parse_uri

ANSWER = (
    "SIP/2.0 200 OK\r\n"
    "v: SIP/2.0/UDP 127.0.0.1:4000;branch=z9hG4bK-t-invite-1\r\n"
    "Record-Route: <sip:edge2;lr>, <sip:edge1;lr>\r\n"
    "Record-Route: <sip:edge0;lr>\r\n"
    "From: <sip:bench@127.0.0.1>;tag=t\r\n"
    "To: <sip:agent@127.0.0.1>;tag=far\r\n"
    "Call-ID: c@127.0.0.1\r\n"
    "CSeq: 1 INVITE\r\n"
    "m: <sip:agent-0x1@127.0.0.1:5070>;expires=60\r\n"
    "\r\n"
)


def _dialog(target: str = "sip:agent@127.0.0.1:5070") -> Dialog:
    return Dialog(parse_uri(target), ("127.0.0.1", 4000), "c@127.0.0.1", "t")


def _answer(text: str = ANSWER) -> Response:
    answer = parse(text.encode())
    assert isinstance(answer, Response)
    return answer


def test_an_invite_says_its_own_length_and_way() -> None:
    invite = _dialog("sip:agent@127.0.0.1:5070;transport=tcp").invite("v=0\r\n").raw.decode()
    assert invite.startswith("INVITE sip:agent@127.0.0.1:5070;transport=tcp SIP/2.0\r\n")
    assert "Via: SIP/2.0/TCP 127.0.0.1:4000;" in invite
    assert "Contact: <sip:bench@127.0.0.1:4000;transport=tcp>" in invite
    assert "Content-Length: 5\r\n" in invite


def test_the_dialog_follows_the_answer() -> None:
    dialog = _dialog()
    invite = dialog.invite("v=0\r\n")
    assert invite.branch == _answer().headers.branch
    dialog.answered(_answer())
    assert dialog.next_hop == "sip:edge0;lr"
    bye = dialog.request("BYE").raw.decode()
    assert bye.startswith("BYE sip:agent-0x1@127.0.0.1:5070 SIP/2.0\r\n")
    routes = [line for line in bye.split("\r\n") if line.startswith("Route")]
    assert routes == [f"Route: <sip:edge{n};lr>" for n in (0, 1, 2)]
    assert "To: <sip:agent@127.0.0.1>;tag=far" in bye
    assert "CSeq: 2 BYE" in bye


def test_a_refusal_is_confirmed_in_its_own_transaction() -> None:
    dialog = _dialog()
    invite = dialog.invite("v=0\r\n")
    refusal = _answer(ANSWER.replace("200 OK", "486 Busy Here"))
    ack = dialog.ack(invite, refusal)
    assert ack.branch == invite.branch
    assert ack.raw.startswith(b"ACK sip:agent@127.0.0.1:5070 SIP/2.0\r\n")
    assert b"tag=far" in ack.raw
    cancel = dialog.cancel(invite)
    assert cancel.branch == invite.branch
    assert b"CSeq: 1 CANCEL" in cancel.raw


def test_a_request_of_the_far_end_is_answered_with_what_it_said() -> None:
    bye = parse(
        b"BYE sip:bench@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nf: a\r\nTo: b;tag=t\r\n"
        b'Call-ID: c@127.0.0.1\r\nCSeq: 7 BYE\r\nReason: Q.850;cause=16;text="all done"\r\n'
        b"X-Other: 1\r\n\r\n"
    )
    assert isinstance(bye, Request)
    assert _dialog().owns(bye)
    assert reason_text(bye.headers) == "all done"
    answer = bye.answer(200, "OK").decode()
    assert answer.startswith("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x\r\nFrom: a\r\n")
    assert "Cseq: 7 BYE" in answer
    assert "x-other" not in answer.lower()


def test_another_call_is_not_this_one() -> None:
    raw = b"BYE sip:bench@h SIP/2.0\r\nTo: b;tag=t\r\nCall-ID: other\r\nCSeq: 7 BYE\r\n\r\n"
    bye = parse(raw)
    assert isinstance(bye, Request)
    assert not _dialog().owns(bye)


@pytest.mark.parametrize("junk", [b"", b"\0\xff", b"HTTP/1.1 200 OK\r\n\r\n", b"SIP/2.0 abc"])
def test_what_is_no_sip_is_refused(junk: bytes) -> None:
    with pytest.raises(SipFault):
        parse(junk)


def test_messages_are_cut_from_a_stream_wherever_it_is_split() -> None:
    first = compose(["SIP/2.0 200 OK", "CSeq: 1 INVITE"], "v=0\r\n\r\nno header: 1\r\n")
    second = compose(["SIP/2.0 180 Ringing"])
    stream = b"\r\n\r\n" + first + b"\r\n" + second
    for size in (1, 7, len(stream)):
        reader = MessageReader()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [message for piece in pieces for message in reader.feed(piece)] == [first, second]


@pytest.mark.parametrize(
    "flood",
    [b"A: " + b"x" * 70_000, b"SIP/2.0 200 OK\r\nContent-Length: 9999999\r\n\r\n"],
)
def test_a_stream_without_an_end_is_refused(flood: bytes) -> None:
    with pytest.raises(SipFault):
        MessageReader().feed(flood)


@pytest.mark.parametrize(
    ("text", "host", "port", "transport"),
    [
        ("sip:agent@127.0.0.1", "127.0.0.1", 5060, "udp"),
        ("sip:+1555@trunk.example.com:5080;transport=TCP", "trunk.example.com", 5080, "tcp"),
        ("sip:proj@sip.example.com;transport=tls", "sip.example.com", 5061, "tls"),
        ("sips:a@[2001:db8::1]", "2001:db8::1", 5061, "tls"),
        ("sip:localhost;user=phone", "localhost", 5060, "udp"),
    ],
)
def test_addresses_are_taken_apart(text: str, host: str, port: int, transport: str) -> None:
    uri = parse_uri(text)
    assert (uri.host, uri.port_or_default, uri.transport) == (host, port, transport)


@pytest.mark.parametrize(
    "text", ["sip:", "http://x", "sip:a b@c", "sip:a@h:99999", "sip:a@h;transport=carrier-pigeon"]
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(UriError, match="write|port|transport"):
        parse_uri(text)
