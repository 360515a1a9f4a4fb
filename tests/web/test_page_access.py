"""The page without a mouse, without eyes, in either theme and on a phone."""

import re

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect
from stand_in_box import StandInBox

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Every visible text of the page against the first opaque background behind it (WCAG 1.4.3).
POOR_CONTRAST = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) =>
      v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest(".unseen, .skip")) continue;
    seen += 1;
    const a = light(parse(getComputedStyle(element).color));
    const b = light(behind(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return { poor, seen };
}"""

NAMED = re.compile(r"\w")

EVENTS = [
    {"type": "words", "who": "agent", "turn": 0, "text": "Hello.", "final": True},
    {"type": "interrupted", "turn": 0},
    {"type": "words", "who": "caller", "turn": 1, "text": "Now", "final": False},
    {
        "type": "turn",
        "turn": 1,
        "heard": "Now?",
        "answer": "Yes.",
        "interrupted": False,
        "at_ms": {"end_of_turn": 400, "transcript": 380, "first_packet": 900},
        "stages_ms": {"end_of_turn": 400, "transcript": 0, "first_packet": 500},
        "total_ms": 900,
        "usage": {},
    },
    {
        "type": "cost",
        "call_s": 20,
        "owned": {"total_usd": 0.001, "lines": {"stt": 0.001}},
        "rented": [{"stack": "Rented", "total_usd": None, "lines": {"stt": None}}],
        "as_of": "2026-11-01",
    },
    {"type": "error", "message": "Something failed."},
    {"type": "speaking", "who": "caller", "on": True},
]


async def fill(page: Page, box: StandInBox) -> None:
    """A call with something in every part of the page."""
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "listening")
    await box.begin()
    await box.tell(*EVENTS)
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "caller-speaking")


async def open_in(context: BrowserContext, box: StandInBox, scheme: str) -> Page:
    page = await context.new_page()
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.goto(box.url)
    return page


async def paper(page: Page) -> float:
    """How light the page's background is, 0 to 255."""
    color = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    return float(color.removeprefix("rgb(").split(",")[0])


@pytest.mark.parametrize("key", ["Enter", "Space"])
async def test_start_and_stop_by_keyboard(page: Page, box: StandInBox, key: str) -> None:
    start, stop = (
        page.get_by_role("button", name="Start call"),
        page.get_by_role("button", name="Stop call"),
    )
    await start.focus()
    await page.keyboard.press(key)
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "listening")
    # The focus goes along with the button that takes the other's place.
    await expect(stop).to_be_focused()
    await page.keyboard.press(key)
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "ended")
    await expect(start).to_be_focused()


async def test_the_shortcut_starts_and_stops_from_anywhere(page: Page, box: StandInBox) -> None:
    await expect(page.get_by_test_id("start")).to_have_attribute(
        "aria-keyshortcuts", "Control+Enter"
    )
    await page.get_by_test_id("mic").focus()
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "listening")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "ended")


async def test_tab_reaches_every_control_and_shows_where_it_is(page: Page, box: StandInBox) -> None:
    await fill(page, box)
    wanted = await page.evaluate(
        """() => [...document.querySelectorAll("a, button, select, input, summary, [tabindex='0']")]
          .filter((each) => each.checkVisibility()).length"""
    )
    reached: list[bool] = []
    for _ in range(wanted):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate(
                """() => getComputedStyle(document.activeElement).outlineStyle === "solid" """
            )
        )
    assert reached == [True] * wanted
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement === document.body")


async def test_every_part_has_a_name_for_a_screen_reader(page: Page, box: StandInBox) -> None:
    await fill(page, box)
    for role in ("banner", "main", "contentinfo"):
        await expect(page.get_by_role(role)).to_have_count(1)
    for region in ("Call controls", "Conversation", "Where the time went", "What this call costs"):
        await expect(page.get_by_role("region", name=region)).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Call with Robin")
    await expect(page.get_by_role("combobox", name="Microphone")).to_be_visible()
    await expect(page.get_by_role("meter", name="Microphone level")).to_be_visible()
    await expect(page.get_by_role("timer", name="Length of the call")).to_be_visible()
    await expect(page.get_by_role("log", name="Words as they become final")).to_be_attached()
    await expect(page.get_by_role("status")).to_have_text("Connected. Speak when you like.")
    await expect(page.get_by_role("table")).to_have_accessible_name(
        "Turn 1: what each step added, and when it was reached after the end of speech"
    )
    buttons = page.get_by_role("button")
    for n in range(await buttons.count()):
        await expect(buttons.nth(n)).to_have_accessible_name(NAMED)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_background(
    context: BrowserContext, box: StandInBox, scheme: str
) -> None:
    page = await open_in(context, box, scheme)
    idle = await page.evaluate(POOR_CONTRAST)
    await fill(page, box)
    for unfolded in await page.locator("details:not([open]) > summary").all():
        await unfolded.click()
    calling = await page.evaluate(POOR_CONTRAST)
    assert idle["poor"] + calling["poor"] == []
    assert idle["seen"] > 20 and calling["seen"] > 40
    assert (await paper(page) > 200) == (scheme == "light")


@pytest.mark.parametrize(("scheme", "first"), [("light", "true"), ("dark", "false")])
async def test_the_theme_is_the_systems_until_chosen(
    context: BrowserContext, box: StandInBox, scheme: str, first: str
) -> None:
    page = await open_in(context, box, scheme)
    toggle: Locator = page.get_by_role("button", name="Dark theme")
    await expect(toggle).to_have_attribute("aria-pressed", "false" if first == "true" else "true")
    before = await paper(page)
    await toggle.focus()
    await page.keyboard.press("Space")
    await expect(toggle).to_have_attribute("aria-pressed", first)
    after = await paper(page)
    assert abs(after - before) > 150
    await page.reload()
    await expect(toggle).to_have_attribute("aria-pressed", first)
    assert await paper(page) == after


@pytest.mark.parametrize("width", [320, 390, 768])
async def test_nothing_is_cut_off_on_a_narrow_screen(
    page: Page, box: StandInBox, width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    await fill(page, box)
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    stop = await page.get_by_test_id("stop").bounding_box()
    assert stop and stop["height"] >= 44 and stop["x"] + stop["width"] <= width


async def test_reduced_motion_is_honoured(page: Page, box: StandInBox) -> None:
    await fill(page, box)
    pulse = page.get_by_test_id("caller-side").locator(".pulse")
    await expect(pulse).to_have_css("animation-name", "voice")
    await page.emulate_media(reduced_motion="reduce")
    await expect(pulse).to_have_css("animation-name", "none")


async def test_the_page_brings_all_it_needs(context: BrowserContext, box: StandInBox) -> None:
    page = await context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(box.url)
    await expect(page.get_by_role("contentinfo")).to_contain_text("0 of 3 calls")
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith(box.url)] == []
