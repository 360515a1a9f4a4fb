"""The page in Chromium: it draws, plays, filters, needs no network, and runs nothing that an
agent said."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from synthetic_report import (
    calibrate_report,
    capacity_report,
    quality_report,
    run_report,
    soak_report,
)

from latency_bench.reports.compare import compare
from latency_bench.reports.compare_page import comparison_page
from latency_bench.reports.page import embedded_json, report_page
from latency_bench.reports.page_data import heard_words
from latency_bench.reports.report_file import parse_report

LIMIT_MS = 20_000
HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    "'\"><svg/onload=window.hacked=1><a href=javascript:window.hacked=1>x</a>{{7*7}}\u202e\x00"
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    parser.close()
    return parser.tags


def _everywhere(value: Any, words: str) -> Any:
    """Every text of a report, and every name that the agent gives, made hostile."""
    if isinstance(value, dict):
        return {key: _everywhere(entry, words) for key, entry in value.items()}
    if isinstance(value, list):
        return [_everywhere(entry, words) for entry in value]
    return words if isinstance(value, str) else value


def _hostile_run() -> dict[str, Any]:
    body = run_report(calls=4)
    made = _everywhere(body, HOSTILE)
    for call, real in zip(made["calls"], body["calls"], strict=True):
        call["outcome"] = "failed" if call["call"] == 1 else real["outcome"]
        for turn, true in zip(call["turns"], real["turns"], strict=True):
            turn["kind"] = true["kind"]
            turn["stages_ms"] = {HOSTILE: 100.0, "transcript": 20.0}
    made["by_scenario"] = {HOSTILE: {"calls": 4, "passed": 1, "failed": 3}}
    made["summary"][HOSTILE] = 1.0
    made["settings"] = {HOSTILE: HOSTILE}
    made["spreads"][f"stage.{HOSTILE}"] = made["spreads"]["v2v_ms"]
    made["errors"] = [HOSTILE]
    return _kept(made, body)


def _kept(made: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    return made | {name: body[name] for name in ("schema", "kind", "began_utc")}


def _hostile_tables() -> dict[str, Any]:
    body = quality_report()
    return _kept(_everywhere(body, HOSTILE), body)


def _all_kinds() -> list[dict[str, Any]]:
    return [capacity_report(), quality_report(), soak_report(), calibrate_report()]


@pytest.mark.parametrize("make", [_hostile_run, _hostile_tables, run_report])
def test_nothing_that_was_said_becomes_an_element(make: Any, tmp_path: Path) -> None:
    tags = _tags(report_page(parse_report(make()), tmp_path))
    assert not [tag for tag, _ in tags if tag in ("img", "iframe", "object", "embed", "form-x")]
    assert [given.get("type") for tag, given in tags if tag == "script"] == [
        "application/json",
        None,
    ]
    for tag, given in tags:
        assert not [name for name in given if name.startswith("on")], tag
        assert "style" not in given
        for name in ("href", "src", "action"):
            value = given.get(name)
            assert value is None or value.startswith(("#", "data:image/svg+xml")), (tag, value)


def test_the_policy_lets_only_its_own_program_run_and_nothing_be_fetched(tmp_path: Path) -> None:
    page = report_page(parse_report(run_report(calls=2)), tmp_path)
    policy = next(
        given["content"] or ""
        for tag, given in _tags(page)
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    assert "@import" not in page and "url(" not in page


def test_data_cannot_close_its_element() -> None:
    words = embedded_json({"said": "</script><!-- ]]> & \u2028"})
    assert not set("<>&\u2028") & set(words)
    assert json.loads(words) == {"said": "</script><!-- ]]> & \u2028"}


def test_misheard_words_are_marked() -> None:
    marked = heard_words("A table for two, please!", "a table four two please")
    assert marked == [
        ("a", True),
        ("table", True),
        ("four", False),
        ("two", True),
        ("please", True),
    ]
    assert heard_words(None, "a b") == [("a", True), ("b", True)]


def test_a_report_without_anything_has_a_page(tmp_path: Path) -> None:
    body = run_report(calls=1)
    bare = {name: body[name] for name in ("schema", "kind", "target")}
    page = report_page(parse_report(bare), tmp_path)
    assert "No call took place." in page


def test_all_kinds_have_a_page(tmp_path: Path) -> None:
    for body in _all_kinds():
        page = report_page(parse_report(body), tmp_path)
        assert f"offhook bench {body['kind']}" in page
        assert "data:audio" not in page


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--mute-audio"],
        )
        yield browser
        await browser.close()


class _Opened:
    """A page, and what it complained of and asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("request", lambda request: self.requests.append(request.url))

    def quiet(self) -> bool:
        outside = [url for url in self.requests if not url.startswith(("file:", "data:"))]
        return not self.complaints and not outside


async def _open(
    browser: Browser, path: Path, *, width: int = 1280, scheme: Any = "light"
) -> _Opened:
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    context.set_default_timeout(LIMIT_MS)
    opened = _Opened(await context.new_page())
    await opened.page.goto(path.as_uri())
    return opened


async def _until(page: Page, condition: str) -> None:
    """Playwright's own wait evaluates text in the page, which the page's policy forbids."""
    async with asyncio.timeout(LIMIT_MS / 1000):
        while not await page.evaluate(condition):
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    body = run_report(folder, calls=10, turns=3)
    (folder / "run.html").write_text(report_page(parse_report(body), folder), encoding="utf-8")
    return folder / "run.html"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
async def test_it_draws_without_network_complaint_or_sideways_scrolling(
    browser: Browser, made: Path, width: int, scheme: str
) -> None:
    opened = await _open(browser, made, width=width, scheme=scheme)
    page = opened.page
    await expect(page.locator("#timeline path.wave")).to_have_count(2, timeout=LIMIT_MS)
    await expect(page.locator("h1")).to_contain_text("of 10 calls did not go as they should")
    shown = page.locator(".wide .cdf" if width > 719 else ".narrow .cdf")
    await expect(shown).to_be_visible(timeout=LIMIT_MS)
    spill = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert spill <= 0
    assert opened.quiet(), (opened.complaints, opened.requests)
    await page.context.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_sound_plays_and_the_timeline_seeks(browser: Browser, made: Path) -> None:
    opened = await _open(browser, made)
    page = opened.page
    await _until(page, "document.getElementById('audio').readyState >= 1")
    length_s = await page.evaluate("document.getElementById('audio').duration")
    told_s = await page.evaluate("state.call.duration_s")
    assert abs(length_s - told_s - 0.3) < 0.1
    await page.locator("#zoom-fit").click()
    box = await page.locator("#timeline").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 60)
    at_s = await page.evaluate("state.at")
    assert abs(at_s - length_s / 2) < 0.5
    await _until(page, f"Math.abs(audio.currentTime - {at_s}) < 0.2 && !audio.seeking")
    await page.locator("#play").click()
    await _until(page, f"audio.currentTime > {at_s} + 0.1")
    await expect(page.locator("#play")).to_have_attribute("aria-label", "Pause", timeout=LIMIT_MS)
    await page.locator("#play").click()
    await page.locator("#speed").select_option("2")
    assert await page.evaluate("audio.playbackRate") == 2
    assert opened.quiet(), opened.complaints
    await page.context.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_it_can_be_used_by_keyboard(browser: Browser, made: Path) -> None:
    opened = await _open(browser, made)
    page = opened.page
    timeline = page.locator("#timeline")
    await timeline.focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Shift+ArrowRight")
    assert await page.evaluate("state.at") == pytest.approx(1.1)
    assert await timeline.get_attribute("aria-valuenow") == "1.1"
    before = await page.evaluate("state.to - state.from")
    await page.keyboard.press("+")
    assert await page.evaluate("state.to - state.from") < before
    await page.locator("#turn-table a").nth(4).focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#turn-title")).to_have_text("Turn 1.1", timeout=LIMIT_MS)
    await expect(page.locator("#which")).to_have_value("1", timeout=LIMIT_MS)
    await expect(page.locator("#turn-table tr.chosen")).to_have_count(1, timeout=LIMIT_MS)
    await page.context.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_turns_are_filtered_and_sorted(browser: Browser, made: Path) -> None:
    opened = await _open(browser, made)
    page = opened.page
    rows = page.locator("#turn-table tbody tr:visible")
    await expect(rows).to_have_count(30, timeout=LIMIT_MS)
    await page.locator("#by-failed").check()
    failed = await page.locator("#turn-table tr[data-failed]").count()
    assert 0 < failed < 30
    await expect(rows).to_have_count(failed, timeout=LIMIT_MS)
    assert "no answer" in " ".join(await rows.all_inner_texts())
    await page.locator("#by-failed").uncheck()
    await page.locator("#by-scenario").select_option("hesitation")
    await expect(rows).to_have_count(6, timeout=LIMIT_MS)
    await page.locator("#by-words").fill("SATURDAY")
    await expect(rows).to_have_count(2, timeout=LIMIT_MS)
    await page.locator("#by-words").fill("")
    await page.locator("#by-scenario").select_option("")
    await page.get_by_role("button", name="V2V").click()
    await expect(page.locator("th[aria-sort=ascending]")).to_have_text("V2V", timeout=LIMIT_MS)
    words = await page.locator("#turn-table tbody tr td:nth-child(4)").all_inner_texts()
    figures = [float(word.replace(",", "")) for word in words if word != "–"]
    assert figures == sorted(figures)
    await page.context.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_hostile_words_are_shown_and_never_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(report_page(parse_report(_hostile_run()), tmp_path), encoding="utf-8")
    opened = await _open(browser, path)
    page = opened.page
    await expect(page.locator("#transcript li").first).to_be_visible(timeout=LIMIT_MS)
    for _ in range(4):
        await page.locator("#next").click()
    await asyncio.sleep(0.2)
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("img").count() == 0
    assert "<img src=x" in await page.locator("#transcript").inner_text()
    assert opened.quiet(), opened.complaints
    await page.context.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_comparison_is_drawn(browser: Browser, tmp_path: Path) -> None:
    a = parse_report(run_report(calls=8))
    b = parse_report(_hostile_run())
    path = tmp_path / "compare.html"
    path.write_text(comparison_page(a, b, compare(a, b)), encoding="utf-8")
    opened = await _open(browser, path)
    page = opened.page
    await expect(page.locator(".wide .cdf")).to_be_visible(timeout=LIMIT_MS)
    await page.locator("#probe").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#probe-out")).to_contain_text("%", timeout=LIMIT_MS)
    assert await page.evaluate("window.hacked") is None
    assert opened.quiet(), opened.complaints
    await page.context.close()
