"""The page's arithmetic, asked in the browser that runs it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from stand_in_box import StandInBox

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """One page for all: nothing here changes it."""
    box = StandInBox()
    await box.start()
    page = await browser.new_page()
    await page.goto(box.url)
    yield page
    await page.close()
    await box.stop()


async def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    return await page.evaluate(
        """async ([module, name, given]) => (await import(`/${module}`))[name](...given)""",
        [module, function, list(arguments)],
    )


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unknown"),
        (0, "$0"),
        (0.0000004, "< $0.000001"),
        (0.0000123, "$0.000012"),
        (0.000421, "$0.00042"),
        (0.0421, "$0.0421"),
        (0.5, "$0.5000"),
        (12.3456, "$12.35"),
    ],
)
async def test_dollars(page: Page, usd: float | None, text: str) -> None:
    assert await call(page, "cost.js", "formatUsd", usd) == text


async def test_dollars_a_minute(page: Page) -> None:
    assert await call(page, "cost.js", "perMinute", 0.01, 30) == pytest.approx(0.02)
    assert await call(page, "cost.js", "perMinute", None, 30) is None
    assert await call(page, "cost.js", "perMinute", 0.01, 0) is None


async def test_stages_that_are_not_known_yet_keep_their_own_name(page: Page) -> None:
    assert await call(page, "cost.js", "stageLabel", "stt") == "Speech recognition"
    assert await call(page, "cost.js", "stageLabel", "call_recording") == "Call recording"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "–"), (0, "0 ms"), (812.4, "812 ms"), (9999, "9,999 ms"), (12345, "12.3 s")],
)
async def test_milliseconds(page: Page, ms: float | None, text: str) -> None:
    assert await call(page, "waterfall.js", "formatMs", ms) == text


@pytest.mark.parametrize(
    ("values", "middle"), [([], None), ([7], 7), ([9, 1, 5], 5), ([4, 1, 3, 100], 3.5)]
)
async def test_median(page: Page, values: list[float], middle: float | None) -> None:
    assert await call(page, "waterfall.js", "median", values) == middle


@pytest.mark.parametrize(
    ("total_ms", "end_ms"), [(0, 1), (1, 1), (838, 1000), (1000, 1000), (1001, 1250), (7300, 8000)]
)
async def test_the_axis_ends_on_a_round_number_at_or_beyond_the_total(
    page: Page, total_ms: float, end_ms: float
) -> None:
    axis = await call(page, "waterfall.js", "axis", total_ms)
    assert axis["endMs"] == pytest.approx(end_ms)
    assert axis["ticks"][0] == 0
    assert axis["ticks"][-1] == axis["endMs"]
    assert 2 <= len(axis["ticks"]) <= 7


async def test_steps_follow_each_other_and_absent_ones_are_left_out(page: Page) -> None:
    stages = {"first_packet": 20, "end_of_turn": 400, "transcript": 0, "first_audio": 300}
    marks = {"first_packet": 720, "end_of_turn": 400, "transcript": 350, "first_audio": 700}
    placed = await call(page, "waterfall.js", "layOut", stages, marks)
    assert [(step["name"], step["startMs"], step["ms"], step["early"]) for step in placed] == [
        ("end_of_turn", 0, 400, False),
        ("transcript", 400, 0, True),
        ("first_audio", 400, 300, False),
        ("first_packet", 700, 20, False),
    ]


@pytest.mark.parametrize(("amplitude", "level"), [(0, 0), (0.0001, 0), (1, 1), (0.1, 2 / 3)])
async def test_the_meter_runs_from_minus_60_decibels_to_full_scale(
    page: Page, amplitude: float, level: float
) -> None:
    samples = [amplitude, -amplitude] * 8
    assert await call(page, "microphone.js", "levelOf", samples) == pytest.approx(level, abs=1e-6)
