"""What an agent tells of itself may be anything that JSON can say."""

import json
from pathlib import Path
from typing import Any

import pytest
from constructed_call import call, event, turn_event

from latency_bench.figures import CallFigures
from latency_bench.measures.measure import cost_of, measure_call
from latency_bench.measures.summary import run_report

HALF = json.loads('"a\\ud800b"')


def measured(**body: Any) -> CallFigures:
    recording = call([(2, 1)], [(3.5, 1)], events=(turn_event(4, 1, **body),))
    figures = measure_call(recording, call=0, scenario="s", began_s=0)
    json.dumps(run_report([figures]), allow_nan=False, ensure_ascii=False).encode()
    return figures


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), -float("inf"), 10**400, -1, 1e8, "7", True, None, [1]]
)
def test_a_number_that_cannot_be_is_none(number: object) -> None:
    (turn,) = measured(total_ms=number, stages_ms={"stt": number, "llm": 12}).turns
    assert turn.inside_ms is None and turn.stages_ms == {"llm": 12.0}


@pytest.mark.parametrize("number", [True, 0, -3, 1.5, "1"])
def test_a_turn_has_a_number(number: Any) -> None:
    recording = call([(2, 1)], [(3.5, 1)], events=(turn_event(4, number, heard="x"),))
    assert measure_call(recording, call=0, scenario="s", began_s=0).turns[0].heard == ""


def test_half_a_character_is_replaced_wherever_it_comes_from(tmp_path: Path) -> None:
    (turn,) = measured(heard=HALF, answer=HALF, stages_ms={HALF: 5}).turns
    assert (turn.heard, turn.answer) == ("a\ufffdb", "a\ufffdb")
    assert turn.stages_ms == {"a\ufffdb": 5.0}
    recording = call([(2, 1)], [(3.5, 1)], transferred_to=HALF, reason=HALF, notes=(HALF,))
    figures = measure_call(recording, call=0, scenario="s", began_s=0)
    assert (figures.transferred_to, figures.reason) == ("a\ufffdb", "a\ufffdb")
    assert figures.notes == ("a\ufffdb",)
    (tmp_path / "report.json").write_text(json.dumps(figures.to_json(), ensure_ascii=False))


def test_what_a_call_cost_can_be_written() -> None:
    cost = event(5, "cost", usd=float("nan"), by={HALF: [HALF, float("inf"), 2]})
    found = cost_of(call(events=(cost,)))
    assert found == {"usd": None, "by": {"a\ufffdb": ["a\ufffdb", None, 2]}}
