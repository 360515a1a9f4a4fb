"""A whole call on the page, in a real Chromium over real WebRTC, and what it shows of it."""

import json
import re

import pytest
from playwright.async_api import Page, expect
from stand_in_box import LIMIT_S, StandInBox

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS = ["end_of_turn", "transcript", "first_token", "first_clause", "first_audio", "first_packet"]


def words(who: str, turn: int, text: str, *, final: bool = True) -> dict[str, object]:
    return {"type": "words", "who": who, "turn": turn, "text": text, "final": final}


def turn(
    number: int, at_ms: list[float], stages_ms: list[float], *, interrupted: bool = False
) -> dict[str, object]:
    return {
        "type": "turn",
        "turn": number,
        "heard": f"question {number}",
        "answer": f"answer {number}",
        "interrupted": interrupted,
        "at_ms": dict(zip(STEPS, at_ms, strict=False)),
        "stages_ms": dict(zip(STEPS, stages_ms, strict=False)),
        "total_ms": at_ms[-1] if len(at_ms) == len(STEPS) else None,
        "usage": {},
    }


def cost(call_s: float, owned_usd: float) -> dict[str, object]:
    return {
        "type": "cost",
        "call_s": call_s,
        "owned": {
            "total_usd": owned_usd,
            "lines": {"stt": owned_usd, "llm": 0},
            "hardware": "a small server",
            "view": "this call pays for all of it",
            "assumed": ["purchase_usd", "watts_idle"],
        },
        "rented": [
            {"stack": "Three APIs", "total_usd": 0.03, "lines": {"stt": 0.01, "tts": 0.02}},
            {"stack": "Speech to speech", "total_usd": None, "lines": {"llm": None}},
        ],
        "as_of": "2026-11-01",
    }


async def state(page: Page, value: str) -> None:
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", value)


async def begin(page: Page, box: StandInBox) -> None:
    await page.get_by_test_id("start").click()
    await state(page, "listening")
    await box.begin()
    await expect(page.get_by_test_id("call-id")).to_have_text("c0ffee123456")


async def test_both_sides_hear_each_other(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    await expect(page.get_by_test_id("level")).not_to_have_attribute("aria-valuenow", "0")
    agent_peak = await page.evaluate(
        """async (limitMs) => {
          const context = new AudioContext();
          const analyser = context.createAnalyser();
          const stream = document.getElementById("remote").srcObject;
          context.createMediaStreamSource(stream).connect(analyser);
          const samples = new Float32Array(analyser.fftSize);
          const until = performance.now() + limitMs;
          let peak = 0;
          while (peak < 0.1 && performance.now() < until) {
            await new Promise((done) => setTimeout(done, 50));
            analyser.getFloatTimeDomainData(samples);
            peak = Math.max(peak, ...samples);
          }
          await context.close();
          return peak;
        }""",
        LIMIT_S * 1000,
    )
    assert agent_peak >= 0.1
    for _ in range(3):
        assert await box.next_message() == "ping"
    assert box.caller_peak > 1000
    assert box.offers[0]["type"] == "offer"
    assert "a=candidate:" in box.offers[0]["sdp"]


async def test_who_is_speaking(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    status = page.get_by_test_id("status")
    await box.tell({"type": "speaking", "who": "agent", "on": True})
    await state(page, "agent-speaking")
    await expect(status).to_have_text("Robin is speaking")
    await expect(page.get_by_test_id("agent-side")).to_contain_text("speaking")
    await expect(page.get_by_test_id("caller-side")).to_contain_text("quiet")
    await box.tell({"type": "speaking", "who": "caller", "on": True})
    await state(page, "caller-speaking")
    await box.tell({"type": "speaking", "who": "agent", "on": False})
    await box.tell({"type": "speaking", "who": "caller", "on": False})
    await state(page, "listening")
    await expect(page.get_by_test_id("agent-side")).to_contain_text("quiet")


async def test_words_of_both_sides_in_the_order_of_the_conversation(
    page: Page, box: StandInBox
) -> None:
    await begin(page, box)
    await box.tell(
        words("agent", 0, "Hello."),
        words("agent", 1, "Jupiter", final=False),
        words("caller", 1, "The largest planet?"),
        words("agent", 1, "Jupiter is."),
        words("caller", 2, "<b>Thank", final=False),
    )
    await expect(page.get_by_test_id("words-agent-1")).to_have_text("Jupiter is.")
    await expect(page.get_by_test_id("words-caller-2")).to_have_text("<b>Thank")
    said = page.get_by_test_id("transcript").locator("[data-testid^=words-]")
    assert await said.all_inner_texts() == [
        "Hello.",
        "The largest planet?",
        "Jupiter is.",
        "<b>Thank",
    ]


async def test_only_final_words_are_read_aloud_and_once(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    announcer = page.get_by_test_id("announcer")
    await expect(announcer).to_have_attribute("aria-live", "polite")
    await box.tell(
        words("caller", 1, "what is", final=False),
        words("caller", 1, "What is that?"),
        words("caller", 1, "What is that?"),
        words("agent", 1, "A dial", final=False),
    )
    await expect(page.get_by_test_id("words-agent-1")).to_have_text("A dial")
    await expect(announcer.locator("p")).to_have_text(["You: What is that?"])


async def test_an_interrupted_answer_is_marked_where_it_was_cut(
    page: Page, box: StandInBox
) -> None:
    await begin(page, box)
    await box.tell(
        words("agent", 1, "One two three four", final=False),
        {"type": "interrupted", "turn": 1},
        words("agent", 1, "One two three"),
        {"type": "interrupted", "turn": 2},
        words("agent", 2, ""),
        words("agent", 3, "Whole."),
    )
    entries = page.get_by_test_id("transcript").locator("li")
    await expect(entries.nth(0)).to_contain_text(re.compile(r"One two three\s+interrupted$"))
    await expect(entries.nth(1)).to_contain_text("interrupted before a word")
    await expect(entries.nth(2)).to_contain_text("Whole.")
    await expect(entries.nth(2).get_by_text("interrupted")).to_be_hidden()
    await expect(page.get_by_test_id("announcer")).to_contain_text("Robin was interrupted.")


async def test_each_turn_has_a_waterfall(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    await box.tell(turn(1, [400, 380, 600, 900, 1080, 1100], [400, 0, 200, 300, 180, 20]))
    first = page.get_by_test_id("waterfall-1")
    await expect(first).to_have_attribute("open", "")
    await expect(first).to_have_attribute("data-total-ms", "1100")
    measured = {
        step: float(await first.get_by_test_id(f"step-{step}").get_attribute("data-ms") or "")
        for step in STEPS
    }
    assert list(measured.values()) == [400, 0, 200, 300, 180, 20]
    await expect(page.get_by_test_id("latest")).to_have_text("1,100 ms")

    # Each bar starts where the one above it ended, on an axis of 0 to 1,250 ms.
    lane = await first.locator(".chart-lane .lane").first.bounding_box()
    bar = await first.get_by_test_id("step-first_clause").bounding_box()
    assert lane and bar
    assert (bar["x"] - lane["x"]) / lane["width"] == pytest.approx(600 / 1250, abs=0.01)
    assert bar["width"] / lane["width"] == pytest.approx(300 / 1250, abs=0.01)

    # The chart is a table; the step that was ready early says so.
    rows = first.get_by_role("row")
    await expect(rows).to_have_count(1 + len(STEPS))
    await expect(rows.nth(2)).to_have_text(re.compile(r"Transcript\s*ready\s*380 ms"))
    await expect(rows.nth(4)).to_have_text(re.compile(r"First clause\s*300 ms\s*900 ms"))


async def test_the_newest_turn_is_unfolded_and_the_median_follows(
    page: Page, box: StandInBox
) -> None:
    await begin(page, box)
    await box.tell(
        turn(0, [], []),
        turn(1, [400, 500, 600, 700, 800, 900], [400, 100, 100, 100, 100, 100]),
        turn(2, [300, 350], [300, 50], interrupted=True),
        turn(3, [400, 500, 600, 700, 800, 1300], [400, 100, 100, 100, 100, 500]),
    )
    await expect(page.get_by_test_id("median")).to_have_text("1,100 ms")
    await expect(page.get_by_text("over 2 answers")).to_be_visible()
    turns = page.get_by_test_id("turns").locator("details")
    assert await turns.evaluate_all("all => all.map((each) => each.open)") == [
        True,
        False,
        False,
        False,
    ]
    await expect(turns.nth(1)).to_contain_text("cut short")
    await expect(turns.nth(3)).to_contain_text("Greeting")
    earlier = page.get_by_test_id("waterfall-1")
    await earlier.locator("summary").focus()
    await page.keyboard.press("Enter")
    await expect(earlier.get_by_role("table")).to_be_visible()


async def test_the_cost_beside_rented_parts(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    await box.tell(cost(30, 0.00042))
    owned, rented = page.get_by_test_id("cost-owned"), page.get_by_test_id("cost-rented")
    await expect(owned).to_contain_text("$0.00042")
    await expect(owned).to_contain_text("$0.00084/min")
    await expect(owned.locator("[data-stage=stt]")).to_have_text("Speech recognition$0.00042")
    await expect(page.get_by_test_id("cost-basis")).to_have_text(
        "Priced as a small server; this call pays for all of it. "
        "Assumed, not measured: purchase price, watts idle."
    )
    await expect(rented.get_by_role("listitem")).to_have_count(2)
    await expect(rented.locator("[data-stack='Three APIs'] summary")).to_contain_text("$0.0300")
    unknown = rented.locator("[data-stack='Speech to speech']")
    await unknown.locator("summary").click()
    await expect(unknown.locator("[data-stage=llm]")).to_have_text("Language modelunknown")
    await expect(unknown).not_to_contain_text("$")
    await expect(page.get_by_text("Estimate from list prices as of 2026-11-01")).to_be_visible()

    # A later figure replaces it, and what the reader unfolded stays unfolded.
    await box.tell(cost(60, 0.00084))
    await expect(owned).to_have_attribute("data-usd", "0.00084")
    await expect(rented.get_by_role("listitem")).to_have_count(2)
    await expect(unknown.locator("[data-stage=llm]")).to_be_visible()


async def test_stop_says_goodbye_and_lets_go_of_everything(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    await box.tell(words("agent", 1, "Half a", final=False))
    await expect(page.get_by_test_id("words-agent-1")).to_be_visible()
    await page.get_by_test_id("stop").click()
    await expect(page.get_by_test_id("status")).to_have_text("Call ended: you hung up")
    said = await box.next_message()
    while said == "ping":
        said = await box.next_message()
    assert json.loads(said) == {"type": "hangup"}
    await expect(page.get_by_test_id("level")).to_have_attribute("aria-valuenow", "0")
    assert await page.evaluate("document.getElementById('remote').srcObject") is None
    # What was said stays to be read, until the next call starts.
    await expect(page.get_by_test_id("words-agent-1")).to_be_visible()
    await page.get_by_test_id("start").click()
    await state(page, "listening")
    await expect(page.get_by_test_id("words-agent-1")).to_have_count(0)


@pytest.mark.parametrize(
    ("farewell", "shown"),
    [
        ({"type": "call.ended", "cause": "silence"}, "Call ended: nobody spoke for too long"),
        ({"type": "call.ended", "cause": "box stopped"}, "Call ended: the box was stopped"),
        ({"type": "call.ended", "cause": "a_new_cause"}, "Call ended: a new cause"),
        (
            {"type": "signalling", "message": {"type": "peerLeft"}},
            "Call ended: the box hung up",
        ),
    ],
)
async def test_the_box_ends_the_call(
    page: Page, box: StandInBox, farewell: dict[str, object], shown: str
) -> None:
    await begin(page, box)
    await box.tell(farewell)
    await expect(page.get_by_test_id("status")).to_have_text(shown)
    await expect(page.get_by_test_id("start")).to_be_visible()


async def test_a_box_that_vanishes_ends_the_call(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    await box.drop()
    await expect(page.get_by_test_id("status")).to_have_text("Call ended: connection lost")


async def test_unknown_events_are_passed_over_and_errors_shown(page: Page, box: StandInBox) -> None:
    await begin(page, box)
    await box.tell(
        {"type": "weather", "rain": True},
        {"type": "signalling", "message": {"type": "renegotiate"}},
        {"type": "error", "message": "The language model failed on this turn."},
    )
    await expect(page.get_by_test_id("error")).to_contain_text("The language model failed")
    await state(page, "listening")
    await page.get_by_role("button", name="Dismiss this message").click()
    await expect(page.get_by_test_id("error")).to_be_hidden()


async def test_another_microphone_during_the_call_and_remembered_after(
    page: Page, box: StandInBox
) -> None:
    await begin(page, box)
    choice = page.get_by_label("Microphone", exact=True)
    await choice.select_option(label="Fake Audio Input 2")
    chosen = await choice.input_value()
    await expect(page.get_by_test_id("error")).to_be_hidden()
    await page.get_by_test_id("stop").click()
    await state(page, "ended")
    await page.reload()
    await expect(choice).to_have_value(chosen)


async def test_the_parts_in_use_are_named(page: Page, box: StandInBox) -> None:
    foot = page.get_by_role("contentinfo")
    for part in ("whisper-tiny.en", "smollm2-135m-instruct", "joe-medium", "0 of 3 calls"):
        await expect(foot).to_contain_text(part)
