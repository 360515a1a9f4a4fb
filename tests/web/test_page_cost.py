"""The live bill on the page: every view of this box's cost, beside every rented stack."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from stand_in_box import StandInBox

from agent.config import Config
from agent.cost.bill import Bill
from agent.cost.utilisation import Utilisation
from agent.usage import Usage

pytestmark = pytest.mark.asyncio(loop_scope="module")

USAGE = Usage(
    audio_in_s=21.4,
    audio_out_s=19.2,
    prompt_tokens=2310,
    cached_tokens=1984,
    generated_tokens=164,
    characters=702,
    turns=4,
    turn_busy_s=0.6,
    stt_busy_s=3.1,
    llm_busy_s=4.2,
    tts_busy_s=2.7,
    llm_wasted_s=0.4,
    call_s=48.2,
)
OPENED_S, NOW_S = 0.0, 600.0


def event(*, measured: bool) -> dict[str, Any]:
    """What the box itself says of a call; ``measured``: its utilisation and capacity too."""
    bill = Bill.load(Config(), date(2026, 11, 22))
    if measured:
        busy = Utilisation(OPENED_S)
        busy.began(OPENED_S)
        bill = replace(bill, capacity_calls=4, utilisation=busy, now_s=lambda: NOW_S)
    return {"type": "cost", **bill.to_json(USAGE)}


async def begin(page: Page, box: StandInBox, cost: dict[str, Any]) -> Locator:
    await page.get_by_test_id("start").click()
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "listening")
    await box.begin()
    await box.tell(cost)
    views = page.get_by_role("table", name="This call on this box: each stage in each view")
    await expect(views).to_be_visible()
    return views


async def cells(views: Locator, line: str) -> list[str]:
    return await views.locator(f"[data-line={line}] > *").all_inner_texts()


async def test_each_view_is_named_and_idle_is_a_line_of_its_own(
    page: Page, box: StandInBox
) -> None:
    cost = event(measured=True)
    views = await begin(page, box, cost)
    heads = await views.locator("thead th").all_inner_texts()
    assert [head.split("\n") for head in heads] == [
        ["Marginal", "one call more"],
        ["At measured utilisation", "1 call at once"],
        ["At capacity", "4 calls at once"],
    ]
    lines = await views.locator("tbody th").all_inner_texts()
    assert lines == [
        "Turn-taking",
        "Speech recognition",
        "Language model",
        "Speech synthesis",
        "Work thrown away",
        "Idle time",
        "Trunk",
    ]
    idle = await cells(views, "idle")
    assert idle[:2] == ["Idle time", "$0"]
    alone, shared = (Decimal(text.removeprefix("$")) for text in idle[2:])
    assert alone > shared > 0
    for column, view in enumerate(cost["owned"]["views"], start=1):
        total = (await cells(views, "total"))[column]
        assert float(total.removeprefix("$")) == pytest.approx(view["total_usd"], rel=0.1)
        minute = (await cells(views, "minute"))[column]
        assert float(minute.removeprefix("$")) == pytest.approx(view["usd_per_min"], rel=0.1)


async def test_a_view_that_was_not_measured_says_so_and_shows_no_figure(
    page: Page, box: StandInBox
) -> None:
    views = await begin(page, box, event(measured=False))
    heads = await views.locator("thead th").all_inner_texts()
    assert [head.split("\n")[1] for head in heads] == [
        "one call more",
        "not measured yet",
        "not measured yet",
    ]
    assert (await cells(views, "idle"))[2:] == ["–", "–"]
    assert (await cells(views, "total"))[2:] == ["–", "–"]
    await expect(page.get_by_test_id("cost-basis")).to_contain_text("energy modelled")


async def test_every_stack_is_there_by_part(page: Page, box: StandInBox) -> None:
    cost = event(measured=True)
    await begin(page, box, cost)
    rented = page.get_by_test_id("cost-rented")
    await expect(rented.get_by_role("listitem")).to_have_count(len(cost["rented"]))
    for side in cost["rented"]:
        line = rented.locator(f"[data-stack='{side['stack']}']")
        await line.locator("summary").click()
        await expect(line.locator("[data-stage]")).to_have_count(len(side["lines"]))


@pytest.mark.parametrize(
    ("owned_usd", "rented_usd", "said"),
    [
        (0.01, [0.02, 0.03], "So far this box is cheaper than 2 of 2 stacks below."),
        (0.05, [0.02, 0.03], "So far this box is cheaper than 0 of 2 stacks below."),
        (
            0.01,
            [0.02, None],
            "So far this box is cheaper than 1 of 1 stack below; 1 cannot be compared, "
            "for a price is not known.",
        ),
        (0.01, [None], ""),
        (None, [0.02], ""),
    ],
)
async def test_the_verdict_goes_either_way(
    page: Page, owned_usd: float | None, rented_usd: list[float | None], said: str
) -> None:
    sides = [{"total_usd": usd} for usd in rented_usd]
    given = await page.evaluate(
        "async ([owned, rented]) => (await import('/cost.js')).verdict(owned, rented)",
        [{"total_usd": owned_usd}, sides],
    )
    assert given == said


async def test_it_fits_a_telephone(page: Page, box: StandInBox) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await begin(page, box, event(measured=True))
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
