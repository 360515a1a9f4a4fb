"""`offhook bench stt`: its arithmetic, and one round with engines that are told what to hear."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from latency_bench.quality.clips import CLIP_HZ, Clip
from latency_bench.quality.word_errors import WordErrors
from latency_bench.stt_bench import OURS, STOCK, show, targets
from latency_bench.stt_rounds import (
    Decoded,
    batches,
    decode_all,
    length_of,
    paired_ratio,
    rows,
    word_rates,
    worse_by_points,
)

LINE_HZ = {"clean": 16_000, "g711": 8_000}


def clip_of(name: str, seconds: float = 1.0, text: str = "two words") -> Clip:
    return Clip(name, "set", text, np.zeros(round(seconds * CLIP_HZ), np.int16))


def decoded(engine: str, clip: str, took_s: float, errors: int = 0, line: str = "clean") -> Decoded:
    counted = WordErrors(errors, 2)
    return Decoded(engine, line, "set", clip, 1.0, took_s, took_s / 2, "two words", counted)


def test_each_engine_decodes_each_clip_on_each_line_and_none_is_always_first() -> None:
    asked: list[tuple[str, int]] = []

    def engine(name: str) -> object:
        def decode(pcm: NDArray[np.int16], rate_hz: int) -> str:
            asked.append((name, rate_hz))
            assert len(pcm) == rate_hz
            return "two birds"

        return decode

    engines = {name: engine(name) for name in ("a", "b")}
    found = list(decode_all([clip_of("x"), clip_of("y")], engines))  # type: ignore[arg-type]
    assert [(one.engine, one.line, one.clip) for one in found] == [
        ("a", "clean", "x"),
        ("b", "clean", "x"),
        ("a", "g711", "x"),
        ("b", "g711", "x"),
        ("b", "clean", "y"),
        ("a", "clean", "y"),
        ("b", "g711", "y"),
        ("a", "g711", "y"),
    ]
    assert asked == [(one.engine, LINE_HZ[one.line]) for one in found]
    assert {one.errors for one in found} == {WordErrors(1, 2)}
    assert all(one.took_s >= 0 and one.audio_s == 1.0 for one in found)


def test_ratios_are_of_pairs_not_of_medians() -> None:
    times = {"short": (0.1, 0.4), "long": (0.5, 1.0), "slow machine": (5.0, 10.0)}
    found = [
        decoded(engine, clip, took_s)
        for clip, pair in times.items()
        for engine, took_s in zip((OURS, STOCK), pair, strict=True)
    ]
    assert paired_ratio(found, OURS, STOCK) == pytest.approx(0.5)
    assert paired_ratio(found, STOCK, OURS, cpu=True) == pytest.approx(2.0)
    assert [row["audio"] for row in rows(found)] == ["all", "under 2 s"] * 2
    assert rows(found)[0]["p50_ms"] == 500.0 and rows(found)[0]["cpu_p50_ms"] == 250.0


def test_word_errors_are_counted_by_line_and_set() -> None:
    found = [
        decoded(engine, "x", 0.1, errors, line)
        for engine, line, errors in (
            (OURS, "clean", 0),
            (OURS, "g711", 2),
            (STOCK, "clean", 1),
            (STOCK, "g711", 1),
        )
    ]
    rates = word_rates(found)
    assert {(row["engine"], row["line"], row["set"]): row["wer"] for row in rates} == {
        (OURS, "clean", "all"): 0.0,
        (OURS, "clean", "set"): 0.0,
        (OURS, "g711", "all"): 1.0,
        (OURS, "g711", "set"): 1.0,
        (STOCK, "clean", "all"): 0.5,
        (STOCK, "clean", "set"): 0.5,
        (STOCK, "g711", "all"): 0.5,
        (STOCK, "g711", "set"): 0.5,
    }
    assert worse_by_points(rates, OURS, STOCK) == {"clean": -50.0, "g711": 50.0}


@pytest.mark.parametrize(
    ("ratio", "points", "met"),
    [(0.35, 1.0, [True, True]), (0.36, -3.0, [False, True]), (0.2, 1.01, [True, False])],
)
def test_targets(ratio: float, points: float, met: list[bool]) -> None:
    found = targets({"final_transcript": ratio, "worse_by_points": {"g711": points}})
    assert [target["met"] for target in found] == met


def test_lengths_have_no_gap() -> None:
    names = [length_of(seconds) for seconds in (0.0, 1.99, 2.0, 3.99, 4.0, 7.99, 8.0, 100.0)]
    assert names == [
        *["under 2 s"] * 2,
        *["2 to 4 s"] * 2,
        *["4 to 8 s"] * 2,
        *["8 s and more"] * 2,
    ]


def test_batches_hear_the_same_clips_in_as_many_goes_as_it_takes() -> None:
    asked: list[int] = []

    def together(spoken: Sequence[tuple[NDArray[np.int16], int]]) -> list[str]:
        asked.append(len(spoken))
        return [str(len(pcm)) if len(spoken) < 4 else "wrong" for pcm, _ in spoken]

    clips = [clip_of(str(n), 1.0 + n) for n in range(5)]
    made = batches(clips, (1, 2, 4), 1, together)
    assert asked == [1] * 4 + [1] * 4 + [2] * 2 + [4]
    assert [row["batch"] for row in made] == [1, 2, 4]
    assert [row["same_words_as_alone"] for row in made] == [True, True, False]


def test_the_report_is_shown() -> None:
    found = [decoded(engine, "x", 0.1) for engine in (OURS, STOCK)]
    ratios = {"final_transcript": 0.5, "worse_by_points": {"clean": 0.0}}
    report = {
        "machine": {"cpu": "Z80", "cores": 1, "models": {"stt": "tiny"}},
        "threads": 1,
        "speech": "recordings of speech, by set",
        "rows": rows(found),
        "word_errors": word_rates(found),
        "batches": [],
        "vad": {"window_us_1_streams": 75.0},
        "ratios": ratios,
        "targets": targets(ratios),
    }
    shown = io.StringIO()
    show(report, Console(file=shown, width=200))
    text = shown.getvalue()
    assert "NOT MET final transcript against stock transcribe: 0.5 (at most 0.35)" in text
    assert "met points of word error rate worse than stock, clean: 0.0" in text
    assert "100.0" in text and "Z80, 1 cores" in text
