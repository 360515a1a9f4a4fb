"""Whatever keeps a call from starting, or cuts it off: the page says what, and the remedy."""

import pytest
from playwright.async_api import BrowserContext, Page, expect
from stand_in_box import StandInBox

from conftest import UNTRUSTED_HOST

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def fault(page: Page, what: str, remedy: str) -> None:
    """The fault is shown, with its remedy, as an alert; another call can be started."""
    await expect(page.get_by_role("alert")).to_contain_text(what)
    await expect(page.get_by_test_id("error")).to_contain_text(remedy)
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "error")
    await expect(page.get_by_test_id("start")).to_be_visible()
    await expect(page.get_by_test_id("level")).to_have_attribute("aria-valuenow", "0")


async def refuse_microphone(page: Page, name: str) -> None:
    """What getUserMedia does where the browser, the system or the hardware says no."""
    await page.evaluate(
        """(name) => {
          navigator.mediaDevices.getUserMedia = async () => {
            throw new DOMException("no", name);
          };
        }""",
        name,
    )


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("NotAllowedError", "did not allow the microphone", "Allow it in the site settings"),
        ("NotFoundError", "No microphone was found", "Plug one in"),
        ("NotReadableError", "could not be opened", "Close other programs"),
        ("NewKindOfError", "The microphone failed", "Choose another microphone"),
    ],
)
async def test_no_microphone(
    page: Page, box: StandInBox, name: str, what: str, remedy: str
) -> None:
    await refuse_microphone(page, name)
    await page.get_by_test_id("start").click()
    await fault(page, what, remedy)
    assert not box.offers


async def test_an_insecure_origin(context: BrowserContext, box: StandInBox) -> None:
    page = await context.new_page()
    await page.goto(box.url.replace("127.0.0.1", UNTRUSTED_HOST))
    await page.get_by_test_id("start").click()
    await fault(page, "the address is not secure", "http://127.0.0.1")


async def test_a_full_box_and_a_later_try(page: Page, box: StandInBox) -> None:
    box.refuses = (503, "3 of 3 calls are under way")
    await page.get_by_test_id("start").click()
    await fault(page, "3 of 3 calls are under way", "Wait until a call ends")
    box.refuses = None
    await page.get_by_test_id("start").click()
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "listening")
    await expect(page.get_by_test_id("error")).to_be_hidden()


async def test_a_refusal_that_the_page_does_not_know(page: Page, box: StandInBox) -> None:
    box.refuses = (400, "the offer has no audio")
    await page.get_by_test_id("start").click()
    await fault(page, "HTTP 400", "log")
    await expect(page.get_by_test_id("error")).to_contain_text("the offer has no audio")


async def test_an_unreachable_box(page: Page, box: StandInBox) -> None:
    await expect(page.get_by_role("contentinfo")).to_contain_text("0 of 3 calls")
    await box.stop()
    await page.get_by_test_id("start").click()
    await fault(page, "No answer from the box at http://127.0.0.1", "offhook serve")


async def test_the_token_is_asked_for_and_kept_for_the_tab(page: Page, box: StandInBox) -> None:
    box.token = "open sesame"
    await page.reload()
    await expect(page.get_by_label("Access token of this box")).to_be_focused()
    await page.get_by_test_id("token").fill("wrong")
    await page.keyboard.press("Enter")
    await fault(page, "asks for its access token", "Enter it below")
    await expect(page.get_by_test_id("token")).to_be_focused()
    await page.get_by_test_id("token").fill("open sesame")
    await page.get_by_role("button", name="Use it and start").click()
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "listening")
    await expect(page.get_by_test_id("token-form")).to_be_hidden()
    await page.reload()
    await expect(page.get_by_role("contentinfo")).to_contain_text("0 of 3 calls")


@pytest.mark.parametrize("suffix", ["#token=open%20sesame", "?token=open%20sesame"])
async def test_the_token_in_the_address(
    context: BrowserContext, box: StandInBox, suffix: str
) -> None:
    box.token = "open sesame"
    page = await context.new_page()
    await page.goto(box.url + suffix)
    await expect(page.get_by_role("contentinfo")).to_contain_text("0 of 3 calls")
    # It must not stay where it is copied, bookmarked or looked at.
    assert page.url.rstrip("#") == box.url


async def test_stop_while_connecting(page: Page, box: StandInBox) -> None:
    box.answers_offers.clear()
    await page.get_by_test_id("start").click()
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "connecting")
    await page.get_by_test_id("stop").click()
    await expect(page.get_by_test_id("status")).to_have_text("Call ended: you hung up")
    box.answers_offers.set()
    await expect(page.get_by_test_id("error")).to_be_hidden()
    await page.get_by_test_id("start").click()
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "listening")


async def test_stop_while_the_browser_still_asks(page: Page, box: StandInBox) -> None:
    await page.evaluate(
        """() => {
          const media = navigator.mediaDevices;
          const open = media.getUserMedia.bind(media);
          const allowed = new Promise((resolve) => { window.allow = resolve; });
          media.getUserMedia = async (wanted) => {
            await allowed;
            return (window.opened = await open(wanted));
          };
        }"""
    )
    await page.get_by_test_id("start").click()
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "asking")
    await page.get_by_test_id("stop").click()
    await expect(page.get_by_test_id("status")).to_have_attribute("data-state", "ended")
    # A microphone that is allowed too late is let go of.
    await page.evaluate(
        """async () => {
          window.allow();
          while (window.opened?.getAudioTracks()[0].readyState !== "ended") {
            await new Promise((done) => setTimeout(done, 20));
          }
        }"""
    )
    assert not box.offers
