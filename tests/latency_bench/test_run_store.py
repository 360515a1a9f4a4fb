"""A run on disk: gone on with, or refused with the reason."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from latency_bench.figures import CallFigures, TurnFigures, Verdict
from latency_bench.run_store import RunStore, StoreError

PLAN = {"target": "self", "calls": 3}


def call(number: int, outcome: str = "completed") -> CallFigures:
    turn = TurnFigures(
        part=0,
        step=0,
        kind="speech",
        said="hello",
        source="made up",
        over_agent=False,
        continues=False,
        owes_answer=True,
        began_s=1.0,
        ended_s=2.0,
        v2v_ms=812.5,
        stages_ms={"transcript": 80.0},
        inside_ms=700.0,
        verdicts=(Verdict("answer_within_s", 3.0, 0.8125, True),),
    )
    return CallFigures(number, "question", "sip", outcome, turns=(turn,))  # type: ignore[arg-type]


def test_calls_come_back_as_they_were(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run", PLAN)
    for number in (0, 2):
        store.keep(call(number))
    again = RunStore(tmp_path / "run", PLAN)
    assert again.done() == {0: call(0), 2: call(2)}


def test_calls_that_were_cut_short_are_placed_again(tmp_path: Path) -> None:
    store = RunStore(tmp_path, PLAN)
    store.keep(call(0, "stopped"))
    store.keep(call(1, "refused"))
    assert set(store.done()) == {1}


def test_the_first_sitting_keeps_its_clock(tmp_path: Path) -> None:
    first = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    store = RunStore(tmp_path, PLAN)
    assert store.began(first) == first
    assert RunStore(tmp_path, PLAN).began(datetime.now(UTC)) == first


def test_another_runs_folder_is_refused(tmp_path: Path) -> None:
    RunStore(tmp_path, PLAN)
    with pytest.raises(StoreError, match="other settings; give another --out"):
        RunStore(tmp_path, {**PLAN, "calls": 4})


def test_broken_files_are_named(tmp_path: Path) -> None:
    store = RunStore(tmp_path, PLAN)
    (store.calls / "0000.json").write_text("{")
    with pytest.raises(StoreError, match=r"0000\.json: no call of this bench"):
        store.done()
    (tmp_path / "began.txt").write_text("yesterday")
    with pytest.raises(StoreError, match=r"began\.txt: no date"):
        store.began(datetime.now(UTC))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        RunStore(tmp_path / "file", PLAN)
