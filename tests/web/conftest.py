"""A headless Chromium with a WAV file as its microphone, and a stand-in box to call."""

import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from stand_in_box import StandInBox

LIMIT_MS = 15_000
UNTRUSTED_HOST = "box.test"
"""Resolves to loopback in these browsers, but is no secure origin."""

expect.set_options(timeout=LIMIT_MS)


def _microphone(path: Path) -> None:
    """Bursts of a buzz, which noise suppression takes for a voice rather than for noise."""
    rate_hz = 48_000
    at_s = np.arange(4 * rate_hz) / rate_hz
    buzz = sum(np.sin(2 * np.pi * 140 * n * at_s) / n for n in range(1, 20))
    envelope = np.clip(np.sin(2 * np.pi * 2.5 * at_s), 0, 1)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes((9000 * buzz * envelope).clip(-32767, 32767).astype("<i2").tobytes())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    microphone = tmp_path_factory.mktemp("microphone") / "buzz.wav"
    _microphone(microphone)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}",
                f"--host-resolver-rules=MAP {UNTRUSTED_HOST} 127.0.0.1",
            ],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def box() -> AsyncIterator[StandInBox]:
    box = StandInBox()
    await box.start()
    yield box
    await box.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(LIMIT_MS)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext, box: StandInBox) -> AsyncIterator[Page]:
    """The page, opened; a script error or a blocked resource on it fails the test."""
    page = await context.new_page()
    defects: list[str] = []
    page.on("pageerror", lambda error: defects.append(str(error)))
    page.on(
        "console",
        # A refused request is what some tests are about; the rest is a defect.
        lambda message: (
            defects.append(message.text)
            if message.type == "error" and not message.text.startswith("Failed to load resource")
            else None
        ),
    )
    await page.goto(box.url)
    yield page
    assert not defects
