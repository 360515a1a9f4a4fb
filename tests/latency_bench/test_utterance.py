import wave
from pathlib import Path

import numpy as np
import pytest

from latency_bench.utterance import WIRE_RATE_HZ, SpeechError, prepare, read_wav, write_wav


def speech(rate_hz: int, lead_s: float = 0.3, speech_s: float = 1.0) -> np.ndarray:
    pcm = np.zeros(round(rate_hz * (lead_s + speech_s + 0.4)), np.int16)
    t = np.arange(round(rate_hz * speech_s)) / rate_hz
    start = round(rate_hz * lead_s)
    pcm[start : start + len(t)] = np.cos(2 * np.pi * 300 * t) * 8000
    return pcm


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_ends_are_known_at_the_rate_of_the_wire(rate_hz: int) -> None:
    utterance = prepare(speech(rate_hz), rate_hz, expected="hi", source="test")
    assert len(utterance.pcm) == pytest.approx(1.7 * WIRE_RATE_HZ, abs=2)
    assert utterance.first_voiced / WIRE_RATE_HZ == pytest.approx(0.3, abs=0.006)
    assert utterance.last_voiced / WIRE_RATE_HZ == pytest.approx(1.3, abs=0.006)
    assert utterance.speech_s == pytest.approx(1.0, abs=0.012)


def test_silence_and_endless_recordings_are_refused() -> None:
    with pytest.raises(SpeechError, match=r"quiet\.wav: no speech"):
        prepare(np.zeros(8_000, np.int16), 8_000, expected=None, source="quiet.wav")
    with pytest.raises(SpeechError, match=r"long\.wav: 61 s long"):
        prepare(np.zeros(61 * 8_000, np.int16), 8_000, expected=None, source="long.wav")


@pytest.mark.parametrize(
    ("width", "scale"), [(1, 1 / 256), (2, 1), (3, 256), (4, 65536)], ids=["8", "16", "24", "32"]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_width_and_channel_count_reads_alike(
    tmp_path: Path, width: int, scale: float, channels: int
) -> None:
    pcm = speech(8_000)
    scaled = np.repeat(np.rint(pcm.astype(np.float64) * scale).astype(np.int64), channels)
    if width == 1:
        scaled += 128
    raw = scaled.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(8_000)
        file.writeframes(raw)
    read, rate_hz = read_wav(path)
    assert rate_hz == 8_000 and read.shape == pcm.shape
    assert np.abs(read.astype(int) - pcm).max() <= (256 if width == 1 else 1)


def test_written_wav_reads_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", speech(16_000), 16_000)
    read, rate_hz = read_wav(tmp_path / "a.wav")
    assert rate_hz == 16_000 and np.array_equal(read, speech(16_000))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "ends too early"),
        (b"ID3\x03 not audio at all, but long enough to be looked at", "not a PCM WAV file"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "not a PCM WAV file"),
    ],
)
def test_what_is_no_wav_is_named_with_a_remedy(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(SpeechError, match=said) as caught:
        read_wav(path)
    assert "song.mp3" in str(caught.value) and "ffmpeg" in str(caught.value)


def test_missing_folder_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="no such file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(SpeechError, match="cannot be read"):
        read_wav(tmp_path)
    write_wav(tmp_path / "empty.wav", np.zeros(0, np.int16), 8_000)
    with pytest.raises(SpeechError, match="holds no samples"):
        read_wav(tmp_path / "empty.wav")
