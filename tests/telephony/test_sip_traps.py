"""The traps of the SIP library: each has its workaround in the door, and its proof here."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sipp_script
from sip_peers import (
    RtpPeer,
    SubjectProcess,
    decode_ulaw,
    free_port,
    loudest_hz,
    running,
)
from sipp_script import Caller, sdp

from telephony.sip import SipStack
from telephony.sip_settings import SipSettings


@pytest.fixture(scope="module")
def door() -> Iterator[SubjectProcess]:
    with running() as subject:
        yield subject


def test_no_reinvite_follows_an_answer_and_hold_shows_no_video(door: SubjectProcess) -> None:
    with RtpPeer() as rtp:
        # sipp ends badly on any message that it does not expect.
        quiet = sipp_script.run(Caller("quiet").call(rtp.port).pause(2200).bye(), door.port)
        held = Caller("held").call().pause(200)
        held.reinvite(sdp(direction="sendonly", version=2)).pause(200)
        holding = sipp_script.run(held.bye(), door.port)
        quiet.finish()
        holding.finish()
    for peer in (quiet, holding):
        assert not peer.received("INVITE")
        assert "m=video" not in peer.messages()


def test_more_than_two_calls_and_the_cap(door: SubjectProcess) -> None:
    # The library's own default is two calls. The cap is tried with 5, which takes the same way
    # as the 256 that its table of audio streams has.
    assert SipStack(SipSettings(max_calls=1000))._config().max_concurrent_calls == 256
    assert SipStack(SipSettings())._config().max_concurrent_calls == 256
    with running(max_calls=5) as capped:
        load = sipp_script.run(
            Caller("tone").call().pause(1500).bye(), capped.port, calls=5, together=5, rate=50
        )
        capped.wait("answered", count=5)
        refused = Caller("one-more").invite(sdp())
        refused.expect(100, optional=True)
        refused.expect(486)
        sipp_script.run(refused.ack(), capped.port).finish()
        load.finish()
        assert not capped.find("ringing", call="one-more")
        # And there is room again afterwards.
        capped.wait("over", count=5)
        sipp_script.run(Caller("after").call().pause(100).bye(), capped.port).finish()


@pytest.mark.parametrize("status", [302, 404, 486, 503, 603])
def test_a_call_is_refused_with_the_status_that_was_meant(
    door: SubjectProcess, status: int
) -> None:
    steps = Caller(f"refuse-{status}").invite(sdp())
    steps.expect(100, optional=True)
    steps.expect(180, optional=True)
    caller = sipp_script.run(steps.expect(status).ack(), door.port).finish()
    assert caller.received(f"SIP/2.0 {status} Not Here")


def test_a_refused_caller_is_told_when_to_try_again(door: SubjectProcess) -> None:
    steps = Caller("refuse-503-30").invite(sdp())
    steps.expect(100, optional=True)
    steps.expect(180, optional=True)
    caller = sipp_script.run(steps.expect(503).ack(), door.port).finish()
    [refusal] = caller.received("SIP/2.0 503 Not Here")
    assert "\nRetry-After: 30" in refusal


def test_a_call_that_the_agent_cannot_take_is_refused(door: SubjectProcess) -> None:
    steps = Caller("crash").invite(sdp()).expect(180, optional=True)
    sipp_script.run(steps.expect(500).ack(), door.port).finish()
    assert door.ask("counts")["active"] == 0


def test_the_source_is_where_the_packet_came_from(door: SubjectProcess) -> None:
    claims = Caller("+4989123456").invite(sdp(), "X-From: 192.0.2.99")
    udp = sipp_script.run(claims.answered().pause(100).bye(), door.port).finish()
    ringing = door.wait("ringing", call="+4989123456")
    # The dialled number is the To header's, which the library shows only where it is asked to.
    assert ringing["source"] == f"127.0.0.1:{udp.port}"
    tcp = Caller("by-tcp").call().pause(100).bye()
    sipp_script.run(tcp, door.port, transport="t1").finish()
    assert door.wait("ringing", call="by-tcp")["source"].startswith("127.0.0.1:")


def test_a_change_of_codec_restarts_the_audio_and_the_line_keeps_its_rate(
    door: SubjectProcess,
) -> None:
    wide = sdp("{port}", payloads="9", maps=("9 G722/8000",))
    with RtpPeer() as rtp:
        narrow = sdp(rtp.port, payloads="0", maps=("0 PCMU/8000",), version=2)
        steps = Caller("recoded").invite(wide.replace("{port}", str(rtp.port))).answered()
        steps.pause(800).reinvite(narrow).pause(1500)
        caller = sipp_script.run(steps.bye(), door.port)
        assert door.wait("answered", call="recoded")["rate_hz"] == 16000
        until_s = time.monotonic() + 10
        while not rtp.packets or rtp.packets[-1].payload_type != 0:
            assert time.monotonic() < until_s
            time.sleep(0.02)
        heard = rtp.wait_packets(40)
        state = door.ask("heard", call="recoded")
        caller.finish()
        over = door.wait("over", call="recoded")
    assert {packet.payload_type for packet in rtp.packets} == {9, 0}
    assert loudest_hz(decode_ulaw(heard[10:]), 8000) == pytest.approx(440, abs=9)
    assert state["rate_hz"] == 16000
    assert over["hz"] == pytest.approx(1000, abs=5)
    assert not door.find("held", call="recoded")


def test_the_death_of_the_stack_is_noticed() -> None:
    subject = SubjectProcess().start()
    caller = sipp_script.run(Caller("orphan").call().pause(20000), subject.port)
    subject.wait("answered", call="orphan")
    subject.do("kill-thread")
    subject.wait("dead")
    assert subject.wait("over", call="orphan")["cause"] == "failed"
    caller.kill()
    subject.do("dial", call="x", target="sip:x@127.0.0.1")
    assert subject.wait("dialled", call="x")["outcome"] == "failed"
    # One runtime a process: there is no second one after a death, and that is said.
    subject.do("reopen")
    assert "start a new process" in subject.wait("error")["error"]
    subject.stop()


def test_the_door_closes_and_opens_again(door: SubjectProcess) -> None:
    with running() as subject:
        for name in ("first", "second"):
            steps = Caller(name).call().pause(100).bye()
            sipp_script.run(steps, subject.port).finish()
            seen = len(subject.events)
            subject.do("reopen")
            subject.port = subject.wait("ready", since=seen)["port"]
        counts = subject.ask("counts")
        sipp_script.run(Caller("third").call().pause(100).bye(), subject.port).finish()
        # A thread that has done its work may take a moment to go.
        until_s = time.monotonic() + 10
        while (now := subject.ask("counts")["threads"]) > counts["threads"] + 1:
            assert time.monotonic() < until_s, (counts, now)
            time.sleep(0.1)


def test_closing_hangs_up_and_draining_refuses(door: SubjectProcess) -> None:
    with RtpPeer() as rtp, running() as subject:
        steps = Caller("last").call(rtp.port)
        caller = sipp_script.run(steps.expect("BYE").ok(), subject.port)
        subject.wait("answered", call="last")
        subject.do("drain")
        subject.wait("draining")
        refused = Caller("too-late").invite(sdp())
        refused.expect(180, optional=True)
        refused.expect(486)
        sipp_script.run(refused.ack(), subject.port).finish()
        rtp.wait_packets(10)
        subject.do("stop")
        caller.finish()
        subject.wait("closed")


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"

    def error(**settings: object) -> str:
        subject = SubjectProcess(**settings)
        text = str(subject.wait("error")["error"])
        assert subject.stop() == 0
        return text

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert re.search(rf"127\.0\.0\.1:{port} \(UDP\).*\[sip\]", error(port=port))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"127.0.0.1:{port} (TCP)" in error(port=port)
    for key in ("tls_certificate", "tls_ca"):
        text = error(**{key: str(missing), "port": free_port()})
        assert f"`{key}`" in text and str(missing) in text
