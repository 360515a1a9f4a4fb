"""Calls into the SIP door with sipp as the caller: what goes wrong on the way, and mid-call."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import sipp_script
from sip_peers import (
    Packet,
    RtpPeer,
    SubjectProcess,
    assert_contiguous,
    decode_ulaw,
    gaps_ms,
    loudest_hz,
    running,
    tone_ratio_db,
)
from sipp_script import Caller, sdp

ANSWER_LIMIT_S = 2.5
IGNORING = ("-pause_msg_ign",)
"""What comes during a pause is not looked at: it was lost."""


@pytest.fixture(scope="module")
def door() -> Iterator[SubjectProcess]:
    with running("--answer-limit", str(ANSWER_LIMIT_S), rtp_timeout_s=3) as subject:
        yield subject


@pytest.fixture(scope="module", autouse=True)
def vanished(door: SubjectProcess) -> SubjectProcess:
    """A peer that falls silent without a word, while the other tests go on."""
    with RtpPeer() as rtp:
        caller = sipp_script.run(Caller("vanishes").call(rtp.port).pause(30000), door.port)
        door.wait("answered", call="vanishes")
        rtp.wait_packets(5)
        caller.kill()
    return door


def all_over(door: SubjectProcess) -> None:
    """No call is left in the process."""
    door.wait("over", call="vanishes")
    until_s = time.monotonic() + 10
    while door.ask("counts")["active"]:
        assert time.monotonic() < until_s, door.events[-20:]
        time.sleep(0.05)


def test_a_call_is_answered_and_hears_a_tone(door: SubjectProcess) -> None:
    worst_ms = []
    # A machine that is busy with other things delays a packet now and then; the door never.
    for attempt in range(3):
        name = f"tone-{attempt}"
        with RtpPeer() as rtp:
            caller = sipp_script.run(Caller(name).call(rtp.port).pause(1700).bye(), door.port)
            caller.finish()
        over = door.wait("over", call=name)
        assert over["cause"] == "caller hung up"
        assert over["hz"] == pytest.approx(1000, abs=3)
        # What was said is there for as long as it was said.
        short_s = abs(over["frames"] * 0.02 - over["elapsed_s"])
        packets = rtp.packets
        assert len(packets) >= 75
        assert {packet.payload_type for packet in packets} == {0}
        assert {len(packet.payload) for packet in packets} == {160}
        assert_contiguous(packets)
        pcm = decode_ulaw(packets)[-8000:]
        assert loudest_hz(pcm, 8000) == pytest.approx(440, abs=2)
        ringing = door.wait("ringing", call=name)
        assert ringing["caller"].startswith("+15550001111@127.0.0.1")
        assert ringing["source"] == f"127.0.0.1:{caller.port}"
        worst_ms.append(max(gaps_ms(packets)))
        if short_s < 0.2 and worst_ms[-1] < 60 and tone_ratio_db(pcm, 8000, 440) > 30:
            return
    raise AssertionError(f"packets came late, or a tone was broken: {worst_ms} ms, {short_s} s")


def test_the_same_invite_twice_is_one_call(door: SubjectProcess) -> None:
    offer = sdp(version=3)
    steps = Caller("late-twice")
    for again in (False, True):
        steps.invite(offer, again=again, retransmit=False).pause(100)
    steps.expect(200).ack().pause(300).bye()
    caller = sipp_script.run(steps, door.port, options=IGNORING)
    caller.finish()
    door.wait("over", call="late-twice")
    assert len(door.find("ringing", call="late-twice")) == 1
    answers = [
        re.sub(r"^Content-Length.*", "", answer, flags=re.MULTILINE)
        for answer in caller.received("SIP/2.0 200 Answering")
    ]
    # The retransmission is met with the same answer, not with another one.
    assert len(set(answers)) == 1


def test_lost_ack_and_lost_bye(door: SubjectProcess) -> None:
    # Every 200 is ignored; in the end the door gives up with a BYE.
    no_ack = Caller("no-ack").invite(sdp(), retransmit=False).pause(1900).expect("BYE").ok()
    deaf = sipp_script.run(no_ack, door.port, options=IGNORING)
    # The answer to the first BYE is lost: its retransmission is answered as well.
    again = Caller("bye-twice").call().pause(200)
    again.request("BYE", retransmit=False).pause(100)
    again.request("BYE", again=True, retransmit=False).expect(200)
    twice = sipp_script.run(again, door.port, options=IGNORING)
    late = Caller("bye-late").call().pause(200).bye()
    gone = sipp_script.run(late.request("BYE").expect(481), door.port)
    for peer in (twice, gone, deaf):
        peer.finish()
    assert len(twice.received("SIP/2.0 200 OK")) == 2
    assert len(deaf.received("SIP/2.0 200 Answering")) >= 3
    assert door.wait("gone", call="no-ack")["error"].endswith("(no ACK)")
    assert not door.find("answered", call="no-ack")
    assert len(door.find("over", call="bye-twice")) == 1
    all_over(door)


def test_an_invite_without_an_offer_is_answered_with_one(door: SubjectProcess) -> None:
    with RtpPeer() as rtp:
        steps = Caller("late-offer").invite("")
        steps.answered(sdp(rtp.port))
        caller = sipp_script.run(steps.pause(1200).bye(), door.port).finish()
    (answer, *_) = caller.received("SIP/2.0 200 Answering")
    assert "m=audio" in answer and "PCMU/8000" in answer and "opus/48000" in answer
    assert "m=video" not in answer
    assert loudest_hz(decode_ulaw(rtp.packets)[-4000:], 8000) == pytest.approx(440, abs=3)
    assert door.wait("over", call="late-offer")["hz"] == pytest.approx(1000, abs=3)


def test_a_caller_who_cancels_leaves_nothing_behind(door: SubjectProcess) -> None:
    def cancelled(name: str, wait_ms: int) -> Caller:
        steps = Caller(name).invite(sdp())
        steps.expect(100, optional=True)
        steps.expect(180)
        steps.pause(wait_ms)
        steps.request("CANCEL", again=True, to_tag=False)
        steps.expect(200)
        steps.expect(487)
        return steps.ack()

    # `late-` is answered after 400 ms: a CANCEL well before, and one that races the answer.
    early = sipp_script.run(cancelled("late-early", 50), door.port)
    races = [sipp_script.run(cancelled(f"late-{at}", at), door.port) for at in (392, 398, 404)]
    waiting = sipp_script.run(cancelled("wait-cancel", 100), door.port)
    early.finish()
    waiting.finish()
    door.wait("gone", call="late-early")
    assert not door.find("answered", call="late-early")
    for race in races:
        # Either side may win: 487, or a 200 that nobody confirms. No call stays in both cases.
        race.end()
    all_over(door)


def test_hold_inactive_resume_and_another_port(door: SubjectProcess) -> None:
    with RtpPeer() as rtp, RtpPeer(1500.0) as other:
        steps = Caller("moves").call(rtp.port).pause(500)
        steps.reinvite(sdp(rtp.port, direction="sendonly", version=2)).pause(600)
        steps.reinvite(sdp(rtp.port, direction="inactive", version=3)).pause(600)
        steps.reinvite(sdp(rtp.port, version=4)).pause(800)
        steps.reinvite(sdp(other.port, version=5)).pause(2000)
        caller = sipp_script.run(steps.bye(), door.port)
        door.wait("answered", call="moves")
        rtp.wait_packets(10)
        door.wait("held", call="moves", on=True)
        rtp.wait_quiet()
        door.wait("held", call="moves", on=False)
        resumed = len(rtp.packets)
        rtp.wait_packets(20)
        assert loudest_hz(decode_ulaw(rtp.packets[resumed:][-20:]), 8000) == pytest.approx(
            440, abs=10
        )
        other.wait_packets(5)
        # Who moved sends no more from where it was.
        rtp.quiet = True
        other.wait_packets(30)
        rtp.wait_quiet()
        caller.finish()
        over = door.wait("over", call="moves")
    directions = [
        re.search(r"a=(sendrecv|recvonly|sendonly|inactive)", answer)[1]  # type: ignore[index]
        for answer in caller.received("SIP/2.0 200")
        if "m=audio" in answer
    ]
    assert directions == ["sendrecv", "recvonly", "inactive", "sendrecv", "sendrecv"]
    assert loudest_hz(decode_ulaw(other.packets[-25:]), 8000) == pytest.approx(440, abs=10)
    assert over["hz"] == pytest.approx(1500, abs=5)
    assert [event["on"] for event in door.find("held", call="moves")] == [True, False]


def test_a_session_refresh_changes_nothing(door: SubjectProcess) -> None:
    offer_version = 7
    with RtpPeer() as rtp:
        same = sdp(rtp.port, version=offer_version)
        steps = Caller("refresh").invite(same).answered().pause(600)
        steps.reinvite(same).pause(600)
        steps.request("UPDATE")
        steps.expect(200)
        steps.pause(300)
        steps.request("UPDATE", body=same)
        steps.expect(200)
        sipp_script.run(steps.pause(1000).bye(), door.port).finish()
    over = door.wait("over", call="refresh")
    assert not door.find("held", call="refresh")
    assert over["hz"] == pytest.approx(1000, abs=3)
    assert over["frames"] * 0.02 == pytest.approx(over["elapsed_s"], abs=0.3)
    assert loudest_hz(decode_ulaw(rtp.packets[-50:]), 8000) == pytest.approx(440, abs=5)


def test_what_is_not_supported_is_said(door: SubjectProcess) -> None:
    peers = []
    # `timer` is documented as unsupported: a peer that insists on it is refused.
    for name, required in (("needs-magic", "magic"), ("needs-timer", "timer")):
        steps = Caller(name).invite(sdp(), f"Require: {required}")
        steps.expect(100, optional=True)
        steps.expect(420)
        peers.append(sipp_script.run(steps.ack(), door.port))
    options = Caller("anyone").request("OPTIONS", to_tag=False)
    options.expect(200)
    asked = sipp_script.run(options, door.port)
    for peer, required in zip(peers, ("magic", "timer"), strict=True):
        (refused, *_) = peer.finish().received("SIP/2.0 420")
        assert f"Unsupported: {required}" in refused
    (capable, *_) = asked.finish().received("SIP/2.0 200")
    assert "INVITE" in capable.split("Allow:")[1].split("\n")[0]
    assert not door.find("ringing", call="needs-timer")


def test_record_route_is_echoed(door: SubjectProcess) -> None:
    routes = ("<sip:127.0.0.1:9;lr>", "<sip:proxy.invalid;lr;x=1>")
    steps = Caller("routed").invite(sdp(), *(f"Record-Route: {route}" for route in routes))
    caller = sipp_script.run(steps.answered().pause(200).bye(), door.port).finish()
    (answer, *_) = caller.received("SIP/2.0 200 Answering")
    assert re.findall(r"^Record-Route: (.*?)\r?$", answer, re.MULTILINE) == list(routes)


def test_a_refer_to_the_door_is_refused_and_the_call_goes_on(door: SubjectProcess) -> None:
    steps = Caller("referred").call().pause(200)
    steps.request("REFER", headers=("Refer-To: <sip:+19005551234@127.0.0.1>",))
    steps.expect(202)
    first = '<ereg regexp="SIP/2.0 [0-9]*" search_in="body" assign_to="{}"/>'
    steps.expect("NOTIFY", actions=first.format("one"))
    steps.ok()
    steps.expect("NOTIFY", actions=first.format("two"))
    steps.ok()
    steps.steps.append('<Reference variables="one,two"/>')
    caller = sipp_script.run(steps.pause(300).bye(), door.port).finish()
    assert "SIP/2.0 603" in caller.received("NOTIFY")[-1]
    door.wait("over", call="referred")
    # Nothing was dialled.
    assert not [event for event in door.events if event["event"] == "dialled"]


def test_keys_by_rfc_4733(door: SubjectProcess) -> None:
    payload_types = (96, 101)
    with ExitStack() as stack:
        peers, callers = {}, {}
        for payload_type in payload_types:
            rtp = peers[payload_type] = stack.enter_context(RtpPeer())
            offer = sdp(
                rtp.port,
                payloads=f"0 {payload_type}",
                maps=("0 PCMU/8000", f"{payload_type} telephone-event/8000"),
            )
            steps = Caller(f"keys-{payload_type}").invite(offer).answered().expect("BYE").ok()
            callers[payload_type] = sipp_script.run(steps, door.port)
        for payload_type, rtp in peers.items():
            door.wait("answered", call=f"keys-{payload_type}")
            rtp.wait_packets(5)
            door.do("digits", call=f"keys-{payload_type}", digits="7#D")
        for key in "15*#":
            for payload_type, rtp in peers.items():
                rtp.press(key, payload_type)
        for payload_type, rtp in peers.items():
            # The packet that says that a key goes down is lost.
            rtp.press("9", payload_type, lose_start=True)
        for payload_type, rtp in peers.items():
            name = f"keys-{payload_type}"
            door.wait("digit", call=name, key="9")
            door.wait("done", call=name, do="digits")
            rtp.wait_packets(10)
            door.do("hang-up", call=name)
            callers[payload_type].finish()
            over = door.wait("over", call=name)
            assert [event["key"] for event in door.find("digit", call=name)] == list("15*#9")
            assert rtp.digits() == "7#D"
            assert {p.payload_type for p in rtp.packets} == {0, payload_type}
            # The gaps that the keys leave are filled: time goes on.
            assert over["frames"] * 0.02 == pytest.approx(over["elapsed_s"], abs=0.3)


def test_keys_by_info(door: SubjectProcess) -> None:
    offer = sdp(payloads="0", maps=("0 PCMU/8000",))
    steps = Caller("keys-info").invite(offer).answered().pause(200)
    for key in "4#":
        steps.request("INFO", body=f"Signal={key}\nDuration=160\n")
        steps.expect(200)
    # Without telephone-event in its offer, our keys come as INFO too.
    for _ in range(2):
        steps.expect("INFO")
        steps.ok()
    caller = sipp_script.run(steps.pause(100).bye(), door.port)
    door.wait("digit", call="keys-info", key="#")
    door.do("digits", call="keys-info", digits="2A")
    door.wait("done", call="keys-info", do="digits")
    caller.finish()
    assert [event["key"] for event in door.find("digit", call="keys-info")] == ["4", "#"]
    pressed = [re.search(r"Signal=\s*(\S)", info)[1] for info in caller.received("INFO")]  # type: ignore[index]
    assert pressed == ["2", "A"]


def test_a_peer_that_vanishes(vanished: SubjectProcess) -> None:
    assert vanished.wait("over", call="vanishes", limit_s=25)["cause"] == "caller vanished"


def test_the_agent_hangs_up(door: SubjectProcess) -> None:
    steps = Caller("bye-now").call().expect("BYE").ok()
    at_once = sipp_script.run(steps, door.port)
    # The first BYE is lost, and comes again.
    steps = Caller("bye-again").call().pause(600).expect("BYE").ok()
    lossy = sipp_script.run(steps, door.port, options=IGNORING)
    at_once.finish()
    assert len(lossy.finish().received("BYE")) >= 2
    for call in ("bye-now", "bye-again"):
        door.wait("over", call=call)
    all_over(door)


def test_a_dropped_tcp_connection_does_not_end_a_call(door: SubjectProcess) -> None:
    with RtpPeer() as rtp:
        steps = Caller("by-tcp").call(rtp.port).pause(20000)
        caller = sipp_script.run(steps, door.port, transport="t1")
        door.wait("answered", call="by-tcp")
        rtp.wait_packets(5)
        caller.kill()
        rtp.wait_packets(50)
        assert door.ask("heard", call="by-tcp")["hz"] == pytest.approx(1000, abs=5)
        # Nobody is there to take the BYE; the line ends all the same.
        door.do("hang-up", call="by-tcp")
        door.wait("over", call="by-tcp")
        rtp.wait_quiet()


def test_an_interruption_takes_back_what_is_not_on_the_wire(door: SubjectProcess) -> None:
    def loud(packets: list[Packet]) -> int:
        return sum(abs(decode_ulaw([packet])).max() > 6000 for packet in packets)

    with RtpPeer() as rtp:
        caller = sipp_script.run(Caller("silent").call(rtp.port).expect("BYE").ok(), door.port)
        door.wait("answered", call="silent")
        rtp.wait_packets(5)
        counts = {}
        for flush in (False, True):
            begin = len(rtp.packets)
            door.do("burst", call="silent", flush=flush)
            rtp.wait_packets(15)
            counts[flush] = loud(rtp.packets[begin:])
        door.do("hang-up", call="silent")
        caller.finish()
    assert counts[False] in (4, 5)
    # The one that was being encoded may still go, in two where the frames do not fall together.
    assert counts[True] <= 2
