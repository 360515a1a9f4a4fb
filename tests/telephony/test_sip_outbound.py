"""Calls that the SIP door places, with sipp as the called side, the registrar and the trunk."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import sipp_script
from sip_peers import RtpPeer, SubjectProcess, decode_ulaw, free_port, loudest_hz, running
from sipp_script import Callee, digest_is_right

USER, PASSWORD = "trunk-user", "correct horse"


@pytest.fixture(scope="module")
def trunk_ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def door(trunk_ports: tuple[int, int]) -> Iterator[SubjectProcess]:
    right, wrong = (
        {
            "name": name,
            "host": f"127.0.0.1:{port}",
            "user": USER,
            "password": password,
        }
        for name, port, password in zip(
            ("right", "wrong"), trunk_ports, (PASSWORD, "battery staple"), strict=True
        )
    )
    with running(accounts=[right, wrong]) as subject:
        yield subject


def listening(steps: Callee, **options: object) -> sipp_script.Sipp:
    return sipp_script.run(steps, **options)  # type: ignore[arg-type]


def test_an_answered_call_talks_and_is_hung_up(door: SubjectProcess) -> None:
    with RtpPeer() as rtp:
        steps = Callee().accept(rtp.port)
        steps.expect("BYE").ok()
        peer = listening(steps)
        door.do("dial", call="out", target=f"sip:+15557654321@127.0.0.1:{peer.port}")
        dialled = door.wait("dialled", call="out")
        assert (dialled["outcome"], dialled["status"]) == ("answered", 200)
        rtp.wait_packets(50)
        door.do("digits", call="out", digits="12")
        door.wait("done", do="digits")
        door.do("hang-up", call="out")
        peer.finish()
        over = door.wait("over", call="out")
    assert loudest_hz(
        decode_ulaw([p for p in rtp.packets if p.payload_type == 0][:50]), 8000
    ) == pytest.approx(440, abs=5)
    assert rtp.digits() == "12"
    assert over["hz"] == pytest.approx(1000, abs=3)
    (invite, *_) = peer.received("INVITE")
    assert invite.startswith("INVITE sip:+15557654321@127.0.0.1")
    assert "m=video" not in invite


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("486 Busy Here", "busy"),
        ("600 Busy Everywhere", "busy"),
        ("603 Decline", "rejected"),
        ("403 Forbidden", "rejected"),
        ("480 Temporarily Unavailable", "no answer"),
        ("404 Not Found", "rejected"),
        ("503 Service Unavailable", "failed"),
    ],
)
def test_what_became_of_a_call_is_said(door: SubjectProcess, status: str, outcome: str) -> None:
    steps = Callee().expect("INVITE").reply("100 Trying", tag=False)
    peer = listening(steps.reply(status).expect("ACK"))
    door.do("dial", call=status, target=f"sip:x@127.0.0.1:{peer.port}")
    dialled = door.wait("dialled", call=status)
    peer.finish()
    code, reason = status.split(" ", 1)
    assert (dialled["status"], dialled["reason"]) == (int(code), reason)
    assert dialled["outcome"] == outcome


def test_a_call_that_is_not_answered_is_cancelled(door: SubjectProcess) -> None:
    steps = Callee().expect("INVITE").reply("180 Ringing")
    steps.expect("CANCEL").ok()
    peer = listening(steps)
    began_s = time.monotonic()
    door.do("dial", call="rings", target=f"sip:x@127.0.0.1:{peer.port}", limit_s=0.5)
    dialled = door.wait("dialled", call="rings")
    assert dialled["outcome"] == "no answer"
    assert time.monotonic() - began_s < 5
    peer.finish()


def test_nobody_there(door: SubjectProcess) -> None:
    port = free_port(socket.SOCK_STREAM)
    door.do("dial", call="void", target=f"sip:x@127.0.0.1:{port};transport=tcp")
    assert door.wait("dialled", call="void")["outcome"] == "failed"
    door.do("dial", call="nowhere", target="sip:x@no-such-host.invalid")
    # The stack frees a call twice that it cannot even try: it must not get to see these.
    for nonsense in ("sip:", "nobody", "sip:x@127.0.0.1;transport=sctp"):
        door.do("dial", call=nonsense, target=nonsense)
        assert "cannot be called" in door.wait("dialled", call=nonsense)["reason"]
    door.do("dial", call="untls", target="sips:x@127.0.0.1")
    assert "tls_certificate" in door.wait("dialled", call="untls")["reason"]
    door.do("dial", call="untrunked", target="sip:x@127.0.0.1", trunk="nobody")
    assert "nobody" in door.wait("dialled", call="untrunked")["reason"]
    assert door.wait("dialled", call="nowhere", limit_s=20)["outcome"] in ("failed", "no answer")
    assert door.ask("counts")["active"] == 0


def test_a_host_that_never_replies_has_failed_and_one_that_tries_has_not(
    door: SubjectProcess,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        door.do("dial", call="silent", target=f"sip:x@127.0.0.1:{port}", limit_s=1.0)
        dialled = door.wait("dialled", call="silent")
        assert silent.recv(4096).startswith(b"INVITE")
    assert dialled["outcome"] == "failed"
    assert dialled["reason"] == f"127.0.0.1:{port} does not reply"
    # Refused by the kernel (ICMP), of which the stack says nothing.
    door.do("dial", call="refused", target=f"sip:x@127.0.0.1:{port}", limit_s=1.0)
    assert door.wait("dialled", call="refused")["outcome"] == "failed"
    peer = listening(Callee().expect("INVITE").reply("100 Trying", tag=False).expect("CANCEL").ok())
    door.do("dial", call="tries", target=f"sip:x@127.0.0.1:{peer.port}", limit_s=1.0)
    dialled = door.wait("dialled", call="tries")
    assert (dialled["outcome"], dialled["reason"]) == ("no answer", "not answered within 1 s")
    peer.kill()


def test_what_happens_while_the_loop_is_busy_is_not_missed(door: SubjectProcess) -> None:
    void = f"sip:x@127.0.0.1:{free_port(socket.SOCK_STREAM)};transport=tcp"
    door.do("dial", call="refused", target=void, stall_s=0.3)
    assert door.wait("dialled", call="refused")["outcome"] == "failed"
    answering = Callee().expect("INVITE").reply("200 OK", body=sipp_script.sdp()).expect("ACK")
    peer = listening(answering.expect("BYE").ok())
    door.do("dial", call="instant", target=f"sip:x@127.0.0.1:{peer.port}", stall_s=0.3)
    assert door.wait("dialled", call="instant")["outcome"] == "answered"
    door.wait("answered", call="instant")
    door.do("hang-up", call="instant")
    peer.finish()


@pytest.mark.parametrize(
    ("status", "header"),
    [
        ("401 Unauthorized", "WWW-Authenticate"),
        ("407 Proxy Authentication Required", "Proxy-Authenticate"),
    ],
)
def test_a_challenge_is_answered_with_the_trunks_password(
    door: SubjectProcess, trunk_ports: tuple[int, int], status: str, header: str
) -> None:
    def challenged() -> Callee:
        steps = Callee().expect("INVITE")
        steps.reply(status, f'{header}: Digest realm="trunk", nonce="4711abcd", algorithm=MD5')
        return steps.expect("ACK").expect("INVITE")

    accepted = challenged().reply("200 OK", body=sipp_script.sdp()).expect("ACK")
    refused = challenged().reply("403 Forbidden").expect("ACK")
    scripts = {"right": accepted.expect("BYE").ok(), "wrong": refused}
    peers = {}
    seen = len(door.events)
    for (trunk, steps), port in zip(scripts.items(), trunk_ports, strict=True):
        peers[trunk] = listening(steps, port=port)
        door.do("dial", call=trunk, trunk=trunk, target=f"sip:+1900@127.0.0.1:{port}")
    answered = door.wait("dialled", since=seen, call="right")
    failed = door.wait("dialled", since=seen, call="wrong")
    door.wait("answered", since=seen, call="right")
    door.do("hang-up", call="right")
    for peer in peers.values():
        peer.finish()
    assert answered["outcome"] == "answered"
    assert (failed["outcome"], failed["status"]) == ("rejected", 403)
    assert digest_is_right(peers["right"].received("INVITE")[1], PASSWORD)
    assert not digest_is_right(peers["wrong"].received("INVITE")[1], PASSWORD)
    assert PASSWORD not in peers["right"].messages() + "".join(door.log)


def test_a_challenge_again_and_again_ends(
    door: SubjectProcess, trunk_ports: tuple[int, int]
) -> None:
    steps = Callee()
    for nonce in ("one", "two"):
        steps.expect("INVITE").reply(
            "401 Unauthorized",
            f'WWW-Authenticate: Digest realm="trunk", nonce="{nonce}", algorithm=MD5',
        )
        steps.expect("ACK")
    peer = listening(steps, port=trunk_ports[1])
    door.do("dial", call="again", trunk="wrong", target=f"sip:+1900@127.0.0.1:{trunk_ports[1]}")
    dialled = door.wait("dialled", call="again")
    assert dialled["outcome"] in ("rejected", "failed")
    assert dialled["status"] in (401, None)
    peer.end()


def test_a_trunk_registers_with_its_password() -> None:
    steps = Callee().expect("REGISTER")
    steps.reply("401 Unauthorized", 'WWW-Authenticate: Digest realm="r", nonce="9", algorithm=MD5')
    steps.expect("REGISTER").reply("200 OK", "Expires: 300")
    # Closing the door takes the binding back.
    steps.expect("REGISTER").reply("200 OK")
    peer = listening(steps)
    account = {
        "name": "home",
        "host": f"127.0.0.1:{peer.port}",
        "user": USER,
        "password": PASSWORD,
        "register": True,
    }
    with running(accounts=[account]) as subject:
        until_s = time.monotonic() + 10
        while not any("trunk home: registered" in line for line in subject.log):
            assert time.monotonic() < until_s, subject.log
            time.sleep(0.02)
    peer.finish()
    _, answer, last = peer.received("REGISTER")
    assert digest_is_right(answer, PASSWORD)
    assert f'username="{USER}"' in answer
    assert re.search(r"Expires: 0|expires=0", last)


def test_a_refused_registration_is_said_and_tried_again() -> None:
    steps = Callee()
    for _ in range(2):
        steps.expect("REGISTER").reply("403 Forbidden")
    peer = listening(steps, calls=2)
    account = {
        "name": "home",
        "host": f"127.0.0.1:{peer.port}",
        "user": USER,
        "password": PASSWORD,
        "register": True,
    }
    with running(accounts=[account]) as subject:
        until_s = time.monotonic() + 15
        while sum("trunk home: not registered" in line for line in subject.log) < 2:
            assert time.monotonic() < until_s, subject.log
            time.sleep(0.05)
        assert any("403" in line for line in subject.log)
        assert not any(PASSWORD in line for line in subject.log)
    peer.kill()


class Registrar:
    """Grants or refuses registrations, one after another, whatever their Call-ID."""

    def __init__(self, *replies: tuple[str, int]) -> None:
        self._replies = list(replies)
        """Status, and for how many seconds; the last one is kept to."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.asked_s: list[int] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Registrar":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"stop", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while (request := self._socket.recvfrom(4096))[0] != b"stop":
            text, peer = request[0].decode(), request[1]
            status, expires_s = self._replies[min(len(self.asked_s), len(self._replies) - 1)]
            self.asked_s += map(int, re.findall(r"^Contact: .*;expires=([0-9]+)", text, re.M))
            kept = re.findall(r"^(?:Via|From|To|Call-ID|CSeq):.*$", text, re.MULTILINE)
            (contact,) = re.findall(r"^Contact: (<[^>]*>)", text, re.MULTILINE)
            lines = [f"SIP/2.0 {status}", *(line.rstrip() for line in kept)]
            lines += [f"Contact: {contact};expires={expires_s}", "Content-Length: 0", "", ""]
            self._socket.sendto("\r\n".join(lines).encode(), peer)


def test_a_registration_that_is_lost_is_said_and_made_again() -> None:
    replies = (("200 OK", 2), ("503 Service Unavailable", 0), ("200 OK", 300))
    states = []
    with Registrar(*replies) as registrar:
        account = {
            "name": "home",
            "host": f"127.0.0.1:{registrar.port}",
            "user": USER,
            "password": PASSWORD,
            "register": True,
        }
        with running(accounts=[account]) as subject:
            until_s = time.monotonic() + 20
            while sum(": registered" in line for line in subject.log) < 2:
                assert time.monotonic() < until_s, subject.log
                states.append(subject.ask("registrations").get("home"))
                time.sleep(0.05)
            states.append(subject.ask("registrations").get("home"))
        # Closing the door took the binding back.
        assert registrar.asked_s[:2] == [300, 300] and registrar.asked_s[-1] == 0
    said = [line.split(" ", 3)[-1].strip() for line in subject.log if "trunk home:" in line]
    assert said == [
        "trunk home: registered",
        "trunk home: not registered: 503 Service Unavailable; again in 2 s",
        "trunk home: registered",
    ]
    changes = [now for last, now in pairwise([None, *states]) if now != last]
    assert changes[-3:] == [
        "registered", "not registered: 503 Service Unavailable", "registered"
    ]  # fmt: skip


def transferred(final: str) -> Callee:
    """A peer that takes a REFER and says what became of it."""
    steps = Callee().accept()
    steps.expect("REFER")
    steps.ok("202 Accepted")
    for number, (line, state) in enumerate(
        (("100 Trying", "active;expires=60"), (final, "terminated;reason=noresource"))
    ):
        steps.request(
            "NOTIFY",
            100 + number,
            headers=("Event: refer", f"Subscription-State: {state}"),
            body=f"SIP/2.0 {line}\n",
        )
        steps.expect(200)
    return steps


def test_a_transfer_that_succeeds_ends_the_call_and_one_that_fails_does_not(
    door: SubjectProcess,
) -> None:
    good = listening(transferred("200 OK").expect("BYE").ok())
    bad = listening(transferred("486 Busy Here").expect("BYE").ok())
    refusing = Callee().accept()
    refusing.expect("REFER")
    refusing.ok("603 Decline")
    unwilling = listening(refusing.expect("BYE").ok())
    peers = {"good": good, "bad": bad, "unwilling": unwilling}
    for name, peer in peers.items():
        door.do("dial", call=name, target=f"sip:x@127.0.0.1:{peer.port}")
        door.wait("answered", call=name)
        door.do("transfer", call=name, target="sip:reception@192.0.2.1")
    over = door.wait("over", call="good")
    assert over["cause"] == "transferred"
    for name, status in (("bad", "486"), ("unwilling", "603")):
        assert status in door.wait("refused", call=name)["error"]
        # The call goes on, and ends as any other does.
        frames = door.ask("heard", call=name)["frames"]
        assert not door.find("over", call=name)
        door.do("hang-up", call=name)
        assert door.wait("over", call=name)["cause"] == "caller hung up"
        assert frames >= 0
    for peer in peers.values():
        peer.finish()
    (refer, *_) = good.received("REFER")
    assert re.search(r"Refer-To: <?sip:reception@192.0.2.1", refer)


def hanging_up(status: str, notified: str = "") -> Callee:
    """A peer that hangs up after its reply to a REFER, or before one where there is none."""
    steps = Callee().accept()
    steps.expect("REFER")
    if status:
        steps.ok(status)
    if notified:
        headers = ("Event: refer", "Subscription-State: terminated;reason=noresource")
        steps.request("NOTIFY", 100, headers=headers, body=f"SIP/2.0 {notified}\n").expect(200)
    return steps.request("BYE", 101).expect(200)


def test_a_far_end_that_accepts_a_transfer_and_hangs_up_was_transferred(
    door: SubjectProcess,
) -> None:
    """As many carriers do, without a word of what became of it."""
    peers = {
        "taken": listening(hanging_up("202 Accepted")),
        "unanswered": listening(hanging_up("")),
        "refused-first": listening(hanging_up("603 Decline")),
        "reported-failed": listening(hanging_up("202 Accepted", "486 Busy Here")),
    }
    for name, peer in peers.items():
        door.do("dial", call=name, target=f"sip:x@127.0.0.1:{peer.port}")
        door.wait("answered", call=name)
        door.do("transfer", call=name, target="sip:reception@192.0.2.1")
    assert door.wait("done", call="taken", do="transfer")
    assert door.wait("over", call="taken")["cause"] == "transferred"
    for name in ("unanswered", "refused-first", "reported-failed"):
        assert "192.0.2.1" in door.wait("refused", call=name)["error"]
        assert door.wait("over", call=name)["cause"] == "caller hung up"
    for peer in peers.values():
        peer.kill()


def test_hold_and_resume_by_the_agent(door: SubjectProcess) -> None:
    with RtpPeer() as rtp:
        steps = Callee().accept(rtp.port)
        for direction in ("recvonly", "sendrecv"):
            steps.expect("INVITE")
            body = sipp_script.sdp(rtp.port, direction=direction, version=2)
            steps.ok("200 OK", body)
            steps.expect("ACK")
        peer = listening(steps.expect("BYE").ok())
        door.do("dial", call="held", target=f"sip:x@127.0.0.1:{peer.port}")
        door.wait("answered", call="held")
        rtp.wait_packets(10)
        door.do("hold", call="held")
        door.wait("done", call="held", do="hold")
        rtp.wait_quiet()
        door.do("resume", call="held")
        door.wait("done", call="held", do="resume")
        assert loudest_hz(decode_ulaw(rtp.wait_packets(40)[10:]), 8000) == pytest.approx(440, abs=9)
        door.do("hang-up", call="held")
        peer.finish()
    offers = [re.search(r"a=(send\w+|recv\w+|inactive)", m) for m in peer.received("INVITE")]
    assert [found and found[1] for found in offers] == ["sendrecv", "sendonly", "sendrecv"]
