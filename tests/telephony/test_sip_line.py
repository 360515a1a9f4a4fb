"""One SIP call's audio, with the stack's call replaced."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from baresip import AudioNotActive, AudioRestarted, CallStats, Event, StackEvent
from baresip import TransferFailed as BaresipTransferFailed
from baresip.audio import AudioInfo
from baresip.call import CallState

from telephony.sip_line import QUEUE_FRAMES, Lines, SipLine
from telephony.sip_replies import MAX_KEPT, Replies
from telephony.transport import Digit, HangupCause, Held, TransferFailed

PLAIN = AudioInfo(True, True, 8000, 1, 20, 8000, 1, 0, 0, 16000, 16000)


@dataclass
class StandInAudio:
    state: AudioInfo | None = PLAIN
    received: bytes = b""
    written: bytearray = field(default_factory=bytearray)
    sent: bytearray = field(default_factory=bytearray)
    restarted: bool = False

    def info(self) -> AudioInfo:
        if self.state is None:
            raise AudioNotActive("none")
        return replace(self.state, tx_buffered=len(self.written))

    def read(self, max_bytes: int) -> bytes:
        if self.restarted:
            self.restarted = False
            raise AudioRestarted("again")
        if self.state is None:
            raise AudioNotActive("none")
        taken, self.received = self.received[:max_bytes], self.received[max_bytes:]
        return taken

    def write(self, pcm: bytes) -> int:
        self.info()
        self.written += pcm
        return len(pcm)

    def flush_tx(self) -> None:
        self.written.clear()


class StandInCall:
    call_id = "stand-in"
    state = CallState.ESTABLISHED
    remote_on_hold = False

    def __init__(self) -> None:
        self.audio = StandInAudio()
        self.tell: Callable[[StackEvent], None] = lambda _: None
        self.tell_stats: Callable[[CallStats], None] = lambda _: None
        self.final_stats: CallStats | None = None
        self.hung_up = 0
        self.closed = asyncio.Event()

    async def hangup(self) -> None:
        self.hung_up += 1

    async def transfer(self, target: str, **_: float) -> None:
        await self.closed.wait()
        raise BaresipTransferFailed("call closed before the transfer completed")

    def on(self, listener: Callable[[StackEvent], None]) -> None:
        self.tell = listener

    def on_rtcp(self, listener: Callable[[CallStats], None]) -> None:
        self.tell_stats = listener

    def happens(self, event: Event, text: str | None = None) -> None:
        self.tell(StackEvent(event=event, handle=1, ua=1, call=1, text=text))


@pytest.fixture
def call() -> StandInCall:
    return StandInCall()


def line_of(call: StandInCall) -> SipLine:
    return SipLine(call, "them", "us")  # type: ignore[arg-type]


async def everything(line: SipLine) -> list[object]:
    got: list[object] = []
    while not line._frames.empty():
        got.append(await line.receive())
    return got


async def test_frames_of_20_ms_come_from_whatever_arrives(call: StandInCall) -> None:
    line = line_of(call)
    call.audio.received = bytes(320 + 100)
    line.poll(1.0)
    call.audio.received = bytes(220)
    line.poll(1.02)
    assert [len(frame) for frame in await everything(line)] == [320, 320]  # type: ignore[arg-type]


async def test_audio_that_nobody_reads_is_let_go_and_keys_are_not(call: StandInCall) -> None:
    line = line_of(call)
    call.happens(Event.CALL_DTMF_START, "5")
    call.happens(Event.CALL_DTMF_END)
    call.happens(Event.CALL_HOLD)
    call.happens(Event.CALL_RESUME)
    for number in range(3 * QUEUE_FRAMES):
        call.audio.received = bytes(320)
        line.poll(1 + 0.02 * number)
    call.happens(Event.CALL_CLOSED, "Connection reset by user")
    got = await everything(line)
    assert len(got) == QUEUE_FRAMES
    events = [item for item in got if not isinstance(item, bytes)]
    assert [event.key for event in events if isinstance(event, Digit)] == ["5"]
    assert [event.on for event in events if isinstance(event, Held)] == [True, False]
    assert got[-1] is None
    assert await line.receive() is None


async def test_a_key_whose_release_is_lost_and_one_that_comes_twice(call: StandInCall) -> None:
    line = line_of(call)
    call.happens(Event.CALL_DTMF_START, "1")
    call.happens(Event.CALL_DTMF_START, "2")
    call.happens(Event.CALL_DTMF_END)
    # A packet of the same key that was overtaken by its last one.
    call.happens(Event.CALL_DTMF_START, "2")
    call.happens(Event.CALL_DTMF_END)
    keys = [item.key for item in await everything(line) if isinstance(item, Digit)]
    assert keys == ["1", "2"]


async def test_a_key_whose_release_never_comes_acts_all_the_same(call: StandInCall) -> None:
    line = line_of(call)
    call.happens(Event.CALL_DTMF_START, "1")
    began_s = time.monotonic()
    line.poll(began_s + 0.1)
    assert await everything(line) == []
    line.poll(began_s + 0.21)
    (key,) = [item for item in await everything(line) if isinstance(item, Digit)]
    assert key.key == "1" and 200 <= key.duration_ms < 300
    # It was held on: its end says nothing new.
    line.poll(began_s + 1.0)
    call.happens(Event.CALL_DTMF_END)
    line.poll(began_s + 1.1)
    call.happens(Event.CALL_DTMF_START, "2")
    call.happens(Event.CALL_CLOSED)
    got = await everything(line)
    assert [item.key for item in got if isinstance(item, Digit)] == ["2"] and got[-1] is None


async def test_one_line_that_fails_deafens_no_other(
    call: StandInCall, caplog: pytest.LogCaptureFixture
) -> None:
    lines, broken = Lines(interval_s=0.001), StandInCall()
    broken.call_id = "broken"
    sound_line, broken_line = line_of(call), line_of(broken)
    broken.audio.received = bytes(320)
    broken_line._continuity.take = None  # type: ignore[assignment, method-assign]
    lines.add(broken_line)
    lines.add(sound_line)
    service = asyncio.create_task(lines.service())
    async with asyncio.timeout(5):
        assert await broken_line.receive() is None
        call.audio.received = bytes(320)
        assert await sound_line.receive() == bytes(320)
        # The far end is told.
        await broken_line.hang_up()
        await broken_line.hang_up()
    assert broken_line.cause is HangupCause.FAILED and broken.hung_up == 1
    assert "sip call broken: its audio failed" in caplog.text
    assert not service.done() and len(lines) == 1
    service.cancel()
    await asyncio.gather(service, return_exceptions=True)


async def test_what_a_line_did_not_take_is_not_told_as_sent(call: StandInCall) -> None:
    line, sent = line_of(call), bytearray()
    line.on_sent = sent.extend
    call.audio.state = None
    await asyncio.wait_for(line.send(bytes(320)), 5)
    assert not sent
    call.audio.state = PLAIN
    await asyncio.wait_for(line.send(bytes(320)), 5)
    assert len(sent) == 320


@pytest.mark.parametrize(
    ("status", "reported_failed", "cause"),
    [
        (202, False, HangupCause.TRANSFERRED),
        (None, False, HangupCause.CALLER_HUNG_UP),
        (603, True, HangupCause.CALLER_HUNG_UP),
        (202, True, HangupCause.CALLER_HUNG_UP),
    ],
)
async def test_a_transfer_whose_far_end_hangs_up(
    call: StandInCall, status: int | None, reported_failed: bool, cause: HangupCause
) -> None:
    replies = Replies()
    # Of an earlier one: it says nothing of this one.
    replies.note("stand-in", "REFER", 202)
    line = SipLine(call, "them", "us", replies)  # type: ignore[arg-type]
    transfer = asyncio.create_task(line.transfer("sip:desk@h"))
    await asyncio.sleep(0)
    if status is not None:
        replies.note("stand-in", "REFER", status)
    if reported_failed:
        call.happens(Event.CALL_TRANSFER_FAILED, "486 Busy Here")
    call.happens(Event.CALL_CLOSED, "Connection reset by peer")
    call.closed.set()
    async with asyncio.timeout(5):
        [error] = await asyncio.gather(transfer, return_exceptions=True)
    assert line.cause is cause
    assert isinstance(error, TransferFailed) is (cause is HangupCause.CALLER_HUNG_UP)


def test_replies_are_bounded() -> None:
    replies = Replies()
    for number in range(2 * MAX_KEPT):
        replies.note(str(number), "INVITE", 100)
    assert replies.status("0", "INVITE") is None
    assert replies.status(str(2 * MAX_KEPT - 1), "INVITE") == 100
    assert len(replies._kept) == MAX_KEPT


async def test_stereo_and_48_khz_become_mono_at_the_lines_rate(call: StandInCall) -> None:
    call.audio.state = replace(
        PLAIN, tx_sample_rate=48000, rx_sample_rate=48000, tx_channels=2, rx_channels=2
    )
    line = line_of(call)
    assert line.sample_rate_hz == 16000
    left = (8000 * np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)).astype(np.int16)
    both = np.stack([left, left // 2], axis=1)
    call.audio.received = both[:48000].tobytes()
    line.poll(1.0)
    frames = [item for item in await everything(line) if isinstance(item, bytes)]
    heard = np.frombuffer(b"".join(frames), np.int16)[1600:]
    assert np.abs(heard).max() == pytest.approx(6000, rel=0.03)
    for at in range(0, 3200, 320):
        # The wire takes it as fast as it comes.
        call.audio.sent += call.audio.written
        call.audio.written.clear()
        await asyncio.wait_for(line.send(heard[at : at + 320].tobytes()), 5)
    call.audio.written[:0] = call.audio.sent
    written = np.frombuffer(bytes(call.audio.written), np.int16).reshape(-1, 2)
    assert len(written) == 9600
    assert (written[:, 0] == written[:, 1]).all()


async def test_a_sender_waits_for_the_wire_and_an_end_lets_it_go(call: StandInCall) -> None:
    line = line_of(call)
    for _ in range(4):
        await asyncio.wait_for(line.send(bytes(320)), 5)
    waiting = asyncio.create_task(line.send(bytes(320)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    del call.audio.written[:640]
    line.poll(1.0)
    await asyncio.wait_for(waiting, 5)
    waiting = asyncio.create_task(line.send(bytes(3200)))
    await asyncio.sleep(0.02)
    call.happens(Event.CALL_CLOSED)
    await asyncio.wait_for(waiting, 5)


async def test_a_held_sender_is_paced_and_new_streams_are_taken_up(call: StandInCall) -> None:
    line = line_of(call)
    call.audio.state = None
    await asyncio.wait_for(line.send(bytes(320)), 5)
    line.poll(1.0)
    assert not call.audio.written
    call.audio.state = replace(PLAIN, tx_sample_rate=16000, rx_sample_rate=16000)
    call.audio.restarted = True
    line.poll(1.02)
    for _ in range(4):
        await asyncio.wait_for(line.send(bytes(320)), 5)
    assert len(call.audio.written) == 4 * 640
    assert line.sample_rate_hz == 8000


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("rtp stream error", HangupCause.CALLER_VANISHED),
        ("Connection timed out [110]", HangupCause.CALLER_VANISHED),
        ("Connection reset by user", HangupCause.CALLER_HUNG_UP),
        ("", HangupCause.CALLER_HUNG_UP),
    ],
)
async def test_why_a_call_ended(call: StandInCall, reason: str, cause: HangupCause) -> None:
    line = line_of(call)
    call.happens(Event.CALL_CLOSED, reason)
    assert await line.receive() is None
    assert line.cause is cause


async def test_a_call_that_was_over_or_held_before_there_was_a_line(call: StandInCall) -> None:
    call.remote_on_hold = True
    line = line_of(call)
    assert await line.receive() == Held(True)
    call.state = CallState.CLOSED
    assert await line_of(call).receive() == Held(True)
    gone = StandInCall()
    gone.state = CallState.CLOSED
    assert await line_of(gone).receive() is None


async def test_what_is_taken_back_is_what_the_wire_has_not_had(call: StandInCall) -> None:
    line = line_of(call)
    frames = [np.full(160, number, np.int16).tobytes() for number in range(1, 5)]
    for frame in frames:
        await line.send(frame)
    del call.audio.written[:320]
    assert line.ahead_s == pytest.approx(0.06)
    assert line.flush() == b"".join(frames[1:])
    assert not call.audio.written
    assert line.flush() == b""
    assert line.ahead_s == 0


async def test_a_line_that_is_gone_gives_nothing_back(call: StandInCall) -> None:
    line = line_of(call)
    await line.send(bytes(320))
    call.audio.state = None
    assert line.flush() == b""


async def test_what_the_wire_carried_is_as_the_stack_reports_it(call: StandInCall) -> None:
    line = line_of(call)
    call.tell_stats(CallStats(rx_bytes=40_000, tx_bytes=39_840))
    received, sent = line.carried_bytes
    assert received >= 40_000 and sent >= 39_840
    call.final_stats = CallStats(rx_bytes=2_000_000, tx_bytes=1_000_000)
    call.happens(Event.CALL_CLOSED, "hung up")
    assert line.carried_bytes == (2_000_000, 1_000_000)
