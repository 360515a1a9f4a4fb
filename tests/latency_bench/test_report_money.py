"""What a call cost, as the bench shows it: the box's own bill, every view named, beside rented."""

import json
from datetime import date
from io import StringIO

import pytest
from rich.console import Console

from agent.config import Config
from agent.cost.bill import Bill
from agent.usage import Usage
from latency_bench.report import show_cost

CALL = Usage(
    call_s=60.0,
    audio_heard_s=20.0,
    turns=2,
    prompt_tokens=700,
    generated_tokens=60,
    characters=300,
    stt_busy_s=1.0,
    llm_busy_s=2.0,
    llm_wasted_s=0.4,
)


def _shown(cost: dict[str, object]) -> str:
    out = StringIO()
    show_cost(Console(file=out, width=140), cost)
    return out.getvalue()


def test_the_boxs_own_bill_line_by_line_beside_every_stack() -> None:
    bill = Bill.load(Config(), today=date(2026, 11, 30))
    # As the page and the bench get it: JSON.
    cost = json.loads(json.dumps(bill.to_json(CALL)))
    said = _shown(cost)
    for words in ("as the only call of the box", "marginal", "idle", "discarded", "a minute"):
        assert words in said
    # Not measured here: no column of its own.
    assert "at capacity" not in said
    for stack in cost["rented"]:
        assert stack["stack"] in said and f"{stack['total_usd']:.6f}" in said


def test_an_unknown_price_is_said_to_be_none() -> None:
    cost = json.loads(json.dumps(Bill.load(Config()).to_json(CALL)))
    cost["rented"] = [{"stack": "[secret]", "total_usd": None, "usd_per_min": None, "lines": {}}]
    said = _shown(cost)
    assert "[secret]" in said and "not known" in said


@pytest.mark.parametrize("cost", [{}, {"owned": None}, {"owned": {"view": "x", "lines": {}}}])
def test_a_call_without_a_bill_has_no_table(cost: dict[str, object]) -> None:
    assert _shown(cost) == ""
