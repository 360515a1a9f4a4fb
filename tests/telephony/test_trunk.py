"""Trunks: who may call, who answers, what may be dialled, and how much."""

import ipaddress
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip_target import SipTarget, check_target
from telephony.trunk import (
    CallRefused,
    DialRefused,
    Fault,
    Network,
    Trunk,
    Trunks,
    address_of,
    number_to_dial,
)
from telephony.trunk_load import TokenBucket, TrunkLoad


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


CARRIER = Trunk(
    "carrier",
    "sip.carrier.example",
    allow=networks("192.0.2.0/24", "2001:db8::/32"),
    numbers={"+15551234567": "sales", "15557654321": "agent"},
    destinations=("+1",),
)
PBX = Trunk("pbx", "10.0.0.5:5080", allow=networks("10.0.0.5"), destinations=("2XX",))
BOTH = Trunks([CARRIER, PBX], allow=networks("198.51.100.0/24"), profiles=["sales"])


# -- calls that come in


@pytest.mark.parametrize(
    ("source", "dialled", "trunk", "profile"),
    [
        ("192.0.2.7:5060", "+15551234567", "carrier", "sales"),
        ("192.0.2.7:5060", "sip:15551234567@box", "carrier", "sales"),
        ("192.0.2.7:5060", "0015557654321", "carrier", "agent"),
        ("[2001:db8::7]:5060", "+15551234567", "carrier", "sales"),
        ("::ffff:192.0.2.7", "+15551234567", "carrier", "sales"),
        ("10.0.0.5:40000", "anything", "pbx", ""),
        ("198.51.100.9:5060", "sales", None, "sales"),
        ("198.51.100.9:5060", "agent", None, ""),
    ],
)
def test_who_takes_a_call(source: str, dialled: str, trunk: str | None, profile: str) -> None:
    taken = BOTH.inbound(source, dialled)
    assert (taken.trunk.name if taken.trunk else None, taken.profile) == (trunk, profile)


def test_a_number_that_is_nobodys_is_not_found() -> None:
    with pytest.raises(CallRefused, match=r"\+15550000000 .*`carrier`.*trunks.carrier") as refused:
        BOTH.inbound("192.0.2.7:5060", "+15550000000")
    assert (refused.value.status, refused.value.phrase) == (404, "Not Found")


@pytest.mark.parametrize("source", ["203.0.113.5:5060", "192.0.3.7", "", "name:5060", "[::1]:1"])
def test_a_source_that_nobody_listed_is_forbidden(source: str) -> None:
    with pytest.raises(CallRefused) as refused:
        BOTH.inbound(source, "+15551234567")
    assert refused.value.status == 403


def test_the_stacks_word_for_a_trunk_is_not_enough() -> None:
    with pytest.raises(CallRefused, match=r"203\.0\.113\.5"):
        BOTH.inbound("203.0.113.5:5060", "+15551234567", trunk="carrier")


def test_trunks_that_share_an_address() -> None:
    one = Trunk("one", "h", allow=networks("192.0.2.1"), numbers={"+15550000001": "a"})
    two = Trunk("two", "h", allow=networks("192.0.2.1"), numbers={"+15550000002": "b"})
    rest = Trunk("rest", "h", allow=networks("192.0.2.0/24"), profile="c")
    trunks = Trunks([one, two, rest])
    for dialled, profile in (("+15550000001", "a"), ("+15550000002", "b"), ("+15550000003", "c")):
        assert trunks.inbound("192.0.2.1:5060", dialled).profile == profile
    assert trunks.inbound("192.0.2.1:5060", "+15550000001", trunk="rest").profile == "c"


@given(st.ip_addresses(), st.text(max_size=30))
def test_any_source_is_answered_or_refused(address: object, dialled: str) -> None:
    try:
        taken = BOTH.inbound(str(address), dialled)
    except CallRefused as refused:
        assert refused.status in (403, 404)
    else:
        assert taken.trunk is None or taken.trunk.admits(address_of(str(address)))


def test_the_default_profile_takes_what_no_number_names() -> None:
    trunk = Trunk("t", "h", numbers={"+15551234567": "sales"}, profile="front")
    assert trunk.profile_for("+15551234567") == "sales"
    assert trunk.profile_for("+15550000000") == trunk.profile_for("") == "front"
    assert Trunk("t", "h").profile_for("+15550000000") == ""


# -- calls to place


@pytest.mark.parametrize(
    ("number", "name", "trunk"),
    [
        ("+15551234567", "", "carrier"),
        ("201", "", "pbx"),
        ("+15551234567", "carrier", "carrier"),
    ],
)
def test_which_trunk_dials(number: str, name: str, trunk: str) -> None:
    assert BOTH.outbound(number, name).name == trunk


@pytest.mark.parametrize(
    ("number", "name", "words", "fault"),
    [
        ("+15551234567", "pbx", ("`pbx`", "+15551234567", "[trunks.pbx]"), Fault.NOT_ALLOWED),
        ("+15551234567", "none", ("`none`", "carrier, pbx"), Fault.BAD_REQUEST),
        ("+449001234567", "", ("`carrier`", "`pbx`", "'+449001234567'"), Fault.NOT_ALLOWED),
        ("911", "carrier", ("emergency", "'911'"), Fault.NOT_ALLOWED),
        ("+19001234567", "carrier", ("'+1900'", "`destinations`"), Fault.NOT_ALLOWED),
    ],
)
def test_why_a_number_is_not_dialled(
    number: str, name: str, words: tuple[str, ...], fault: Fault
) -> None:
    with pytest.raises(DialRefused) as refused:
        BOTH.outbound(number, name)
    assert all(word in str(refused.value) for word in words)
    assert refused.value.fault is fault


def test_a_choice_between_trunks_is_left_to_the_caller() -> None:
    two = Trunks([CARRIER, Trunk("other", "h", destinations=("+1",))])
    with pytest.raises(DialRefused, match="carrier, other; name one"):
        two.outbound("+15551234567")
    with pytest.raises(DialRefused, match=r"\[trunks.NAME\]"):
        Trunks().outbound("+15551234567")


@pytest.mark.parametrize(
    ("trunk", "number", "uri"),
    [
        (CARRIER, "+15551234567", "sip:+15551234567@sip.carrier.example"),
        (PBX, "*97#", "sip:*97%23@10.0.0.5:5080"),
        (Trunk("t", "[::1]:5061", "tls"), "200", "sip:200@[::1]:5061;transport=tls"),
        (Trunk("t", "h", "tcp"), "200", "sip:200@h;transport=tcp"),
    ],
)
def test_the_address_that_dials_a_number(trunk: Trunk, number: str, uri: str) -> None:
    assert trunk.uri(number) == uri


def test_a_password_is_not_shown() -> None:
    assert "hush" not in repr(Trunk("t", "h", password="hush"))


def test_what_is_no_number_is_a_bad_request() -> None:
    assert number_to_dial("+1 555 123 4567") == "+15551234567"
    with pytest.raises(DialRefused) as refused:
        number_to_dial("sales")
    assert refused.value.fault is Fault.BAD_REQUEST


# -- addresses that are called straight


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("sip:agent@127.0.0.1", "sip:agent@127.0.0.1"),
        ("sip:agent@127.0.0.1:5070;transport=TCP", "sip:agent@127.0.0.1:5070;transport=tcp"),
        ("SIP:127.0.0.1", "sip:127.0.0.1"),
        ("sips:a@Box.Example:5061", "sip:a@box.example:5061;transport=tls"),
        ("sip:a@[::1]:5060", "sip:a@[::1]:5060"),
        ("sip:*97#@localhost", "sip:*97%23@localhost"),
    ],
)
def test_a_sip_address_is_taken_apart_and_put_together(written: str, read: str) -> None:
    assert str(SipTarget.parse(written)) == read


@pytest.mark.parametrize(
    "written",
    ["", "sip:", "sip:@h", "http://h", "sip:a@h:0", "sip:a@h:70000", "sip:a@127.0.0.1@evil",
     "sip:a@127.0.0.1;maddr=evil", "sip:a@127.0.0.1?Route=%3Csip:evil%3E", "sip:a@h\r\nVia: x",
     "sip:a b@h", "sip:a@h;transport=sctp", "sip:a:password@h", "sip:" + "a" * 300 + "@h"],
)  # fmt: skip
def test_what_is_no_sip_address(written: str) -> None:
    with pytest.raises(DialRefused, match="no SIP address") as refused:
        SipTarget.parse(written)
    assert refused.value.fault is Fault.BAD_REQUEST


@given(st.text(max_size=60))
def test_what_reaches_the_stack_holds_one_host_and_no_more(text: str) -> None:
    try:
        target = SipTarget.parse(f"sip:a@127.0.0.1{text}")
    except DialRefused:
        return
    assert str(target).count("@") == 1
    assert not set(str(target)) & set("\r\n \t?<>\"'")
    assert SipTarget.parse(str(target)) == target


@pytest.mark.parametrize(
    ("target", "destinations", "allowed"),
    [
        ("sip:a@127.0.0.1:9", (), True),
        ("sip:a@localhost", (), True),
        ("sip:a@[::1]", (), True),
        ("sip:a@192.0.2.1", (), False),
        ("sip:a@0.0.0.0", (), False),
        ("sip:a@127.0.0.1.evil.example", (), False),
        ("sip:a@PBX.example:5099", ("pbx.example",), True),
        ("sip:a@pbx.example:5099", ("pbx.example:5080",), False),
        ("sip:a@pbx.example:5080", ("pbx.example:5080",), True),
        ("sip:a@evilpbx.example", ("pbx.example",), False),
        ("sip:a@[2001:db8::1]", ("[2001:db8::1]",), True),
    ],
)
def test_where_a_call_may_go_straight(
    target: str, destinations: tuple[str, ...], allowed: bool
) -> None:
    parsed = SipTarget.parse(target)
    if allowed:
        check_target(parsed, destinations)
    else:
        with pytest.raises(DialRefused, match=r"`destinations` in \[sip\]"):
            check_target(parsed, destinations)


# -- how much


@given(
    st.floats(0.1, 600),
    st.lists(st.floats(0, 100), max_size=60),
)
def test_a_bucket_never_lets_more_through_than_its_rate(
    per_minute: float, gaps_s: list[float]
) -> None:
    bucket = TokenBucket(per_minute)
    now_s, passed = 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        wait_s = bucket.take(now_s)
        passed += wait_s == 0
        assert wait_s >= 0
        assert passed <= bucket.capacity + now_s * per_minute / 60 + 1e-6


@given(st.floats(0.1, 600), st.integers(0, 700))
def test_a_bucket_says_when_to_come_back(per_minute: float, taken: int) -> None:
    bucket = TokenBucket(per_minute)
    for _ in range(taken):
        bucket.take(5.0)
    wait_s = bucket.take(5.0)
    if wait_s:
        assert bucket.take(5.0 + wait_s * 0.99) > 0
        assert math.isclose(bucket.take(5.0 + wait_s * 1.001), 0.0)


def test_a_clock_that_falls_gives_no_tokens() -> None:
    bucket = TokenBucket(1, at_s=100)
    assert bucket.take(100) == 0
    assert bucket.take(50) > 0
    assert bucket.take(100) > 0


def test_a_trunk_carries_so_many_calls_in_both_directions() -> None:
    trunk, load = Trunk("t", "h", max_calls=2, calls_per_minute=100), TrunkLoad()
    load.begin_inbound(trunk)
    load.begin_outbound(trunk, "+1555", 0)
    with pytest.raises(DialRefused, match=r"\+1555.*`max_calls` in \[trunks.t\]") as refused:
        load.begin_outbound(trunk, "+1555", 0)
    assert refused.value.fault is Fault.TOO_MANY
    with pytest.raises(CallRefused) as busy:
        load.begin_inbound(trunk)
    assert busy.value.status == 486
    load.end(trunk)
    load.begin_inbound(trunk)
    assert load.calls(trunk) == 2


def test_a_trunk_places_so_many_calls_a_minute() -> None:
    trunk, load = Trunk("t", "h", max_calls=99, calls_per_minute=2), TrunkLoad()
    for _ in range(2):
        load.begin_outbound(trunk, "+1555", 1000.0)
    with pytest.raises(DialRefused, match=r"again in 30 s.*`calls_per_minute`") as refused:
        load.begin_outbound(trunk, "+1555", 1000.0)
    assert refused.value.fault is Fault.TOO_MANY and load.calls(trunk) == 2
    load.begin_outbound(trunk, "+1555", 1030.1)
    assert load.calls(trunk) == 3
