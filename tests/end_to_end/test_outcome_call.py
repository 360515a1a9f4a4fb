"""Outcomes of real calls, and their bills priced again from what was recorded."""

from decimal import Decimal

from boxes import OpenBox
from loopback_caller import LoopbackCaller
from spoken import Question

from agent.box import Box
from agent.cost.bill import Bill
from agent.cost.measured import measure
from agent.cost.owned import View
from agent.records import history
from agent.records.record import CallRecord

MENU = """
[agent]
greeting = "Hi."
menu = [{ key = "9", hang_up = true, outcome = "resolved", outcome_value_usd = "4.50" }]
"""


def recorded(box: Box) -> list[CallRecord]:
    """What a process of its own would read of the calls, oldest first."""
    assert box.store.flush(30.0)
    return list(history.calls(box.config.records.path))


async def test_a_key_says_what_came_of_it_and_an_early_end_shows_it(open_box: OpenBox) -> None:
    async with open_box(MENU) as box:
        async with LoopbackCaller(box) as caller:
            await caller.turn(0)
            caller.line.press("9")
            await caller.until(lambda: caller.ended is not None)
        async with LoopbackCaller(box) as early:
            await early.turn(0)
        resolved, abandoned = recorded(box)
    assert (resolved.outcome, resolved.outcome_value_usd) == ("resolved", Decimal("4.50"))
    assert {"type": "outcome", "outcome": "resolved", "value_usd": "4.50"} in caller.events
    assert (abandoned.outcome, abandoned.outcome_value_usd) == ("abandoned", None)
    assert abandoned.cause == "caller hung up"


async def test_a_real_call_is_priced_again_with_the_same_result(
    open_box: OpenBox, question: Question
) -> None:
    async with open_box(MENU) as box:
        async with LoopbackCaller(box) as caller:
            await caller.turn(0)
            await caller.say(question.at(8000))
            assert (await caller.turn(1))["answer"]
        (record,) = recorded(box)
        bill = Bill.load(box.config)
        again = Bill.load(box.config)
    assert record.usage.llm_busy_s > 0 and record.outcome == ""
    # The same usage and the same book: what was billed at the end of the call, to the last digit.
    for one in (bill, again):
        rented = {stack: dict(cost.lines_usd) for stack, cost in one.rented(record.usage).items()}
        assert rented == {stack: dict(lines) for stack, lines in record.rented_lines.items()}
        marginal = one.owned(record.usage)[View.MARGINAL]
        assert marginal is not None
        assert dict(marginal.lines_usd) == record.owned_lines[View.MARGINAL.value]
    first, second = (measure([record], each) for each in (bill, again))
    assert first is not None and first == second
    cost = first.owned[View.UTILISATION]
    assert cost is not None and cost.total_usd and cost.lines_usd["idle"]
