"""Recordings whose two sides stay in step, whatever the network does."""

import asyncio
import os
import random
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony import recording
from telephony.continuity import Continuity
from telephony.loopback import LoopbackLine
from telephony.recording import RecordedLine, Recorder

RATE_HZ = 8000
FRAME = 160
LIMIT_S = 10.0


def _read(path: Path) -> NDArray[np.int16]:
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        recording._disk.submit(lambda: None).result(LIMIT_S)
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, RATE_HZ)
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            return pcm.reshape(-1, 2)
    raise AssertionError(path)


def _onsets_s(channel: NDArray[np.int16]) -> NDArray[np.float64]:
    loud = np.abs(channel.astype(np.int32)) > 1000
    return np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]])) / RATE_HZ


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1])
def test_ten_minutes_with_losses_stay_within_20_ms(tmp_path: Path, loss: float) -> None:
    """Each second both sides say a frame at the same moment; one in 50 s keys cut a hole."""
    drawn = random.Random(1)
    recorder = Recorder(tmp_path / "call.wav", RATE_HZ)
    continuity = Continuity(RATE_HZ)
    silence, beep = bytes(2 * FRAME), np.full(FRAME, 9000, np.int16).tobytes()
    for tick in range(10 * 60 * 50):
        now_s = 100 + tick * 0.02
        if tick % 1000 == 0:
            # This runs faster than real time, which the disk need not keep up with.
            recording._disk.submit(lambda: None).result(LIMIT_S)
        beeping = tick % 50 == 10
        in_key = tick % 2500 > 2490
        lost = not beeping and (in_key or drawn.random() < loss)
        pcm = b"" if lost else (beep if beeping else silence)
        silent_samples = continuity.take(len(pcm) // 2, now_s)
        if silent_samples > 0:
            recorder.heard(bytes(2 * silent_samples))
        pcm = pcm[max(0, -2 * silent_samples) :]
        if beeping:
            recorder.said(beep)
        if pcm:
            recorder.heard(pcm)
    recorder.close()
    both = _read(tmp_path / "call.wav")
    assert len(both) / RATE_HZ == pytest.approx(600, abs=0.5)
    heard, said = _onsets_s(both[:, 0]), _onsets_s(both[:, 1])
    assert len(heard) == len(said) == 600
    apart = np.abs(heard - said)
    assert apart.max() <= 0.02, apart.max()


async def test_a_recorded_line_passes_everything_on(tmp_path: Path) -> None:
    inner = LoopbackLine(RATE_HZ)
    line = RecordedLine(inner, Recorder(tmp_path / "deep" / "call.wav", RATE_HZ))
    frame = np.full(FRAME, 500, np.int16).tobytes()
    async with asyncio.timeout(LIMIT_S):
        await line.send(frame)
        await inner.speak(frame * 3)
        inner.press("5")
        got = [await line.receive() for _ in range(4)]
        await line.send(frame)
        line.flush()
        await inner.speak(frame)
        await line.receive()
        await line.hang_up()
        assert await line.receive() is None
    assert got[:3] == [frame] * 3
    assert getattr(got[3], "key", "") == "5"
    both = _read(tmp_path / "deep" / "call.wav")
    assert both[:, 0].tolist() == [500] * (4 * FRAME)
    # What was taken back before it was on the wire was never said.
    assert both[:, 1].tolist() == [500] * FRAME + [0] * (3 * FRAME)


async def test_a_line_is_recorded_from_when_it_is_told_to(tmp_path: Path) -> None:
    inner, late = LoopbackLine(RATE_HZ), LoopbackLine(RATE_HZ)
    line = RecordedLine(inner)
    before, after = (np.full(FRAME, level, np.int16).tobytes() for level in (900, 500))
    async with asyncio.timeout(LIMIT_S):
        await line.send(before)
        await inner.speak(before)
        assert await line.receive() == before
        line.begin(Recorder(tmp_path / "call.wav", RATE_HZ))
        await line.send(after)
        await inner.speak(after)
        assert await line.receive() == after
        line.flush()
        await line.hang_up()
        # A call that is over meanwhile leaves a file that is closed.
        line = RecordedLine(late)
        await line.hang_up()
        recorder = Recorder(tmp_path / "late.wav", RATE_HZ)
        line.begin(recorder)
    assert _read(tmp_path / "call.wav").tolist() == [[500, 500]] * FRAME
    assert len(_read(tmp_path / "late.wav")) == 0


def test_a_full_disk_ends_the_recording_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "call.wav", RATE_HZ)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    recorder._file.writeframes = full  # type: ignore[union-attr, method-assign]
    for _ in range(3):
        recorder.heard(bytes(2 * RATE_HZ))
        recording._disk.submit(lambda: None).result(LIMIT_S)
    recorder.close()
    assert "No space left on device" in caplog.text
    assert "the recording ends here" in caplog.text


class HeldLine(LoopbackLine):
    """Takes nothing while it is held, and says so."""

    held = False

    def __init__(self, sample_rate_hz: int) -> None:
        super().__init__(sample_rate_hz)
        self.on_sent: Callable[[bytes], None] = lambda pcm: None

    async def send(self, pcm: bytes) -> None:
        if not self.held:
            self.on_sent(pcm)
            await super().send(pcm)


async def test_what_a_held_line_did_not_take_was_not_said(tmp_path: Path) -> None:
    inner = HeldLine(RATE_HZ)
    line = RecordedLine(inner, Recorder(tmp_path / "call.wav", RATE_HZ))
    lost, frame = (np.full(FRAME, level, np.int16).tobytes() for level in (700, 500))
    async with asyncio.timeout(LIMIT_S):
        inner.held = True
        for _ in range(20):
            await line.send(lost)
        inner.held = False
        await line.send(frame)
        await inner.speak(frame * 2)
        for _ in range(2):
            await line.receive()
        await line.hang_up()
    assert _read(tmp_path / "call.wav")[:, 1].tolist() == [500] * FRAME + [0] * FRAME


def test_what_is_said_while_nothing_is_heard_is_bounded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "call.wav", RATE_HZ)
    for second in range(60):
        recorder.said(np.full(RATE_HZ, second, np.int16).tobytes())
    recorder.heard(bytes(2 * 3 * RATE_HZ))
    recorder.close()
    said = _read(tmp_path / "call.wav")[:, 1]
    assert said.tolist() == [58] * RATE_HZ + [59] * RATE_HZ + [0] * RATE_HZ


def test_only_the_owner_may_hear_a_recording(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        recorder = Recorder(tmp_path / "own" / "call.wav", RATE_HZ)
        recorder.close()
    finally:
        os.umask(umask)
    path = tmp_path / "own" / "call.wav"
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
