"""The CSV files hold the report's figures under the schema's names."""

import csv
from pathlib import Path

from synthetic_report import capacity_report, quality_report, run_report, soak_report

from latency_bench.reports.report_file import parse_report
from latency_bench.reports.rows import write_csv


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as source:
        return list(csv.DictReader(source))


def test_a_row_a_turn_and_a_row_a_call(tmp_path: Path) -> None:
    body = run_report()
    written = write_csv(parse_report(body), tmp_path / "made")
    assert [path.name for path in written] == ["turns.csv", "calls.csv"]
    turns, calls = (_read(path) for path in written)
    all_turns = [(call, turn) for call in body["calls"] for turn in call["turns"]]
    assert len(turns) == len(all_turns)
    for row, (call, turn) in zip(turns, all_turns, strict=True):
        assert row["call"] == str(call["call"])
        assert row["v2v_ms"] == ("" if turn["v2v_ms"] is None else str(turn["v2v_ms"]))
        assert row["said"] == turn["said"]
        assert row["missed"] == str(turn["missed"]).lower()
    assert turns[0]["stage.transcript"] == str(all_turns[0][1]["stages_ms"]["transcript"])
    assert len(calls) == len(body["calls"])
    assert calls[17]["outcome"] == "refused" and calls[17]["passed"] == "false"
    assert calls[9]["unmet"] == "answer_within_s" and calls[9]["turns_missed"] == "1"
    assert calls[0]["wire.mos"] == str(body["calls"][0]["wire"]["mos"])


def test_the_other_kinds_have_their_own(tmp_path: Path) -> None:
    (levels,) = write_csv(parse_report(capacity_report()), tmp_path)
    assert [row["calls"] for row in _read(levels)] == ["1", "2", "4", "6", "8", "10", "12"]
    (samples,) = write_csv(parse_report(soak_report()), tmp_path)
    assert len(_read(samples)) == 120
    first, _ = write_csv(parse_report(quality_report()), tmp_path)
    assert _read(first)[1]["WER"] == "0.118"


def test_words_are_no_formulas_for_a_spreadsheet(tmp_path: Path) -> None:
    body = run_report(calls=1)
    turn = body["calls"][0]["turns"][0]
    turn["answer"] = '=HYPERLINK("http://example.org")'
    turn["said"] = 'a, "b"\r\nc'
    turn["heard"] = "half a \ud800character"
    turn["v2v_ms"] = -120.5
    row = _read(write_csv(parse_report(body), tmp_path)[0])[0]
    assert row["answer"].startswith("'=")
    assert row["said"] == 'a, "b"\r\nc'
    assert row["v2v_ms"] == "-120.5"
    assert row["heard"] == "half a \ufffdcharacter"
