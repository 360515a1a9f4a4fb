"""The operator's pages about the box, in a real Chromium over a real HTTP door."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from panel_engines import LIMIT_S, panel_engines
from playwright.async_api import Browser, Page, expect
from recorded_box import RecordedBox, a_call, recorded_box

from agent.budget_section import BudgetConfig
from agent.budgets.ledger import Account, Standing
from agent.supervisor import status_file
from agent.web import operator_api, queries
from agent.web.fleet_state import fleet_now
from agent.web.memory import peak_of, read_memory

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = 40
TOKEN = "a token for these pages alone"
PAGES = ("costs.html", "box.html", "settings.html")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[RecordedBox, str]]:
    """One box for all tests: none of these pages changes anything."""
    async with recorded_box(tmp_path_factory.mktemp("panels")) as (box, url):
        box.engines = panel_engines()
        await asyncio.to_thread(box.fill, CALLS)
        yield box, url
        await asyncio.to_thread(box.engines.schedule.close)


@pytest_asyncio.fixture(loop_scope="module")
async def http(served: tuple[RecordedBox, str]) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=served[1], timeout=LIMIT_S, trust_env=False) as http:
        yield http


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A script error or a blocked resource on it fails the test."""
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(LIMIT_S * 1000)
    defects: list[str] = []
    page.on("pageerror", lambda error: defects.append(str(error)))
    page.on(
        "console",
        lambda message: (
            defects.append(message.text)
            if message.type == "error" and not message.text.startswith("Failed to load resource")
            else None
        ),
    )
    yield page
    await page.close()
    assert not defects


async def shown_costs(page: Page, url: str) -> None:
    await page.goto(f"{url}costs.html")
    await expect(page.get_by_test_id("said")).to_contain_text("calls")


def column(page: Page, number: int) -> Any:
    return page.get_by_test_id("chart").get_by_role("listitem").nth(number)


# -- what the pages read


async def test_costs_by_anything_are_the_same_calls(http: httpx2.AsyncClient) -> None:
    totals = []
    for by in ("stage", "profile", "outcome", "caller", "door"):
        told = (await http.get("api/costs", params={"by": by})).json()
        assert told["by"] == by
        totals.append(told["total"]["usd"])
        assert told["total"]["calls"] == CALLS + 1
        assert sum(period["calls"] for period in told["periods"]) == CALLS + 1
    for other in totals[1:]:
        assert other == pytest.approx(totals[0])


async def test_costs_of_a_stretch_of_time_leave_the_rest_out(http: httpx2.AsyncClient) -> None:
    since = datetime.now(UTC) - timedelta(hours=8)
    told = (await http.get("api/costs", params={"since": since.isoformat()})).json()
    assert 0 < told["total"]["calls"] < CALLS
    assert told["length"] == "hour"
    # The box took calls before, so its idle time counts from what was asked for.
    assert datetime.fromisoformat(told["begins_at"]) == since
    assert told["from_first_call"] is False
    early = {"since": (since - timedelta(days=400)).isoformat()}
    told = (await http.get("api/costs", params=early)).json()
    assert told["from_first_call"] is True
    assert datetime.fromisoformat(told["begins_at"]) > since - timedelta(days=3)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"by": "weather"}, "must be one of stage, caller, profile"),
        ({"since": "yesterday"}, "`since`"),
        ({"since": "2026-11-01T00:00:00"}, "`since`"),
        ({"length": "fortnight"}, "`length`"),
        ({"form": "x"}, "fields: by, since, until, length"),
        (
            {"since": "2001-01-01T00:00:00Z", "until": "2001-03-01T00:00:00Z", "length": "hour"},
            "over 400 hours; ask for longer periods",
        ),
    ],
)
async def test_bad_questions_are_answered_with_what_is_wrong(
    http: httpx2.AsyncClient, params: dict[str, str], said: str
) -> None:
    response = await http.get("api/costs", params=params)
    assert response.status_code == 400
    assert said in response.json()["error"]


async def test_a_time_without_calls_has_its_periods_and_no_costs(http: httpx2.AsyncClient) -> None:
    days = {"since": "2001-01-01T00:00:00Z", "until": "2001-01-11T00:00:00Z"}
    told = (await http.get("api/costs", params=days)).json()
    assert (told["total"]["calls"], told["length"], len(told["periods"])) == (0, "day", 10)
    assert told["mean_calls"] is None


async def test_too_many_calls_are_said_to_be_left_out(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_api, "MOST_CALLS", 10)
    told = (await http.get("api/costs")).json()
    assert told["left_out"] is True
    assert told["total"]["calls"] == 10


@pytest.mark.parametrize("path", ["api/costs", "api/records/calls"])
async def test_few_may_wait_for_long_answers(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(queries, "MOST_READERS", 0)
    response = await http.get(path)
    assert response.status_code == 503
    assert "try again" in response.json()["error"]


@pytest.mark.parametrize("path", ["api/costs", "api/records/calls"])
async def test_a_moment_that_utc_lacks_is_told(http: httpx2.AsyncClient, path: str) -> None:
    response = await http.get(path, params={"since": "0001-01-01T00:00:00+05:00"})
    assert response.status_code == 400
    assert "since" in response.json()["error"]


async def test_the_box_tells_of_its_engines_and_queue(
    http: httpx2.AsyncClient, served: tuple[RecordedBox, str]
) -> None:
    told = (await http.get("api/box")).json()
    assert told["calls"]["active"] == 0
    assert told["calls"]["places"] == served[0].places.calls
    stages = {engine["stage"]: engine for engine in told["engines"]}
    assert list(stages) == ["turn_taking", "stt", "llm", "tts"]
    assert (stages["stt"]["jobs"], stages["tts"]["jobs"], stages["turn_taking"]["jobs"]) == (
        3,
        2,
        1,
    )
    assert stages["stt"]["batch"] == 3 / stages["stt"]["runs"]
    assert (stages["llm"]["batch"], stages["llm"]["load"]) == (2.5, 0.42)
    assert told["workers"] == {
        "workers": 2,
        "running": 0,
        "waiting": 0,
        "limit": 256,
        "load": pytest.approx(0, abs=1),
    }
    assert 0 < told["memory"]["process_bytes"] < told["memory"]["total_bytes"]


async def test_a_model_on_another_machine_tells_nothing_of_its_queue(
    served: tuple[RecordedBox, str], http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = SimpleNamespace(name="far", device="remote", load=lambda now_s: 0.0)
    monkeypatch.setattr(served[0].engines, "llm", remote)
    told = (await http.get("api/box")).json()
    (llm,) = (each for each in told["engines"] if each["stage"] == "llm")
    assert (llm["waiting"], llm["load"], llm["batch"]) == (None, None, None)


async def test_memory_is_read_here_and_its_peak_is_not_below_it() -> None:
    memory = read_memory()
    assert memory.peak_bytes is None or memory.peak_bytes >= 0.5 * memory.process_bytes > 0
    assert 0 <= memory.available_bytes <= memory.total_bytes
    assert peak_of("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n") == 2048 * 1024
    assert peak_of("") is None


async def test_only_what_shows_the_token_reads_any_of_it(tmp_path: Path) -> None:
    async with recorded_box(tmp_path, {"token": TOKEN}) as (_, url):
        async with httpx2.AsyncClient(base_url=url, timeout=LIMIT_S, trust_env=False) as http:
            for path in ("api/box", "api/costs", "api/settings"):
                assert (await http.get(path)).status_code == 401
            shown = await http.get("api/settings", headers={"Authorization": f"Bearer {TOKEN}"})
            assert shown.status_code == 200
            assert TOKEN not in shown.text
            for path in ("api/box", "api/costs", "api/settings"):
                refused = await http.post(path, headers={"Authorization": f"Bearer {TOKEN}"})
                assert refused.status_code == 405


async def test_workers_are_told_of_as_their_supervisor_does(
    served: tuple[RecordedBox, str], page: Page
) -> None:
    box, url = served
    path = status_file(box.config)
    worker = {"worker": 1, "state": "serving", "pid": 4711, "calls": 2, "starts": 1, "for_s": 61}
    now = datetime.now(UTC)
    path.write_text(json.dumps({"at": now.isoformat(), "workers": [worker]}))
    try:
        assert fleet_now(path) == [{**worker, "http": None, "last_exit": None}]
        assert fleet_now(path, now + timedelta(minutes=1)) == []
        await page.goto(f"{url}box.html")
        row = page.get_by_test_id("fleet").locator("tbody tr")
        await expect(row).to_have_text("1serving21 min 01 s14711–")
        for nonsense in ("", "[]", '{"at": 3}', '{"at": "2026-11-01T00:00:00", "workers": []}'):
            path.write_text(nonsense)
            assert fleet_now(path) == []
    finally:
        path.unlink()
    assert fleet_now(path) == []


# -- the pages


async def test_costs_are_a_chart_with_its_numbers_behind(
    page: Page, served: tuple[RecordedBox, str]
) -> None:
    await shown_costs(page, served[1])
    await expect(page.get_by_test_id("said")).to_contain_text(f"{CALLS + 1} calls")
    columns = page.get_by_test_id("chart").get_by_role("listitem")
    rows = page.get_by_test_id("behind").locator("tbody tr")
    assert await columns.count() == await rows.count() >= 2
    await expect(page.get_by_test_id("keys")).to_contain_text("Idle time")
    await page.get_by_test_id("behind").locator("summary").click()
    # In the first minute of an hour nobody has called in it yet.
    totals = [await row.locator("td").last.inner_text() for row in await rows.all()]
    last = max(at for at, total in enumerate(totals) if total != "–")
    # The total of the last period with calls, as the chart says it.
    assert totals[last] in (await columns.nth(last).get_attribute("aria-label") or "")
    # More of a price is more of a column: the drawn height follows the number.
    drawn = await page.evaluate(
        """() => [...document.querySelectorAll("#chart .column")].map((column) =>
          [...column.querySelectorAll(".area")]
            .reduce((sum, part) => sum + part.height.baseVal.value, 0))"""
    )
    told = await page.evaluate(
        """async () => (await (await fetch("api/costs?by=stage")).json())
          .periods.map((period) => period.usd["at measured utilisation"] ?? 0)"""
    )
    assert [height > 0 for height in drawn] == [usd > 0 for usd in told]
    most = max(range(len(told)), key=lambda at: told[at])
    assert drawn[most] == max(drawn)


async def test_the_chart_is_read_with_the_keyboard(
    page: Page, served: tuple[RecordedBox, str]
) -> None:
    await shown_costs(page, served[1])
    readout = page.get_by_test_id("chart").locator(".readout")
    await column(page, 0).focus()
    first = await readout.inner_text()
    await page.keyboard.press("ArrowRight")
    await expect(column(page, 1)).to_be_focused()
    assert await readout.inner_text() != first
    assert await readout.inner_text() == await column(page, 1).get_attribute("aria-label")
    await page.keyboard.press("End")
    await expect(page.get_by_test_id("chart").get_by_role("listitem").last).to_be_focused()
    await page.keyboard.press("Home")
    await expect(column(page, 0)).to_be_focused()
    # One stop of the Tab key, however many columns there are.
    stops = await page.locator("#chart [tabindex='0']").count()
    assert stops == 1


async def test_another_price_and_another_grouping(
    page: Page, served: tuple[RecordedBox, str]
) -> None:
    await shown_costs(page, served[1])
    await page.get_by_test_id("by").select_option("profile")
    groups = page.get_by_test_id("groups")
    await expect(groups.get_by_role("rowheader", name="booking")).to_be_visible()
    await expect(page.get_by_test_id("keys")).to_contain_text("billing")
    await page.get_by_test_id("price").select_option("Cheapest parts")
    await expect(page.locator("#chart-title")).to_have_text("Cheapest parts, by profile")
    await page.get_by_test_id("by").select_option("stage")
    # A rented stack has no idle time, and the price that was chosen stays.
    await expect(page.get_by_test_id("keys")).not_to_contain_text("Idle time")
    await expect(page.locator("#chart-title")).to_have_text("Cheapest parts, by stage of the work")


async def test_each_price_stands_beside_this_box(
    page: Page, served: tuple[RecordedBox, str]
) -> None:
    box, url = served
    await shown_costs(page, url)
    rows = page.get_by_test_id("beside").locator("tbody tr")
    await expect(rows).to_have_count(3 + len(box.bill.book.stacks))
    capacity = rows.filter(has_text="This box, at capacity")
    assert (await capacity.locator("td.number").all_inner_texts()) == ["–"] * 4
    notes = page.get_by_test_id("notes")
    await expect(notes).to_contain_text("Assumed, not measured")
    await expect(notes).to_contain_text("Quality is not priced")


async def test_nothing_recorded_is_said(page: Page, served: tuple[RecordedBox, str]) -> None:
    await shown_costs(page, served[1])
    await page.get_by_test_id("time").select_option("between")
    await page.get_by_test_id("until").fill("2020-01-02")
    await page.get_by_test_id("since").fill("2020-01-01")
    await expect(page.get_by_test_id("empty")).to_be_visible()
    await expect(page.get_by_test_id("chart")).to_be_hidden()


async def test_a_long_name_breaks_no_page(browser: Browser, tmp_path: Path) -> None:
    name = '"><img src=x onerror=alert(1)>' + "W" * 200
    page = await browser.new_page(viewport={"width": 360, "height": 800})
    async with recorded_box(tmp_path) as (box, url):
        call = a_call(box.bill, 1, datetime.now(UTC) - timedelta(hours=1), caller=name)
        box.store.end_call(call)
        assert await asyncio.to_thread(box.store.flush, LIMIT_S)
        for address in ("costs.html", "calls.html", f"call.html?id={call.call_id}"):
            await page.goto(f"{url}{address}")
            if address == "costs.html":
                await page.get_by_test_id("by").select_option("caller")
            await expect(page.locator("main")).to_contain_text("W" * 200)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, address
            assert await page.locator("img").count() == 0
    await page.close()


async def test_the_box_page_follows_the_box(page: Page, served: tuple[RecordedBox, str]) -> None:
    box, url = served
    await page.goto(f"{url}box.html")
    capacity = page.get_by_test_id("capacity")
    await expect(capacity).to_contain_text(f"0 of {box.places.calls}")
    with box.reserve():
        await expect(capacity).to_contain_text(f"1 of {box.places.calls}")
    await expect(capacity).to_contain_text(f"0 of {box.places.calls}")
    engines = page.get_by_test_id("engines")
    llm = engines.locator("[data-stage=llm]")
    await expect(llm).to_contain_text("smollm2-135m-instruct")
    await expect(llm).to_contain_text("2 of 4 conversations open; cache 25% full")
    await expect(llm).to_contain_text("42%")
    await expect(llm).to_contain_text("2.50")
    await expect(page.get_by_test_id("memory")).to_contain_text(re.compile("[MG]iB"))
    await expect(page.get_by_test_id("workers")).to_contain_text("0 of 256 jobs waiting")


async def test_budgets_are_shown_where_there_are_any(
    page: Page, served: tuple[RecordedBox, str]
) -> None:
    budget = BudgetConfig.model_validate({"name": "phones", "limit": 4, "per": "profile"})
    account = Account("phones", "billing", datetime(2026, 11, 22, tzinfo=UTC))
    standing = Standing(budget, account, Decimal("3.5")).to_json()
    told = json.dumps({"budgets": [standing], "left_out": 0, "now": "2026-11-22T10:00:00Z"})
    await page.goto(f"{served[1]}box.html")
    await expect(page.get_by_test_id("capacity")).to_contain_text("0 of")
    await expect(page.get_by_test_id("budgets")).to_be_hidden()
    await page.route("**/api/budgets", lambda route: route.fulfill(body=told))
    await page.reload()
    row = page.get_by_test_id("budgets").locator("tbody tr")
    await expect(row).to_have_text("phonesbillingday3.5 usd4 usdwarned: 88%")


async def test_settings_are_shown_found_and_never_changed(
    page: Page, served: tuple[RecordedBox, str]
) -> None:
    await page.goto(f"{served[1]}settings.html")
    tables = page.get_by_test_id("tables")
    await expect(tables.get_by_role("region", name="[calls]")).to_be_visible()
    await page.get_by_test_id("text").fill("queue_limit")
    await expect(page.get_by_test_id("count")).to_have_text("1 key in 1 table")
    await expect(tables.locator("[data-key=queue_limit_s]")).to_contain_text("180")
    await page.get_by_test_id("text").fill("")
    await page.get_by_test_id("own").check()
    await expect(tables.locator("[data-key=path]")).to_be_visible()
    await expect(tables.locator("[data-key=queue_limit_s]")).to_have_count(0)
    assert await tables.locator("input, select, textarea, button").count() == 0


async def test_a_token_is_never_on_the_page(tmp_path: Path, browser: Browser) -> None:
    async with recorded_box(tmp_path, {"token": TOKEN}) as (_, url):
        page = await browser.new_page()
        await page.goto(url)
        signed_in = await page.evaluate(
            """async (token) => (await fetch("api/login", {
              method: "POST",
              headers: { "Content-Type": "application/json" },
              body: JSON.stringify({ token }),
            })).ok""",
            TOKEN,
        )
        assert signed_in
        await page.goto(f"{url}settings.html")
        row = page.get_by_test_id("tables").locator("[data-key=token]")
        await expect(row).to_have_text("tokenset, hidden")
        assert TOKEN not in await page.content()
        await page.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
async def test_pages_fit_are_named_and_readable(
    browser: Browser, served: tuple[RecordedBox, str], name: str, width: int, scheme: Any
) -> None:
    from test_page_access import POOR_CONTRAST

    page = await browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    await page.goto(f"{served[1]}{name}")
    marker = {"costs.html": "said", "box.html": "engines", "settings.html": "count"}[name]
    await expect(page.get_by_test_id(marker)).to_contain_text("e")
    await expect(page.locator("[aria-current=page]")).to_have_attribute("href", name)
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    contrast = await page.evaluate(POOR_CONTRAST)
    assert contrast["seen"] > 10
    assert contrast["poor"] == []
    unnamed = await page.evaluate(
        """() => [...document.querySelectorAll("input, select")]
          .filter((each) => !each.labels.length).map((each) => each.name)"""
    )
    assert unnamed == []
    await page.close()


@pytest.mark.parametrize(
    ("most", "end", "ticks"), [(0, 1, 0), (0.36, 0.4, 5), (4, 4, 5), (4.01, 6, 4), (9.9, 10, 5)]
)
async def test_the_axis_ends_on_a_round_number(
    page: Page, served: tuple[RecordedBox, str], most: float, end: float, ticks: int
) -> None:
    await page.goto(f"{served[1]}favicon.svg")
    given = json.loads(
        await page.evaluate(
            "async (most) => JSON.stringify((await import('/column_chart.js')).axis(most))", most
        )
    )
    assert given["end"] == pytest.approx(end)
    assert len(given["ticks"]) == ticks
