"""One SIP call's audio, with the stack's call replaced."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from baresip import AudioNotActive, AudioRestarted, Event, StackEvent
from baresip.audio import AudioInfo
from baresip.call import CallState

from telephony.sip_line import QUEUE_FRAMES, SipLine
from telephony.transport import Digit, HangupCause, Held

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


class StandInCall:
    call_id = "stand-in"
    state = CallState.ESTABLISHED
    remote_on_hold = False

    def __init__(self) -> None:
        self.audio = StandInAudio()
        self.tell: Callable[[StackEvent], None] = lambda _: None

    def on(self, listener: Callable[[StackEvent], None]) -> None:
        self.tell = listener

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
