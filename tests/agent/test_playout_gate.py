"""The gate: what a closed one lets through, what an open one goes on with."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
from av import AudioFrame
from pipecat.frames.frames import InterruptionFrame, TTSAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.workers.runner import WorkerRunner

from agent.line_transport import LineTransport
from agent.playout_gate import PlayoutGate
from agent.web.audio_track import AudioTrack
from telephony.loopback import LoopbackLine

LINE_HZ = 8000
TRACK_HZ = 24000
LIMIT_S = 20


def frame_of(value: int, rate_hz: int) -> bytes:
    return np.full(rate_hz // 50, value, np.int16).tobytes()


class AheadLine(LoopbackLine):
    """Keeps up to four frames of its own before the wire, as a native stack does."""

    AHEAD = 4

    def __init__(self) -> None:
        super().__init__(LINE_HZ)
        self.waiting: list[int] = []
        self.wire: list[int] = []
        self.ticked = asyncio.Event()

    @property
    def ahead_s(self) -> float:
        return 0.02 * len(self.waiting)

    async def send(self, pcm: bytes) -> None:
        self.waiting.append(int(np.frombuffer(pcm, np.int16)[0]))
        while len(self.waiting) > self.AHEAD:
            await asyncio.sleep(0.001)

    def flush(self) -> bytes:
        waiting, self.waiting = self.waiting, []
        return b"".join(frame_of(value, LINE_HZ) for value in waiting)

    async def tick(self) -> None:
        """20 ms pass on the wire."""
        self.wire.append(self.waiting.pop(0) if self.waiting else 0)
        await asyncio.sleep(0.005)


@asynccontextmanager
async def speaking(
    line: LoopbackLine, gate: PlayoutGate, played: list[int]
) -> AsyncIterator[PipelineWorker]:
    def on_played(pcm: bytes, rate_hz: int, at_s: float) -> None:
        assert rate_hz == LINE_HZ
        played.append(int(np.frombuffer(pcm, np.int16)[0]))

    transport = LineTransport(line, gate, on_played)
    worker = PipelineWorker(
        Pipeline([transport.input(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=LINE_HZ, audio_out_sample_rate=LINE_HZ),
        idle_timeout_secs=None,
        enable_rtvi=False,
        enable_turn_tracking=False,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            yield worker
    finally:
        await runner.cancel()
        await asyncio.wait([running], timeout=LIMIT_S)


async def say(worker: PipelineWorker, values: Sequence[int]) -> None:
    await worker.queue_frames(
        [TTSAudioRawFrame(frame_of(value, LINE_HZ), LINE_HZ, 1) for value in values]
    )


async def ticks_until(line: AheadLine, value: int) -> None:
    while value not in line.wire:
        await line.tick()


async def test_a_closed_gate_takes_back_what_waits_and_loses_none_of_it() -> None:
    line, gate, played = AheadLine(), PlayoutGate(), list[int]()
    async with speaking(line, gate, played) as worker:
        await say(worker, range(1, 21))
        await ticks_until(line, 5)
        while len(line.waiting) < line.AHEAD:
            await asyncio.sleep(0.005)
        gate.close()
        on_the_wire = len(line.wire)
        for _ in range(10):
            await line.tick()
        assert line.wire[on_the_wire:] == [0] * 10
        gate.open()
        await ticks_until(line, 20)
    assert [value for value in line.wire if value] == list(range(1, 21))


async def test_the_end_of_an_answer_goes_out_though_nothing_follows_it() -> None:
    line, gate = AheadLine(), PlayoutGate()
    async with speaking(line, gate, []) as worker:
        await say(worker, range(1, 5))
        while len(line.waiting) < line.AHEAD:
            await asyncio.sleep(0.005)
        for _ in range(3):
            gate.close()
            await line.tick()
            gate.open()
            await ticks_until(line, max(line.wire) + 1)
        await ticks_until(line, 4)
    assert [value for value in line.wire if value] == [1, 2, 3, 4]


async def test_an_interruption_gets_through_a_closed_gate() -> None:
    line, gate, played = AheadLine(), PlayoutGate(), list[int]()
    async with speaking(line, gate, played) as worker:
        await say(worker, range(1, 21))
        await ticks_until(line, 5)
        gate.close()
        await worker.queue_frame(InterruptionFrame())
        await say(worker, range(101, 104))
        for _ in range(10):
            await line.tick()
        gate.open()
        await ticks_until(line, 103)
        assert [value for value in line.wire if value] == [1, 2, 3, 4, 5, 101, 102, 103]
    assert played[-3:] == [101, 102, 103]


async def test_a_line_without_reserve_is_silent_at_once() -> None:
    line, gate = LoopbackLine(LINE_HZ), PlayoutGate()
    async with speaking(line, gate, []) as worker:
        await say(worker, range(1, 8))
        heard = [await line.hear() for _ in range(3)]
        gate.close()
        try:
            async with asyncio.timeout(0.2):
                heard += [await line.hear() for _ in range(4)]
        except TimeoutError:
            pass
        else:
            raise AssertionError("the gate let everything through")
        gate.open()
        while len(heard) < 7:
            heard.append(await line.hear())
    values = [int(np.frombuffer(pcm or b"", np.int16)[0]) for pcm in heard]
    assert values == list(range(1, 8))


async def heard_of(track: AudioTrack, frames: int) -> list[int]:
    async with asyncio.timeout(LIMIT_S):
        heard = [await track.recv() for _ in range(frames)]
    return [int(frame.to_ndarray()[0, 0]) for frame in heard if isinstance(frame, AudioFrame)]


async def test_a_track_is_silent_while_the_gate_is_closed() -> None:
    gate, played = PlayoutGate(), list[int]()
    track = AudioTrack(TRACK_HZ, gate, lambda pcm, rate_hz, at_s: played.append(rate_hz))
    taken = [track.add_audio_bytes(frame_of(value, TRACK_HZ)) for value in (1, 2, 3)]
    assert await heard_of(track, 1) == [1]
    gate.close()
    assert await heard_of(track, 3) == [0, 0, 0]
    assert [future.done() for future in taken] == [True, False, False]
    gate.open()
    assert await heard_of(track, 3) == [2, 3, 0]
    assert played == [TRACK_HZ] * 3


async def test_a_track_drops_what_was_interrupted() -> None:
    gate = PlayoutGate()
    track = AudioTrack(TRACK_HZ, gate)
    gate.close()
    dropped = track.add_audio_bytes(frame_of(1, TRACK_HZ))
    assert await heard_of(track, 1) == [0]
    track.flush()
    assert await dropped is False
    track.add_audio_bytes(frame_of(2, TRACK_HZ))
    gate.open()
    assert await heard_of(track, 2) == [2, 0]
