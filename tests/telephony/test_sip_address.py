"""SIP addresses as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip_address import address_of, is_literal, target_fault, transport_of, user_of


@pytest.mark.parametrize(
    ("text", "address", "user"),
    [
        ('"A" <sip:alice@example.com:5070;transport=tcp>;tag=1', "alice@example.com:5070", "alice"),
        ("sips:+15551234567@192.0.2.1", "+15551234567@192.0.2.1", "+15551234567"),
        ("<sip:example.com>", "example.com", ""),
        ("tel:+15551234567;phone-context=x", "+15551234567", "+15551234567"),
        ("nonsense", "", ""),
        ("<sip:+15551234567;npdi=yes@h>", "+15551234567@h", "+15551234567"),
        (
            "<sip:+15551234567;isub=1;rn=+1555@h:5080;x=y>;tag=1",
            "+15551234567@h:5080",
            "+15551234567",
        ),
        ("SIP:agent@box", "agent@box", "agent"),
        ("<TEL:+15551234567>", "+15551234567", "+15551234567"),
        ('"Hotel: desk" <sip:+1555@h>', "+1555@h", "+1555"),
        ('"sip:sales@x" <sip:agent@box>', "agent@box", "agent"),
        ('"a \\" <sip:sales@x>" <sip:agent@box>', "agent@box", "agent"),
        ("Hotel <sip:agent@box>", "agent@box", "agent"),
        ("sip:agent:secret@box;x=1", "agent@box", "agent"),
        ("sip:box?subject=a", "box", ""),
    ],
)
def test_what_an_address_names(text: str, address: str, user: str) -> None:
    assert address_of(text) == address
    assert user_of(text) == user


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("sip:a@b", "udp"),
        ("sip:a@b;transport=TCP", "tcp"),
        ("sip:a@b;lr;transport=tls", "tls"),
        ("sips:a@b;transport=tcp", "tls"),
    ],
)
def test_the_transport_that_is_asked_for(uri: str, transport: str) -> None:
    assert transport_of(uri) == transport


@pytest.mark.parametrize(
    ("uri", "literal"),
    [
        ("sip:a@192.0.2.1:5061;transport=tls", True),
        ("sips:a@[2001:db8::1]", True),
        ("sip:192.0.2.1", True),
        ("sip:1.2.3.4@example.com", False),
        ("sip:example.com:5061", False),
    ],
)
def test_addresses_and_names(uri: str, literal: bool) -> None:
    assert is_literal(uri) is literal


@pytest.mark.parametrize(
    "uri",
    [
        "sip:+15551234567@192.0.2.1",
        "sip:agent@example.com:5070;transport=tcp",
        "sips:a@[2001:db8::1]:5061",
        "sip:example.com",
        "sip:100*5#@pbx_1.local;user=phone",
        "sip:%61@host.",
    ],
)
def test_what_may_be_called(uri: str) -> None:
    assert target_fault(uri) == ""


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "sip:",
        "sip:@",
        "sip:x@",
        "foo",
        "x@127.0.0.1",
        "tel:+15551234567",
        "http://x",
        "<sip:x@y>",
        "sip:x@..",
        "sip:x@-y.com",
        "sip:x@[::1",
        "sip:x@[:::1]",
        "sip:x@y:0",
        "sip:x@y:65536",
        "sip:x@y;transport=sctp",
        "sip:x@y;transport=udp;transport=tcp",
        "sip:x@y?Replaces=1",
        "sip:x y@z",
        "sip:x@y\r\nFrom: z",
        "sip:x:secret@y",
        "sip:" + "x" * 300 + "@y",
        "sip:x@" + "h" * 64,
    ],
)
def test_what_may_not_be_called(uri: str) -> None:
    assert target_fault(uri)


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    for uri in (text, f"sip:{text}", f"sip:x@{text}", f"<sip:{text}>"):
        assert isinstance(target_fault(uri), str)
        address_of(uri), user_of(uri), transport_of(uri)
