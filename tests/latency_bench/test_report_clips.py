"""Waveforms and sound in the page: right, bounded, and from the report's folder only."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic_report import RATE_HZ, run_report, write_wav

from latency_bench.figures import CallFigures
from latency_bench.reports.clips import (
    PEAKS_MAX,
    compress,
    gather,
    in_order_of_interest,
    peaks_of,
    read_stereo,
)
from latency_bench.reports.report_file import parse_report


def _tones(seconds: float = 2.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """The caller's 300 Hz in the first half, the agent's 600 Hz in the second."""
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    left = np.where(at_s < seconds / 2, 8000 * np.sin(2 * np.pi * 300 * at_s), 0)
    right = np.where(at_s >= seconds / 2, 16000 * np.sin(2 * np.pi * 600 * at_s), 0)
    return np.stack([left, right], axis=1).astype(np.int16)


def test_peaks_are_where_the_sound_is() -> None:
    peaks = peaks_of(_tones(), RATE_HZ)
    caller, agent = np.frombuffer(peaks.caller, np.uint8), np.frombuffer(peaks.agent, np.uint8)
    assert peaks.step_s == 0.01
    assert len(caller) == len(agent) == 200
    assert caller[:100].min() > 20 and caller[101:].max() == 0
    assert agent[:99].max() == 0 and agent[101:].min() > 40


def test_peaks_of_silence_nothing_and_full_scale() -> None:
    assert peaks_of(np.zeros((0, 2), np.int16), 8000).caller == b""
    loudest = peaks_of(np.full((80, 2), -32768, np.int16), 8000)
    assert loudest.caller == bytes([127])


def test_peaks_of_a_long_call_are_coarser() -> None:
    peaks = peaks_of(np.zeros((8000 * 600, 2), np.int16), 8000)
    assert len(peaks.caller) <= PEAKS_MAX
    assert len(peaks.caller) * peaks.step_s == pytest.approx(600, rel=0.01)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
def test_a_clip_is_as_long_as_the_call_and_each_side_on_its_side(rate_hz: int) -> None:
    made = compress(_tones(rate_hz=rate_hz), rate_hz)
    with av.open(io.BytesIO(made)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name in ("opus", "libopus")
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        sound = np.concatenate(frames, axis=1)
        if sound.shape[0] == 1:
            sound = sound.reshape(-1, 2).T
    assert sound.shape[1] / 48_000 == pytest.approx(2.0, abs=0.05)
    power = np.square(sound.astype(np.float64)).reshape(2, -1)
    early, late = power[:, 4800:40_000].mean(axis=1), power[:, 56_000:91_000].mean(axis=1)
    assert early[0] > 50 * early[1]
    assert late[1] > 50 * late[0]


def test_the_slowest_the_median_and_the_failed_come_first() -> None:
    calls = parse_report(run_report()).calls
    order = in_order_of_interest(calls)
    assert sorted(call.call for call in order) == [call.call for call in calls]
    slowest = max(
        (turn.v2v_ms or 0, call.call) for call in calls for turn in call.turns if turn.counts
    )
    assert order[0].call == slowest[1]
    failed = {call.call for call in calls if not call.passed}
    assert failed <= {call.call for call in order[: 2 + len(failed)]}


def test_sound_is_embedded_only_while_it_fits(tmp_path: Path) -> None:
    report = parse_report(run_report(tmp_path, calls=3, turns=2))
    everything = gather(report.calls, tmp_path, 12_000_000)
    assert set(everything.audio) == set(everything.peaks) == {0, 1, 2}
    one = max(len(address) for address in everything.audio.values())
    some = gather(report.calls, tmp_path, round(one * 1.7))
    assert len(some.audio) == 1
    assert set(some.peaks) == {0, 1, 2}
    assert all("small" in why for why in some.missing.values())
    assert gather(report.calls, tmp_path, 0).audio == {}
    head, _, body = everything.audio[0].partition(",")
    assert head == "data:audio/webm;base64"
    assert base64.b64decode(body)[:4] == b"\x1aE\xdf\xa3"


@pytest.mark.parametrize("name", ["../secret.wav", "/etc/hostname", "a/../../secret.wav"])
def test_nothing_outside_the_report_is_read(name: str, tmp_path: Path) -> None:
    write_wav(tmp_path / "secret.wav", _tones())
    folder = tmp_path / "report"
    folder.mkdir()
    found = gather([_call(name)], folder, 12_000_000)
    assert not found.audio and not found.peaks
    assert "outside" in found.missing[0]


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    write_wav(tmp_path / "secret.wav", _tones())
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "call.wav").symlink_to(tmp_path / "secret.wav")
    assert "outside" in gather([_call("call.wav")], folder, 12_000_000).missing[0]


def test_sound_that_is_gone_or_broken_is_told_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF....WAVE")
    (tmp_path / "empty.wav").write_bytes(b"")
    calls = [_call("gone.wav"), replace(_call("broken.wav"), call=1)]
    calls += [replace(_call("empty.wav"), call=2), replace(_call(None), call=3)]
    found = gather(calls, tmp_path, 12_000_000)
    assert not found.audio
    assert "not beside" in found.missing[0]
    assert "cannot be read" in found.missing[1] and "cannot be read" in found.missing[2]
    assert "no recording" in found.missing[3]


def test_mono_is_on_both_sides(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "mono.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(np.arange(100, dtype="<i2").tobytes())
    pcm, rate_hz = read_stereo(tmp_path / "mono.wav")
    assert rate_hz == 8000
    assert pcm.shape == (100, 2)
    assert np.array_equal(pcm[:, 0], pcm[:, 1])


def _call(audio: str | None) -> CallFigures:
    return CallFigures(call=0, scenario="s", door="sip", outcome="completed", audio=audio)
