"""Calls over SIP: what comes of them, whatever the far end does."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import dns.asyncresolver
import dns.message
import dns.rrset
import numpy as np
import pytest
from bench_sipp import (
    answer,
    expect,
    expect_status,
    far_end,
    invited,
    need,
    pause,
    request,
    rtp_far_end,
    sdp,
)

from latency_bench.caller_sip import place_call
from latency_bench.conversation import Conversation, Pace
from latency_bench.part import Part
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.target import Target

START_LIMIT_S = 20.0
PACE = Pace(greeting_limit_s=0.4, greeting_silence_s=0.2, answer_silence_s=0.3, pause_s=0.1)


def beep(duration_s: float = 0.3) -> Part:
    rate_hz = 48_000
    at = np.arange(round(rate_hz * duration_s)) / rate_hz
    pcm = (8000 * np.cos(2 * np.pi * 600 * at)).astype(np.int16)
    return Part(0, "speech", pcm, rate_hz, 0, len(pcm) - 1, wait_s=3.0)


def keys(text: str) -> Part:
    none = np.zeros(0, np.int16)
    return Part(0, "keys", none, 48_000, 0, 0, owes_answer=False, keys=text)


def quiet(duration_s: float) -> Part:
    pcm = np.zeros(round(48_000 * duration_s), np.int16)
    return Part(0, "silence", pcm, 48_000, 0, len(pcm) - 1, owes_answer=False)


def says(*parts: Part) -> Callable[[int], Conversation]:
    return lambda rate_hz: Conversation(parts, rate_hz, PACE)


def silent() -> Callable[[int], Conversation]:
    return says()


@contextlib.asynccontextmanager
async def tone_agent(*arguments: str) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """The box's own SIP stack, in a process of its own; its port."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "latency_bench.tone_agent", "--port", "0", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT_S):
            line = (await child.stdout.readline()).decode()
        assert line.startswith("ready "), line
        yield int(line.split()[1]), child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


def open_sockets() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{number}")
            if name.startswith("socket:"):
                found.add(name)
    return found


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """Every call frees its sockets, tasks and threads, however it ended."""
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    yield
    async with asyncio.timeout(5):
        while (
            asyncio.all_tasks() - tasks - {asyncio.current_task()}
            or open_sockets() - sockets
            or any(thread.name == "rtp-wire" for thread in threading.enumerate())
        ):
            await asyncio.sleep(0.02)


def onsets_s(recording: CallRecording) -> list[float]:
    return [recording.received.time_s(segment.first) for segment in recording.received.segments]


@pytest.mark.parametrize(
    ("codec", "transport", "named"),
    [
        (None, "udp", "PCMU/8000"),
        ("pcma", "tcp", "PCMA/8000"),
        ("g722", "udp", "G722/8000"),
        ("opus", "tcp", "opus/48000"),
    ],
)
async def test_what_is_said_comes_back(codec: str | None, transport: str, named: str) -> None:
    async with tone_agent("--echo") as (port, _):
        target = Target("sip", f"sip:agent@127.0.0.1:{port};transport={transport}", codec=codec)
        call = await place_call(target, says(beep(), beep()), limit_s=20)
    assert (call.end, call.codec, call.door, call.notes) == ("completed", named, "sip", ())
    assert call.missed == ()
    assert call.answered_s > call.dialled_s
    heard = onsets_s(call)
    assert len(call.said) == len(heard) == 2
    for said, onset_s in zip(call.said, heard, strict=True):
        # As it was sent, later: how much later is the agent's affair.
        assert 0 < onset_s - call.sent.time_s(said.first) < 2
    duration_s = call.ended_s - call.answered_s
    assert len(call.sent.pcm) / call.sent.rate_hz == pytest.approx(duration_s, abs=0.3)
    assert np.all(np.diff(call.packets.sequence) == 1)
    assert np.all(np.diff(call.packets.timestamp) == call.packets.clock_hz // 50)


async def test_many_calls_at_once_share_one_thread() -> None:
    async with tone_agent("--echo") as (port, _):
        target = Target("sip", f"sip:agent@127.0.0.1:{port}")
        placing = asyncio.gather(*(place_call(target, says(beep()), limit_s=20) for _ in range(16)))
        wires = 0
        while not placing.done():
            wires = max(wires, sum(t.name == "rtp-wire" for t in threading.enumerate()))
            await asyncio.sleep(0.05)
        calls = await placing
    assert wires == 1
    assert [call.end for call in calls] == ["completed"] * 16
    assert all(len(call.said) == 1 and not call.missed for call in calls)


async def test_keys_are_heard() -> None:
    async with tone_agent("--quiet") as (port, agent):
        target = Target("sip", f"sip:agent@127.0.0.1:{port}")
        call = await place_call(target, says(keys("1#"), keys("70"), quiet(1.2)), limit_s=10)
        agent.terminate()
        _, log = await asyncio.wait_for(agent.communicate(), START_LIMIT_S)
    pressed = [line.rpartition(" ")[2] for line in log.decode().splitlines() if ":key " in line]
    assert call.answered_s > call.dialled_s
    assert pressed == ["1", "#", "7", "0"]


async def test_the_limit_and_the_user_end_a_call() -> None:
    async with tone_agent() as (port, _):
        target = Target("sip", f"sip:agent@127.0.0.1:{port}")
        limited = await place_call(target, silent(), limit_s=0.5)
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.5, stop.set)
        stopped = await place_call(target, silent(), limit_s=60, stop=stop)
    assert (limited.end, stopped.end) == ("limit", "stopped")
    assert limited.ended_s - limited.answered_s < 5
    assert len(limited.received.pcm)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_agent_that_dies_is_noticed(
    monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setattr("latency_bench.caller_sip.QUIET_LIMIT_S", 1.0)
    async with tone_agent() as (port, agent):
        target = Target("sip", f"sip:agent@127.0.0.1:{port};transport={transport}")
        asyncio.get_running_loop().call_later(1.0, agent.send_signal, signal.SIGKILL)
        call = await place_call(target, silent(), limit_s=60)
    assert call.end == "failed"
    assert "the agent is gone" in call.reason and "refused" in call.reason
    assert len(call.received.pcm) > 0


async def test_a_frozen_agent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency_bench.caller_sip.QUIET_LIMIT_S", 1.0)
    monkeypatch.setattr("latency_bench.sip.call.REQUEST_LIMIT_S", 2.0)
    async with tone_agent() as (port, agent):
        target = Target("sip", f"sip:agent@127.0.0.1:{port};transport=tcp")
        asyncio.get_running_loop().call_later(1.0, agent.send_signal, signal.SIGSTOP)
        call = await place_call(target, silent(), limit_s=60)
    assert call.end == "failed"
    assert "OPTIONS: no answer within 2 s" in call.reason


async def test_a_quiet_agent_is_asked_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency_bench.caller_sip.QUIET_LIMIT_S", 0.5)
    steps = (
        invited(),
        answer("200 OK", body=sdp(9)),
        expect("ACK"),
        expect("OPTIONS"),
        answer("200 OK", first=False),
        request("BYE", 1),
        expect_status(200),
    )
    async with far_end(*steps) as address:
        call = await place_call(Target("sip", address), silent(), limit_s=60)
    assert call.end == "remote"


async def test_an_answer_without_any_packet_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency_bench.caller_sip.FIRST_PACKET_LIMIT_S", 1.0)
    steps = (invited(), answer("200 OK", body=sdp(9)), expect("ACK"), expect("BYE"))
    async with far_end(*steps, answer("200 OK", first=False)) as address:
        call = await place_call(Target("sip", address), silent(), limit_s=60)
    assert (call.end, call.reason) == ("failed", "no packet within 1 s of the answer")
    assert not len(call.packets.at_s)


@pytest.mark.parametrize("part", ["check", "_received", "audio"])
async def test_a_call_whose_part_breaks_has_failed(
    part: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a fault of its own")

    async def fail_later(*_: object) -> None:
        fail()

    monkeypatch.setattr("latency_bench.caller_sip.QUIET_LIMIT_S", 0.3)
    with rtp_far_end() as rtp:
        steps = [invited(), answer("200 OK", body=sdp(rtp.port)), expect("ACK")]
        if part == "_received":
            monkeypatch.setattr("latency_bench.sip.requests.FarRequests.answer", fail)
            steps += [pause(300), request("OPTIONS", 1)]
        elif part == "check":
            monkeypatch.setattr("latency_bench.sip.call.SipCall.check", fail_later)
            monkeypatch.setattr("latency_bench.sip.audio.LegAudio.due", lambda *_: ())
        else:
            monkeypatch.setattr("latency_bench.sip.audio.LegAudio.arrived", fail)
        steps += [expect("BYE"), answer("200 OK", first=False)]
        async with far_end(*steps) as address:
            call = await place_call(Target("sip", address), silent(), limit_s=20)
    assert call.end == "failed" and "a fault of its own" in call.reason


async def test_a_file_of_authorities_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing, empty = tmp_path / "none.pem", tmp_path / "empty.pem"
    empty.touch()
    for path in (missing, empty):
        target = Target("sip", "sips:agent@127.0.0.1:9", ca_file=path)
        with pytest.raises(CallFailed, match=f"{path}.*--ca-file"):
            await place_call(target, silent(), limit_s=5)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_refusal_says_its_status(transport: str) -> None:
    steps = (invited(), answer("486 Busy Here"), expect("ACK"))
    async with far_end(*steps, transport=transport) as address:
        with pytest.raises(CallFailed, match="answered 486 Busy Here") as failed:
            await place_call(Target("sip", address), silent(), limit_s=5)
    assert failed.value.outcome == "refused"


async def test_a_redirection_says_where_to() -> None:
    steps = (invited(), answer("302 Moved Temporarily").replace("far@", "other@"), expect("ACK"))
    async with far_end(*steps) as address:
        with pytest.raises(CallFailed, match="302 .*sip:other@.*call that instead") as failed:
            await place_call(Target("sip", address), silent(), limit_s=5)
    assert failed.value.outcome == "refused"


async def test_ringing_for_ever_is_cancelled() -> None:
    keep = invited()
    steps = (
        keep,
        answer("180 Ringing"),
        expect("CANCEL"),
        answer("200 OK", first=False),
        # The INVITE's own end.
        answer("487 Request Terminated", "CSeq: 1 INVITE").replace("[last_CSeq:]\n", ""),
        expect("ACK"),
    )
    async with far_end(*steps) as address:
        with pytest.raises(CallFailed, match="did not answer within 0.5 s") as failed:
            await place_call(Target("sip", address), silent(), limit_s=5, answer_limit_s=0.5)
    assert failed.value.outcome == "unanswered"


async def test_stopped_while_it_rings() -> None:
    stop = asyncio.Event()
    steps = (
        invited(),
        answer("180 Ringing"),
        expect("CANCEL"),
        answer("200 OK", first=False),
        answer("487 Request Terminated", "CSeq: 1 INVITE").replace("[last_CSeq:]\n", ""),
        expect("ACK"),
    )
    async with far_end(*steps) as address:
        asyncio.get_running_loop().call_later(0.5, stop.set)
        call = await place_call(Target("sip", address), silent(), limit_s=5, stop=stop)
    assert (call.end, len(call.sent.pcm)) == ("stopped", 0)


async def test_nobody_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency_bench.sip.call.SILENCE_LIMIT_S", 0.7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        with pytest.raises(CallFailed, match="nobody is there") as silence:
            await place_call(Target("sip", f"sip:a@127.0.0.1:{port}"), silent(), limit_s=5)
    assert silence.value.outcome == "unreachable"
    for transport in ("udp", "tcp"):
        target = Target("sip", f"sip:a@127.0.0.1:{port};transport={transport}")
        with pytest.raises(CallFailed, match=r"cannot be reached.*refused") as refused:
            await place_call(target, silent(), limit_s=5)
        assert refused.value.outcome == "unreachable"
    for host in ("no-such-host.invalid", "a..b"):
        with pytest.raises(CallFailed, match=f"cannot be reached: {host}: ."):
            await place_call(Target("sip", f"sip:a@{host}:5060"), silent(), limit_s=5)


@pytest.mark.parametrize(
    ("body", "outcome", "message"),
    [
        ("", "no_audio", "without a port for audio"),
        (sdp(0), "no_audio", "without a port for audio"),
        (sdp(4000, types="8 101"), "bad_codec", "answered with PCMA/8000"),
    ],
)
async def test_an_answer_that_cannot_be_used(body: str, outcome: str, message: str) -> None:
    steps = (
        invited(),
        answer("200 OK", body=body),
        expect("ACK"),
        expect("BYE"),
        answer("200 OK", first=False),
    )
    async with far_end(*steps) as address:
        with pytest.raises(CallFailed, match=message) as failed:
            await place_call(Target("sip", address), silent(), limit_s=5)
    assert failed.value.outcome == outcome


async def test_packets_of_another_type_are_counted_and_not_heard() -> None:
    with rtp_far_end(payload_type=97) as rtp:
        steps = (invited(), answer("200 OK", body=sdp(rtp.port)), expect("ACK"), expect("BYE"))
        async with far_end(*steps, answer("200 OK", first=False)) as address:
            call = await place_call(Target("sip", address), silent(), limit_s=1)
    assert len(call.packets.at_s) > 10
    assert len(call.received.pcm) == 0
    assert call.notes == ("packets of payload type 97, which was not negotiated",)


@pytest.mark.parametrize(("status", "algorithm"), [(401, "MD5"), (407, "SHA-256")])
async def test_a_password_is_given(status: int, algorithm: str) -> None:
    names = {401: ("WWW", "Unauthorized"), 407: ("Proxy", "Proxy Authentication Required")}
    kind, reason = names[status]
    header = f'{kind}-Authenticate: Digest realm="r", nonce="n1", algorithm={algorithm}, qop="auth"'
    field = "Authorization:" if status == 401 else "Proxy-Authorization:"
    verify = (
        f'<ereg regexp="nc=00000001" search_in="hdr" header="{field}" check_it="true" '
        'assign_to="nc"/>'
    )
    steps = (
        invited(),
        answer(f"{status} {reason}", header),
        expect("ACK"),
        expect("INVITE", verify),
        answer("486 Busy Here"),
        expect("ACK"),
        '<Reference variables="nc"/>',
    )
    async with far_end(*steps) as address:
        target = Target("sip", address, username="joe", password="secret")
        with pytest.raises(CallFailed, match="486"):
            await place_call(target, silent(), limit_s=5)


async def test_a_wrong_password_and_none_are_told() -> None:
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n1"'
    once = (invited(), answer("401 Unauthorized", challenge), expect("ACK"))
    async with far_end(*once) as address:
        with pytest.raises(CallFailed, match="give a user name and a password"):
            await place_call(Target("sip", address), silent(), limit_s=5)
    async with far_end(*once, *once) as address:
        target = Target("sip", address, username="joe", password="wrong")
        with pytest.raises(CallFailed, match="does not take the password of 'joe'") as failed:
            await place_call(target, silent(), limit_s=5)
    assert failed.value.outcome == "refused" and "wrong" not in str(failed.value)


async def test_a_transfer_is_taken_and_the_goodbye_kept() -> None:
    with rtp_far_end() as rtp:
        steps = (
            invited(),
            answer("200 OK", body=sdp(rtp.port)),
            expect("ACK"),
            request("REFER", 1, "Refer-To: <sip:+15550100@example.com>"),
            expect_status(202),
            expect("NOTIFY"),
            answer("200 OK", first=False),
            request("BYE", 2, 'Reason: Q.850;cause=31;text="handed over"'),
            expect_status(200),
        )
        async with far_end(*steps) as address:
            call = await place_call(Target("sip", address), silent(), limit_s=10)
    assert (call.end, call.reason) == ("remote", "handed over")
    assert call.transferred_to == "sip:+15550100@example.com"


async def test_hold_a_new_port_and_small_talk_are_answered() -> None:
    with rtp_far_end() as first, rtp_far_end() as second:
        steps = [
            invited(),
            answer("200 OK", body=sdp(first.port)),
            expect("ACK"),
            pause(300),
            request("INVITE", 1, body=sdp(first.port, direction="sendonly")),
            expect_status(200),
            request("ACK", 1),
            pause(300),
            request("UPDATE", 2, body=sdp(second.port)),
            expect_status(200),
        ]
        for number, method in enumerate(("OPTIONS", "INFO", "NOTIFY", "MESSAGE"), 3):
            steps += [request(method, number), expect_status(200)]
        steps += [
            request("PUBLISH", 7),
            expect_status(405),
            pause(300),
            request("BYE", 8),
            expect_status(200),
        ]
        async with far_end(*steps) as address:
            call = await place_call(Target("sip", address), silent(), limit_s=10)
    assert call.notes == ("the agent put the call on hold",)
    # Sequence numbers stand in bytes 2 and 3: none is used up while nothing is sent.
    assert first.packets and second.packets
    last = int.from_bytes(first.packets[-1][2:4], "big")
    assert int.from_bytes(second.packets[0][2:4], "big") == (last + 1) & 0xFFFF
    # Timestamps go on all the same.
    gone = int.from_bytes(second.packets[0][4:8], "big") - int.from_bytes(
        first.packets[-1][4:8], "big"
    )
    assert gone % 2**32 >= 10 * 160


async def test_a_name_without_a_port_is_looked_up_as_a_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = (invited(), answer("486 Busy Here"), expect("ACK"))
    async with far_end(*steps) as address:
        port = address.rpartition(":")[2]
        record = dns.rrset.from_text(
            "_sip._udp.voice.example.", 60, "IN", "SRV", f"10 5 {port} localhost."
        )

        def reply(query: dns.message.Message) -> dns.message.Message:
            response = dns.message.make_response(query)
            response.answer.append(record)
            return response

        with name_server(reply) as server:
            own = dns.asyncresolver.Resolver(configure=False)
            own.nameservers, own.port = ["127.0.0.1"], server
            monkeypatch.setattr("dns.asyncresolver.default_resolver", own)
            with pytest.raises(CallFailed, match="486"):
                await place_call(Target("sip", "sip:agent@voice.example"), silent(), limit_s=5)


@contextlib.contextmanager
def name_server(
    reply: Callable[[dns.message.Message], dns.message.Message],
) -> Iterator[int]:
    """Answers every query; its port."""
    stopped = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(0.1)

        def serve() -> None:
            while not stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    data, source = line.recvfrom(2048)
                    line.sendto(reply(dns.message.from_wire(data)).to_wire(), source)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield line.getsockname()[1]
        finally:
            stopped.set()
            thread.join(5)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Self-signed, for 127.0.0.1; with its key."""
    path = tmp_path / "own.pem"
    subprocess.run(
        [
            *(need("openssl", "openssl"), "req", "-x509", "-nodes", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", "own.key", "-out", "own.crt"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=30,
    )
    path.write_text((tmp_path / "own.crt").read_text() + (tmp_path / "own.key").read_text())
    return path


@pytest.mark.parametrize("srtp", ["off", "required"])
async def test_over_tls(certificate: Path, srtp: str) -> None:
    ca_file = certificate.with_suffix(".crt")
    async with tone_agent("--echo", "--srtp", srtp, "--tls-certificate", str(certificate)) as (
        port,
        _,
    ):
        address = f"sip:agent@127.0.0.1:{port + 1};transport=tls"
        with pytest.raises(CallFailed, match="certificate is not trusted") as failed:
            await place_call(Target("sip", address), silent(), limit_s=5)
        assert failed.value.outcome == "unreachable"
        target = Target("sip", address, ca_file=ca_file)
        call = await place_call(target, says(beep()), limit_s=20)
    assert (call.end, call.missed, call.notes) == ("completed", (), ())
    assert len(onsets_s(call)) == 1


async def test_a_task_that_is_cancelled_hangs_up() -> None:
    with rtp_far_end() as rtp:
        steps = (invited(), answer("200 OK", body=sdp(rtp.port)), expect("ACK"), expect("BYE"))
        async with far_end(*steps, answer("200 OK", first=False)) as address:
            calling = asyncio.create_task(place_call(Target("sip", address), silent(), limit_s=60))
            async with asyncio.timeout(10):
                while len(rtp.packets) < 5:
                    await asyncio.sleep(0.02)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
