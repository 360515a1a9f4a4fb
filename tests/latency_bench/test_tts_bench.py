"""`offhook bench tts`: its arithmetic on made-up chunks, and a run with voices made up too."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from latency_bench import tts_bench
from latency_bench.spoken import Spoken, headroom, ratios, row, silences_s
from latency_bench.tts_options import DEFAULT_VOICE, add_parser
from models.tts.base import AudioChunk

RATE_HZ = 1000


def _sound(seconds: float, silence_s: float = 0.0) -> NDArray[np.int16]:
    pcm = np.full(round(seconds * RATE_HZ), 1000, np.int16)
    pcm[: round(silence_s * RATE_HZ)] = 0
    return pcm


def test_headroom_is_that_of_the_window_that_comes_closest() -> None:
    chunks = [_sound(0.2), _sound(0.4), _sound(0.4)]
    # The second is ready with half of the first to go, the third after 0.5 of 0.6 s.
    assert headroom(chunks, [9.0, 0.1, 0.4], RATE_HZ) == pytest.approx(1.2)
    assert headroom(chunks, [9.0, 0.4, 0.1], RATE_HZ) == pytest.approx(0.5)
    assert headroom(chunks[:1], [9.0], RATE_HZ) == float("inf")


def test_the_silence_at_the_beginning_is_not_playing_time() -> None:
    chunks = [_sound(0.2, silence_s=0.11), _sound(0.4)]
    assert headroom(chunks, [0.1, 0.1], RATE_HZ) == pytest.approx(1.0)


def test_silences_are_what_cannot_be_heard_at_both_ends() -> None:
    pcm = np.concatenate([_sound(0.3, silence_s=0.1), np.zeros(50, np.int16)])
    assert silences_s(pcm, RATE_HZ) == pytest.approx((0.1, 0.05))
    assert silences_s(np.zeros(100, np.int16), RATE_HZ) == pytest.approx((0.1, 0))


def test_a_row_holds_medians_and_their_ratios() -> None:
    ours = [
        Spoken((_sound(0.5), _sound(0.5)), (wall_s, 0.1), (0.02, 0.08))
        for wall_s in (0.05, 0.06, 9.0)
    ]
    whole = [Spoken((_sound(1.0),), (0.2,), (0.08,))]
    found = row(12, 1, RATE_HZ, ours, whole)
    assert found["first_ms"] == 60 and found["whole_ms"] == 200
    assert found["first_ratio"] == 0.3 and found["first_cpu_ratio"] == 0.25
    assert found["real_time_factor"] == 0.1 and found["work_ratio"] == 1.25
    assert found["headroom"] == 6.25 and found["runs_with_a_gap"] == 0
    assert ratios([found], {12: 90.0, 1: 59.9}) == {
        "first_audio_12_words_1_thread": 0.25,
        "first_audio_met": True,
        "snr_db": 59.9,
        "snr_met": False,
        "runs_with_a_gap": 0,
    }
    late = row(12, 1, RATE_HZ, [Spoken((_sound(0.1),) * 2, (0.1, 0.2), (0.1, 0.1))], whole)
    assert late["runs_with_a_gap"] == 1
    assert ratios([late], {})["snr_met"] is None
    assert ratios([], {}) | {"runs_with_a_gap": 0} == dict.fromkeys(
        ("first_audio_12_words_1_thread", "first_audio_met", "snr_db", "snr_met")
    ) | {"runs_with_a_gap": 0}


class _Voice:
    """Speaks in two chunks, or one."""

    sample_rate_hz = RATE_HZ

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.closed = False

    def synthesize(self, text: str, ahead_s: float = 0.0) -> Iterator[AudioChunk]:
        for _ in range(self.chunks):
            yield AudioChunk(_sound(0.5), 0.01)

    def close(self) -> None:
        self.closed = True


def _arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["tts", *given])


def test_a_run_reports_each_clause_at_each_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = _Voice(2)
    monkeypatch.setattr("models.loading.load_tts", lambda *_, **__: voice)
    monkeypatch.setattr(tts_bench, "_stock_voice", lambda *_: _Voice(1))
    monkeypatch.setattr(
        tts_bench, "_likeness", lambda path, words: dict.fromkeys(words, float("inf"))
    )
    file = tmp_path / "tts.json"
    args = _arguments("--words", "1,12", "--threads", "1,2", "--runs", "2", "--json", str(file))
    assert args.func(args) == 0
    report = json.loads(file.read_text())
    assert [(r["words"], r["threads"]) for r in report["rows"]] == [
        (1, 1),
        (12, 1),
        (1, 2),
        (12, 2),
    ]
    assert report["snr_db"] == {"1": None, "12": None} and report["ratios"]["snr_met"] is True
    assert report["machine"]["models"] == {"tts": DEFAULT_VOICE}
    assert voice.closed
    assert "first audio of 12 words at 1 thread" in capsys.readouterr().out


def test_an_unknown_voice_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    args = _arguments("--voice", "piper-of-hamelin")
    assert args.func(args) == 1
    assert "piper-of-hamelin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("--words", "7"), "must be of 1, 3, 5, 8, 12, 25"),
        (("--threads", "0"), "must be numbers of 1 to 64"),
        (("--threads", "1,,2"), "must be numbers of 1 to 64"),
        (("--runs", "many"), "must be"),
    ],
)
def test_bad_options_are_refused(
    given: tuple[str, str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _arguments(*given)
    assert complaint in capsys.readouterr().err
