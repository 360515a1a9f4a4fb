"""What a caller sends and understands, without a network."""

import pytest

from latency_bench.sip_dialog import Dialog, Request, Response, SipFault, ok_to, parse

ANSWER = (
    "SIP/2.0 200 OK\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:4000;branch=z9hG4bK-invite-t\r\n"
    "Record-Route: <sip:edge2;lr>\r\n"
    "Record-Route: <sip:edge1;lr>\r\n"
    "From: <sip:bench@127.0.0.1>;tag=t\r\n"
    "To: <sip:agent@127.0.0.1>;tag=far\r\n"
    "Call-ID: c@127.0.0.1\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:agent-0x1@127.0.0.1:5070>;expires=60\r\n"
    "Content-Type: application/sdp\r\n"
    "\r\n"
    "v=0\r\nc=IN IP4 127.0.0.9\r\nm=audio 4002 RTP/AVP 0\r\n"
)


def _dialog() -> Dialog:
    return Dialog("sip:agent@127.0.0.1:5070", ("127.0.0.1", 4000), 4010, "c@127.0.0.1", "t")


def test_an_invite_says_its_own_length() -> None:
    head, _, body = _dialog().invite().decode().partition("\r\n\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert "m=audio 4010 RTP/AVP 0 101" in body


def test_an_answer_is_read_and_the_dialog_follows_it() -> None:
    answer = parse(ANSWER.encode())
    assert isinstance(answer, Response)
    assert (answer.status, answer.method, answer.media) == (200, "INVITE", ("127.0.0.9", 4002))
    dialog = _dialog()
    dialog.answered(answer)
    bye = dialog.bye().decode()
    assert bye.startswith("BYE sip:agent-0x1@127.0.0.1:5070 SIP/2.0\r\n")
    assert bye.index("Route: <sip:edge1;lr>") < bye.index("Route: <sip:edge2;lr>")
    assert "To: <sip:agent@127.0.0.1>;tag=far" in bye
    assert "CSeq: 2 BYE" in bye


def test_a_request_of_the_far_end_is_answered_with_what_it_said() -> None:
    bye = parse(
        b"BYE sip:bench@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nFrom: a\r\nTo: b\r\n"
        b"Call-ID: c@127.0.0.1\r\nCSeq: 7 BYE\r\nX-Other: 1\r\n\r\n"
    )
    assert isinstance(bye, Request)
    answer = ok_to(bye).decode()
    assert answer.startswith("SIP/2.0 200 OK\r\nvia: SIP/2.0/UDP x\r\n")
    assert "cseq: 7 BYE" in answer
    assert "x-other" not in answer


@pytest.mark.parametrize("junk", [b"", b"\0\xff", b"HTTP/1.1 200 OK\r\n\r\n", b"SIP/2.0 abc"])
def test_what_is_no_sip_is_refused(junk: bytes) -> None:
    with pytest.raises(SipFault):
        parse(junk)
