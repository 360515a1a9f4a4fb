"""The operator's pages of calls, in a real browser over real records and a real HTTP door."""

import asyncio
import os
import wave
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import httpx2
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from recorded_box import CALL_ID, CALL_S, LIVE_ID, RATE_HZ, RecordedBox, a_call, recorded_box

from agent.web.waveform import NoRecording, duration_s, read_waveform

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT_S = 15
CALLS = 60
ONE_CALL = f"call.html?id={CALL_ID}"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def filled(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[RecordedBox, str]]:
    """One box for all: 60 calls and the one that is looked at."""
    async with recorded_box(tmp_path_factory.mktemp("box")) as (box, url):
        box.fill(CALLS)
        yield box, url


@pytest_asyncio.fixture(loop_scope="module")
async def http(filled: tuple[RecordedBox, str]) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=filled[1], timeout=LIMIT_S) as http:
        yield http


@pytest_asyncio.fixture(loop_scope="module")
async def opened(
    browser: Browser, filled: tuple[RecordedBox, str]
) -> AsyncIterator[tuple[BrowserContext, Page]]:
    """A page; a script error or a blocked resource on it fails the test."""
    context = await browser.new_context(
        base_url=filled[1], viewport={"width": 1280, "height": 900}, timezone_id="Asia/Tokyo"
    )
    page = await context.new_page()
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
    yield context, page
    assert not defects
    await context.close()


async def shot(page: Page, name: str) -> None:
    """Kept where ``OFFHOOK_SCREENSHOTS`` names a folder."""
    if folder := os.environ.get("OFFHOOK_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


# -- the interface


async def test_pages_of_calls_follow_each_other_without_gap_or_repetition(
    http: httpx2.AsyncClient,
) -> None:
    seen: list[str] = []
    following = None
    for _ in range(20):
        asked = {"limit": "7", **({"before": following} if following else {})}
        answer = (await http.get("/api/records/calls", params=asked)).json()
        seen += [call["call_id"] for call in answer["calls"]]
        if (following := answer["next"]) is None:
            break
    assert len(seen) == len(set(seen)) == CALLS + 1
    whole = (await http.get("/api/records/calls", params={"limit": "200"})).json()
    assert [call["call_id"] for call in whole["calls"]] == seen
    began = [call["started_at"] for call in whole["calls"]]
    assert began == sorted(began, reverse=True)


async def test_calls_of_the_same_moment_are_on_one_page_each(tmp_path: Path) -> None:
    async with recorded_box(tmp_path) as (box, url):
        began = datetime.now(UTC) - timedelta(hours=1)
        for number in range(9):
            box.store.end_call(a_call(box.bill, number, began))
        assert box.store.flush(LIMIT_S)
        seen: list[str] = []
        async with httpx2.AsyncClient(base_url=url, timeout=LIMIT_S) as http:
            asked = {"limit": "2"}
            while True:
                answer = (await http.get("/api/records/calls", params=asked)).json()
                seen += [call["call_id"] for call in answer["calls"]]
                if answer["next"] is None:
                    break
                asked = {"limit": "2", "before": answer["next"]}
                assert len(seen) <= 9
        assert sorted(seen) == [f"{number:012x}" for number in range(9)]


async def test_only_calls_that_are_as_asked_for_are_listed(http: httpx2.AsyncClient) -> None:
    async def asked(**fields: str) -> list[dict[str, str]]:
        answer = await http.get("/api/records/calls", params={"limit": "200", **fields})
        assert answer.status_code == 200, answer.text
        calls: list[dict[str, str]] = answer.json()["calls"]
        return calls

    every = await asked()
    for name in ("caller", "profile", "workflow", "outcome", "trunk", "tenant", "door"):
        value = next(call[name] for call in every if call[name])
        found = await asked(**{name: value})
        assert [c["call_id"] for c in found] == [c["call_id"] for c in every if c[name] == value]
    assert [call["call_id"] for call in await asked(text="my APPOINTMENT")] == [CALL_ID]
    middle = every[30]["started_at"]
    assert await asked(since=middle) == every[:31]
    assert await asked(until=middle) == every[31:]
    assert await asked(since=middle, outcome="resolved") == [
        call for call in every[:31] if call["outcome"] == "resolved"
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("since=yesterday", "since"),
        ("since=2026-01-02T03:04:05", "timezone"),
        ("colour=red", "colour"),
        ("before=nowhere", "`before` must be `next`"),
        ("before=2026-01-02T03:04:05~x", "`before` must be `next`"),
        ("before=9999-12-31T23:59:59.999999%2B00:00~x", "`before` must be `next`"),
        (f"caller={'9' * 300}", "caller"),
    ],
)
async def test_what_cannot_be_asked_for_is_named(
    http: httpx2.AsyncClient, query: str, said: str
) -> None:
    answer = await http.get(f"/api/records/calls?{query}")
    assert answer.status_code == 400
    assert said in answer.json()["error"]


async def test_one_call_tells_all_that_is_known_of_it(http: httpx2.AsyncClient) -> None:
    told = (await http.get(f"/api/records/calls/{CALL_ID}")).json()
    assert told["call"]["caller"] == "+15550142424"
    assert [turn["turn"] for turn in told["turns"]] == [0, 1, 2, 3]
    assert [event["kind"] for event in told["events"]] == ["key", "interrupted", "outcome"]
    assert told["recording"] == {"duration_s": CALL_S, "starts_s": 0.0}
    assert told["live"] is False and told["cost"] is None
    for unknown in ("abcdef", CALL_ID[:6], "%27", "..%2f..%2fetc"):
        assert (await http.get(f"/api/records/calls/{unknown}")).status_code == 404


async def test_the_recording_comes_whole_or_in_part(http: httpx2.AsyncClient) -> None:
    at = f"/api/records/calls/{CALL_ID}/recording"
    whole = await http.get(at)
    assert whole.status_code == 200 and whole.headers["Content-Type"] == "audio/wav"
    with wave.open(BytesIO(whole.content)) as file:
        assert file.getnframes() == CALL_S * RATE_HZ
    part = await http.get(at, headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206
    assert part.content == whole.content[1000:2000]
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole.content)}"
    beyond = await http.get(at, headers={"Range": f"bytes={len(whole.content) + 5}-"})
    assert beyond.status_code == 416
    saved = await http.get(f"{at}?download=true", headers={"Range": "bytes=0-3"})
    assert saved.headers["Content-Disposition"].startswith("attachment")


async def test_a_record_that_names_another_file_hands_out_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("nobody's business")
    disguised = tmp_path / "disguised.wav"
    disguised.write_text("nobody's business either")
    files = (secret, disguised, tmp_path / "gone.wav", Path())
    async with recorded_box(tmp_path) as (box, url):
        now = datetime.now(UTC)
        for number, path in enumerate(files):
            box.store.end_call(a_call(box.bill, number, now, recording=str(path)))
        assert box.store.flush(LIMIT_S)
        async with httpx2.AsyncClient(base_url=url, timeout=LIMIT_S) as http:
            for number in range(len(files)):
                at = f"/api/records/calls/{number:012x}"
                for what in ("recording", "peaks"):
                    answer = await http.get(f"{at}/{what}")
                    assert answer.status_code == 404
                    assert "business" not in answer.text
                told = (await http.get(at)).json()
                assert "recording" in told["recording"]["error"]


async def test_peaks_are_of_each_side_and_loudest_of_their_stretch(tmp_path: Path) -> None:
    samples = np.zeros((1000, 2), "<i2")
    samples[250, 0], samples[999, 1], samples[0, 1] = -32768, 16384, 3277
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(500)
        file.writeframes(samples.tobytes())
    shown = read_waveform(path, 4)
    assert shown.duration_s == duration_s(path) == 2.0
    assert shown.caller == (0.0, 1.0, 0.0, 0.0)
    assert shown.agent == (0.1, 0.0, 0.0, 0.5)
    assert len(read_waveform(path, 3).caller) == 3
    assert len(read_waveform(path, 5000).caller) == 1000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(500)
    assert read_waveform(path, 4).caller == ()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(500)
    with pytest.raises(NoRecording, match="two sides"):
        read_waveform(path, 4)


# -- the pages


async def test_calls_are_searched_and_the_address_keeps_the_search(
    opened: tuple[BrowserContext, Page],
) -> None:
    _, page = opened
    await page.goto("calls.html")
    rows = page.get_by_test_id("calls").locator("tbody tr")
    await expect(rows).to_have_count(50)
    await expect(page.get_by_test_id("calls-count")).to_have_text("the latest 50 calls")
    await page.get_by_test_id("more").click()
    await expect(rows).to_have_count(CALLS + 1)
    await expect(page.get_by_test_id("calls-count")).to_contain_text("all there are")
    await expect(page.get_by_test_id("more")).to_be_hidden()

    await page.get_by_test_id("filter-text").fill("my appointment")
    await page.get_by_test_id("filter-text").press("Enter")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("+15550142424")
    await expect(rows).to_contain_text("resolved")
    assert "text=my+appointment" in page.url
    await page.reload()
    await expect(rows).to_have_count(1)
    await expect(page.get_by_test_id("filter-text")).to_have_value("my appointment")

    await page.get_by_test_id("filter-text").fill("")
    await page.get_by_test_id("filter-outcome").fill("no such thing")
    await page.get_by_test_id("search").click()
    await expect(page.get_by_test_id("calls-empty")).to_contain_text("No call is like that")
    await page.go_back()
    await expect(rows).to_have_count(1)
    await page.get_by_test_id("clear").click()
    await expect(rows).to_have_count(50)
    assert page.url.endswith("calls.html")


async def test_a_moment_is_meant_by_the_readers_own_clock(
    opened: tuple[BrowserContext, Page],
) -> None:
    _, page = opened
    await page.goto("calls.html")
    rows = page.get_by_test_id("calls").locator("tbody tr")
    await expect(rows).to_have_count(50)
    tokyo = datetime.now(UTC) + timedelta(hours=9) - timedelta(hours=2)
    await page.get_by_test_id("filter-since").fill(f"{tokyo:%Y-%m-%dT%H:%M}")
    await page.get_by_test_id("search").click()
    await expect(rows).to_have_count(3)  # of now, 30 and 77 minutes ago


async def test_a_call_is_found_by_the_keyboard_alone(
    opened: tuple[BrowserContext, Page],
) -> None:
    _, page = opened
    await page.goto("calls.html?text=appointment")
    link = page.get_by_test_id("calls").locator("tbody a")
    await expect(link).to_have_count(1)
    await link.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("title")).to_have_text("Call from +15550142424")
    await expect(page.locator(".nav [aria-current]")).to_have_text("Calls")


async def test_one_call_is_shown_whole(opened: tuple[BrowserContext, Page]) -> None:
    _, page = opened
    await page.goto(ONE_CALL)
    await expect(page.get_by_test_id("length")).to_have_text("1 min 04 s")
    await expect(page.get_by_test_id("state")).to_have_text("caller hung up")
    await expect(page.get_by_test_id("outcome")).to_contain_text("worth $12.50")
    words = page.get_by_test_id("words").locator("li")
    await expect(words).to_have_count(7)
    said = page.get_by_test_id("said-caller-3")
    await expect(said).to_contain_text("nine is perfect <b>thanks</b>")
    assert await said.locator("b").count() == 0
    await expect(page.get_by_test_id("said-agent-2")).to_contain_text("interrupted")
    await expect(page.get_by_test_id("said-agent-1")).to_contain_text("890 ms")
    assert await page.get_by_test_id("turns").locator("details").count() == 4
    await expect(page.get_by_test_id("waterfall-3")).to_have_attribute("open", "")
    events = page.get_by_test_id("events").locator("tbody tr")
    await expect(events).to_have_count(3)
    await expect(events.nth(0)).to_contain_text("key: 4")
    await expect(page.get_by_test_id("usage")).to_contain_text("Prompt tokens")


async def test_costs_are_shown_in_named_views_with_idle_time_and_unknowns(
    opened: tuple[BrowserContext, Page], http: httpx2.AsyncClient
) -> None:
    _, page = opened
    await page.goto(ONE_CALL)
    owned = page.get_by_test_id("owned-lines")
    heads = owned.locator("thead th")
    await expect(heads).to_contain_text(
        ["Line", "Marginal", "At measured utilisation", "At capacity"], ignore_case=True
    )
    await expect(heads.nth(3)).to_contain_text("not measured")
    await expect(owned.locator('[data-line="idle"] th')).to_have_text("Idle time")
    record = (await http.get(f"/api/records/calls/{CALL_ID}")).json()["call"]
    assert await owned.locator("tbody tr").count() == len(record["owned_lines"]["marginal"])
    rented = page.get_by_test_id("rented-lines").locator("tbody tr")
    await expect(rented).to_have_count(len(record["rented_usd"]))
    shown = await page.evaluate(
        """async () => {
            const { bills, sum } = await import("/call_costs.js");
            const record = {
                owned_lines: { marginal: { llm: "0.1", idle: "0" }, "at capacity": null },
                rented_lines: { one: { llm: "0.2", stt: null }, two: { llm: "0.2" } },
            };
            const { owned, rented } = bills(record, null);
            return [owned.map((b) => b.total), rented.map((b) => b.total), sum([])];
        }"""
    )
    assert shown == [[0.1, None], [None, 0.2], 0]


async def test_the_sound_is_drawn_played_and_moved_in(
    opened: tuple[BrowserContext, Page],
) -> None:
    _, page = opened
    await page.goto(ONE_CALL)
    drawing = page.get_by_test_id("waveform").locator("svg")
    await expect(drawing).to_have_attribute(
        "aria-label",
        "Waveform of 1:04 minutes: the caller is heard in 28 % of it, the agent in 44 %.",
    )
    assert await drawing.locator("path").count() == 2
    assert await drawing.locator(".mark").count() == 4
    player = page.get_by_test_id("player")
    await page.wait_for_function("document.getElementById('player').readyState >= 1")
    assert await player.evaluate("(audio) => audio.duration") == pytest.approx(CALL_S)
    box = await drawing.bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    await page.wait_for_function("document.getElementById('player').currentTime > 25")
    moved = await player.evaluate("(audio) => audio.currentTime")
    assert moved == pytest.approx(CALL_S / 2, abs=0.5)
    await page.get_by_test_id("said-agent-1").locator("button").click()
    await page.wait_for_function(
        "(([audio]) => !audio.paused && audio.currentTime > 16 && audio.currentTime < 25)"
        "([document.getElementById('player')])"
    )
    await player.evaluate("(audio) => audio.pause()")
    # The same as a table: three seconds a row, in the first of which the agent alone is heard.
    rows = page.get_by_test_id("waveform-table").locator("tbody tr")
    assert await rows.count() == 22
    cells = await rows.nth(0).locator("td").all_text_contents()
    assert cells == ["0:00", "0:03", "silent", "−7 dB"]


async def test_a_call_under_way_is_followed_until_it_ends(
    opened: tuple[BrowserContext, Page], filled: tuple[RecordedBox, str]
) -> None:
    _, page = opened
    box, _ = filled
    await page.goto("calls.html")
    await expect(page.get_by_test_id("live-count")).to_have_text("0 of 4 places taken")
    call = box.call_in()
    try:
        live = page.get_by_test_id("live").locator("tbody tr")
        await expect(live).to_have_count(1)
        await expect(live).to_contain_text("speaking")
        await expect(live).to_contain_text("Which Thursday suits you")
        await expect(live).to_contain_text("$0.")
        await shot(page, "operator-calls")
        await live.locator("a").click()
        await expect(page.get_by_test_id("state")).to_have_text("under way")
        await expect(page.get_by_test_id("cost-state")).to_have_text("so far")
        assert page.url.endswith(LIVE_ID)
        before = await page.get_by_test_id("rented-lines").inner_text()
        call.turns = 40
        await expect(page.get_by_test_id("rented-lines")).not_to_have_text(before)
    finally:
        await asyncio.to_thread(box.hang_up, call)
    await expect(page.get_by_test_id("state")).to_have_text("caller hung up")
    await expect(page.get_by_test_id("length")).to_have_text("41 s")


async def test_a_call_that_nobody_knows_is_said_to_be_unknown(
    opened: tuple[BrowserContext, Page],
) -> None:
    _, page = opened
    await page.goto("call.html?id=nobody")
    await expect(page.get_by_test_id("error")).to_contain_text("no record of a call 'nobody'")


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("light", 1280, "light"), ("dark", 1280, "dark"), ("narrow", 375, "dark")],
)
async def test_the_pages_fit_and_have_names_for_everything(
    browser: Browser, filled: tuple[RecordedBox, str], name: str, width: int, scheme: str
) -> None:
    context = await browser.new_context(
        base_url=filled[1],
        viewport={"width": width, "height": 812},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = await context.new_page()
    for address, ready in (("calls.html", "calls"), (ONE_CALL, "player")):
        await page.goto(address)
        await expect(page.get_by_test_id(ready)).to_be_visible()
        wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, address
        assert await page.locator("h1").count() == 1
        nameless = await page.evaluate(
            """() => [...document.querySelectorAll("button, a, input, table, [role=region], svg")]
                .filter((e) => !e.closest("[aria-hidden]") && !e.hidden)
                .filter((e) => !e.getAttribute("aria-label") && !e.labels?.length)
                .filter((e) => !document.getElementById(e.getAttribute("aria-labelledby")))
                .filter((e) => !e.textContent.trim())
                .map((e) => e.outerHTML)"""
        )
        assert nameless == []
        await shot(page, f"operator-{ready}-{name}")
    await context.close()
