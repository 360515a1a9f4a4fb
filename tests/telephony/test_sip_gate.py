"""Who is heard at the SIP door, and whose audio a call takes."""

import ctypes
import ipaddress
import re
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from plain_caller import PlainCaller, assert_new_call_is_answered, offer, watched_call
from sip_peers import LIMIT_S, RtpPeer, SubjectProcess, running
from strangers import (
    STRANGER,
    Callee,
    StrangersRtp,
    answer_to,
    assert_unheard,
    dialog_of,
    statuses,
    udp,
)

from agent.config import load_config
from agent.phone import Phone
from telephony.rtp_source import program
from telephony.sip import SipStack
from telephony.sip_error import SipError
from telephony.sip_gate import LINES_A_SECOND, MAX_SOURCES, Gate, Refusals
from telephony.sip_settings import SipSettings
from telephony.sip_text import MAX_SHOWN, shown

KEYS = "0123456789*#ABCD"


@pytest.fixture(scope="module")
def door() -> Iterator[SubjectProcess]:
    with running("--refuse", STRANGER) as subject:
        yield subject


# -- the gate


def test_a_refused_source_hears_nothing_and_is_told_of_in_the_log(door: SubjectProcess) -> None:
    rung = len(door.find("ringing"))
    seen = len(door.log)
    with udp() as own:
        dialog = dialog_of(own, door.port, "tone")
        for number in range(20):
            for method in ("OPTIONS", "INVITE", "REGISTER", "REFER", "SUBSCRIBE", "CANCEL", "BYE"):
                body = offer(9) if method == "INVITE" else b""
                own.sendto(dialog.request(method, number + 1, body), ("127.0.0.1", door.port))
        assert_unheard(own, door.port)
    with socket.create_connection(("127.0.0.1", door.port), LIMIT_S, (STRANGER, 0)) as own_tcp:
        asked = dialog_of(own_tcp, door.port, "tone").request("OPTIONS", 1)
        own_tcp.sendall(asked.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP"))
        own_tcp.settimeout(0.4)
        with pytest.raises(TimeoutError):
            own_tcp.recv(4096)
    # Whoever is admitted is answered, and calls.
    with udp("127.0.0.2") as own:
        assert b"SIP/2.0 200" in answer_to(
            own, dialog_of(own, door.port, "agent").request("OPTIONS", 1), door.port
        )
    assert_new_call_is_answered(door)
    assert len(door.find("ringing")) == rung + 1
    lines = [line for line in list(door.log)[seen:] if STRANGER in line]
    counts = [int(found[1]) for line in lines if (found := re.search(r"sip: (\d+) unans", line))]
    assert counts and counts[0] == 1 and len(counts) == len(lines) < 20
    assert not [line for line in list(door.log)[seen:] if "WARNING" in line or "Traceback" in line]


def test_nobody_ends_a_call_by_saying_that_theirs_replaces_it(door: SubjectProcess) -> None:
    with watched_call(door, f"watched-{uuid.uuid4().hex[:8]}") as call:
        names = call.caller._dialog
        replaces = (
            f"Replaces: {names.call_id};to-tag={names.to_tag};from-tag={names.tag}\r\n"
            "Require: replaces\r\n"
        )
        with udp() as own:
            dialog = dialog_of(own, door.port, "tone")
            invite = dialog.request("INVITE", 1, offer(9), extra=replaces)
            own.sendto(invite, ("127.0.0.1", door.port))
            assert_unheard(own, door.port)
        with udp("127.0.0.2") as own:
            dialog = dialog_of(own, door.port, "tone")
            invite = dialog.request("INVITE", 1, offer(9), "z9hG4bKr", extra=replaces)
            own.sendto(invite, ("127.0.0.1", door.port))
            assert statuses(own, 403) == {403}
            own.sendto(dialog.request("ACK", 1, branch="z9hG4bKr"), ("127.0.0.1", door.port))
        call.check(5)


def test_a_call_id_that_is_taken_makes_no_second_call(door: SubjectProcess) -> None:
    with watched_call(door, f"watched-{uuid.uuid4().hex[:8]}") as call:
        for host in (STRANGER, "127.0.0.2", "127.0.0.1"):
            with udp(host) as own:
                dialog = dialog_of(own, door.port, "second")
                dialog.call_id = call.caller._dialog.call_id
                invite = dialog.request("INVITE", 1, offer(9), "z9hG4bK" + host)
                own.sendto(invite, ("127.0.0.1", door.port))
                if host == STRANGER:
                    assert_unheard(own, door.port)
                    continue
                assert statuses(own, 482) == {482}
                ack = dialog.request("ACK", 1, branch="z9hG4bK" + host)
                own.sendto(ack, ("127.0.0.1", door.port))
        call.check(5)
    assert not door.find("ringing", call="second")


def test_an_invite_that_is_said_again_is_no_second_call(door: SubjectProcess) -> None:
    user = f"wait-{uuid.uuid4().hex[:8]}"
    with udp("127.0.0.1") as own:
        dialog = dialog_of(own, door.port, user)
        invite = dialog.request("INVITE", 1, offer(9), "z9hG4bKonce")
        for _ in range(3):
            own.sendto(invite, ("127.0.0.1", door.port))
            assert statuses(own, 180) <= {100, 180}
        cancel = dialog.request("CANCEL", 1, branch="z9hG4bKonce")
        own.sendto(cancel, ("127.0.0.1", door.port))
        assert statuses(own, 200, 487) <= {100, 180, 200, 487}
        ack = dialog.request("ACK", 1, branch="z9hG4bKonce")
        own.sendto(ack, ("127.0.0.1", door.port))
    door.wait("ringing", call=user)
    door.ask("counts")
    assert len(door.find("ringing", call=user)) == 1


def test_a_refused_source_cannot_speak_for_a_callers_call(door: SubjectProcess) -> None:
    with watched_call(door, f"watched-{uuid.uuid4().hex[:8]}") as call:
        with udp() as own:
            for method in ("BYE", "INVITE", "INFO", "UPDATE"):
                # Whoever read the tags somewhere still comes from elsewhere.
                request = call.caller._dialog.request(method, 9, branch=f"z9hG4bK{method}")
                own.sendto(request, ("127.0.0.1", door.port))
            assert_unheard(own, door.port)
        call.check(5)


def test_the_far_end_of_a_placed_call_is_heard_while_it_lasts(door: SubjectProcess) -> None:
    with RtpPeer() as rtp, Callee(rtp.port) as callee:
        door.do("dial", call="placed", target=f"sip:callee@{STRANGER}:{callee.port}")
        assert door.wait("dialled", call="placed")["outcome"] == "answered"
        callee.wait_confirmed()
        rtp.wait_packets(3)
        with udp() as own:
            own.sendto(callee.bye("made-up"), ("127.0.0.1", door.port))
            assert_unheard(own, door.port)
            assert not door.find("over", call="placed")
            bye = callee.bye()
            assert b" 200 " in answer_to(own, bye, door.port)
            door.wait("over", call="placed")
            # It was theirs as long as there was a call.
            options = dialog_of(own, door.port, "agent").request("OPTIONS", 1)
            own.sendto(options, ("127.0.0.1", door.port))
            assert_unheard(own, door.port)


def test_what_cannot_be_judged_is_not_let_in(caplog: pytest.LogCaptureFixture) -> None:
    nothing = ctypes.create_string_buffer(4096)
    assert Gate(lambda host: True)._judge(ctypes.addressof(nothing), None) is True
    assert "was not judged" in caplog.text


def test_refusals_are_told_of_once_a_second_and_counted() -> None:
    refusals = Refusals()
    assert refusals.count("a", 0.0) == 1
    assert [refusals.count("a", 0.1 * n) for n in range(1, 10)] == [0] * 9
    assert refusals.count("a", 1.0) == 10
    assert refusals.count("b", 1.0) == 1
    flood = sum(refusals.count(f"10.0.{n // 256}.{n % 256}", 5.0) for n in range(4 * MAX_SOURCES))
    assert flood == LINES_A_SECOND
    assert len(refusals._sources) == MAX_SOURCES
    assert refusals.count("c", 6.0) == 1


def test_the_phone_admits_who_may_call_and_no_others() -> None:
    config = load_config(
        None,
        {
            "OFFHOOK_SIP__HOST": "192.0.2.1",
            "OFFHOOK_SIP__ALLOW": "198.51.100.0/24, 2001:db8::/32",
            "OFFHOOK_TRUNKS__PBX__HOST": "pbx.example",
            "OFFHOOK_TRUNKS__PBX__ALLOW": "203.0.113.7",
        },
    )
    phone = Phone(config, {})
    for host in (
        *("127.0.0.1", "127.9.9.9", "::1", "192.0.2.1", "198.51.100.200", "203.0.113.7"),
        *("2001:db8::5", "::ffff:203.0.113.7"),
    ):
        assert phone.admits(host), host
    for host in ("192.0.2.2", "203.0.113.8", "2001:db9::5", "fe80::1%lo", "::", "0.0.0.0"):
        assert not phone.admits(host), host
    assert phone.trunks.inbound("192.0.2.1:5060", "agent").trunk is None


# -- whose audio


def test_keys_and_audio_come_from_the_negotiated_address_alone(door: SubjectProcess) -> None:
    with RtpPeer(send_hz=None) as rtp:
        # A name of its own, so that what another try left behind is not found here.
        caller = PlainCaller(door.port, f"silent-{uuid.uuid4().hex[:8]}", rtp)
        answered = caller.call()
        assert answered == 200
        remote = _rtp_address(caller)
        door.wait("answered", call=caller.user)
        rtp.remote = remote
        with StrangersRtp(remote) as stranger, StrangersRtp(remote, "127.0.0.1") as other_port:
            # The source is bound once the stack's event of the answer was read.
            other_port.press(1)
            door.wait("digit", call=caller.user, key="1")
            stranger.press(5)
            stranger.sing(700, 30)
            other_port.press(7)
            door.wait("digit", call=caller.user, key="7")
            assert not door.find("digit", call=caller.user, key="5")
            assert door.ask("heard", call=caller.user)["rms"] < 100
            until_s = time.monotonic() + LIMIT_S
            while abs(float(door.ask("heard", call=caller.user)["hz"]) - 700) > 20:
                assert time.monotonic() < until_s
                other_port.sing(700, 40)
            # The far end moves, and what came from where it was is a stranger's now.
            dialog = caller._dialog
            body = offer(rtp.port, STRANGER)
            caller._exchange(dialog.request("INVITE", 2, body), b"INVITE", LIMIT_S)
            caller._socket.send(dialog.request("ACK", 2))
            until_s = time.monotonic() + LIMIT_S
            while not door.find("digit", call=caller.user, key="8"):
                assert time.monotonic() < until_s
                stranger.press(8)
            other_port.press(9)
            stranger.press(3)
            door.wait("digit", call=caller.user, key="3")
            assert not door.find("digit", call=caller.user, key="9")
        caller._exchange(dialog.request("BYE", 3), b"BYE", LIMIT_S)
        door.wait("over", call=caller.user)
        caller.close()


def test_anybodys_audio_where_that_is_wanted() -> None:
    with running(rtp_from="any") as subject, watched_call(subject) as call:
        with StrangersRtp(call.remote) as stranger:
            stranger.press(5)
            subject.wait("digit", call=call.caller.user, key="5")


def test_the_filter_compares_the_version_and_the_whole_address() -> None:
    def passes(lines: bytes, header: bytes) -> bool:
        """What the kernel does with the five instructions in use."""
        at, value = 0, 0
        while True:
            code, then, otherwise, operand = (
                int.from_bytes(lines[8 * at : 8 * at + 2], "little"),
                *lines[8 * at + 2 : 8 * at + 4],
                int.from_bytes(lines[8 * at + 4 : 8 * at + 8], "little"),
            )
            offset = operand - 0xFFF00000
            at += 1
            if code == 0x30:
                value = header[offset]
            elif code == 0x20:
                value = int.from_bytes(header[offset : offset + 4], "big")
            elif code == 0x54:
                value &= operand
            elif code == 0x15:
                at += then if value == operand else otherwise
            else:
                assert code == 0x06
                return operand > 0

    def ipv4(source: str) -> bytes:
        return b"\x45" + bytes(11) + ipaddress.ip_address(source).packed + bytes(4)

    def ipv6(source: str) -> bytes:
        return b"\x60" + bytes(7) + ipaddress.ip_address(source).packed + bytes(16)

    four = program(ipaddress.ip_address("192.0.2.7"))
    assert passes(four, ipv4("192.0.2.7"))
    # The last one has the four bytes where IPv4 would.
    for header in (ipv4("192.0.2.8"), ipv4("0.0.0.0"), ipv6("2001:db8:c000:207::")):
        assert not passes(four, header)
    six = program(ipaddress.ip_address("2001:db8::7"))
    assert passes(six, ipv6("2001:db8::7"))
    for header in (ipv6("2001:db8::8"), ipv6("2001:db9::7"), ipv6("::7"), ipv4("192.0.2.7")):
        assert not passes(six, header)


def _rtp_address(caller: PlainCaller) -> tuple[str, int]:
    host = re.search(rb"^c=IN IP4 (\S+)", caller.answer, re.M)
    port = re.search(rb"^m=audio (\d+) ", caller.answer, re.M)
    assert host is not None and port is not None, caller.answer
    return host[1].decode(), int(port[1])


# -- where it listens, and what it shows


def test_all_addresses_at_once_are_refused(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(SipError, match="name one address"):
            SipStack(SipSettings(host=host)).check()
        settings = tmp_path / "offhook.toml"
        settings.write_text(f"[sip]\nhost = '{host}'\n")
        with pytest.raises(Exception, match="`host` in .sip. stands for all addresses.*own"):
            load_config(settings, {})


def test_what_a_caller_says_is_shown_on_one_line_and_not_at_length(door: SubjectProcess) -> None:
    assert shown("+49 (30) 1234 Jörg") == "+49 (30) 1234 Jörg"
    assert shown("a\r\nb\x1b[31m\x00\u202e\udcff") == "a��b�[31m���"
    assert shown("x" * 1000) == "x" * (MAX_SHOWN - 1) + "…"
    with udp("127.0.0.1") as own:
        dialog = dialog_of(own, door.port, "refuse-486")
        dialog.call_id = f"id\x1b[7m{uuid.uuid4().hex}"
        odd = b"sip:evil\x1b[31m\x07" + b"e" * 400 + b"@"
        invite = dialog.request("INVITE", 1, offer(9), "z9hG4bKodd").replace(b"sip:plain@", odd, 1)
        seen = len(door.events)
        assert b" 486 " in answer_to(own, invite, door.port)
        caller = str(door.wait("ringing", since=seen)["caller"])
        own.sendto(dialog.request("ACK", 1, branch="z9hG4bKodd"), ("127.0.0.1", door.port))
    assert caller.startswith("evil�[31m�ee") and len(caller) == MAX_SHOWN
