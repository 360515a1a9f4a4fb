"""A whole call from a real browser: Chromium, its microphone fed from a recording."""

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest
from boxes import OpenBox, web
from loopback_caller import word_error_rate
from playwright.async_api import async_playwright
from spoken import Question

from agent.engines import Engines

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
LIMIT_MS = 60_000
MICROPHONE_RATE_HZ = 48_000
RECORD_WHAT_COMES_BACK = """
const Real = RTCPeerConnection;
window.heard = [];
window.RTCPeerConnection = class extends Real {
  constructor(...args) {
    super(...args);
    this.addEventListener("track", async (event) => {
      const context = new AudioContext({ sampleRate: 16000 });
      await context.resume();
      const source = context.createMediaStreamSource(new MediaStream([event.track]));
      const tap = context.createScriptProcessor(4096, 1, 1);
      tap.onaudioprocess = (e) => window.heard.push(...e.inputBuffer.getChannelData(0));
      source.connect(tap);
      tap.connect(context.destination);
    });
  }
};
"""


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium: apt-get install chromium")
async def test_a_browser_talks_and_is_talked_to(
    open_box: OpenBox, engines: Engines, questions: list[Question], tmp_path: Path
) -> None:
    microphone = tmp_path / "microphone.wav"
    write_microphone(microphone, questions[0])
    async with (
        open_box(OFFHOOK_SERVER__PORT="0") as box,
        web(box) as server,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"],
        )
        page = await browser.new_page()
        page.set_default_timeout(LIMIT_MS)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.add_init_script(RECORD_WHAT_COMES_BACK)
        await page.goto(server.url)
        await page.get_by_test_id("start").click()
        await page.get_by_test_id("waterfall-1").wait_for()
        heard = await page.get_by_test_id("words-caller-1").inner_text()
        answer = await page.get_by_test_id("words-agent-1").inner_text()
        total_ms = float(
            await page.get_by_test_id("waterfall-1").get_attribute("data-total-ms") or "nan"
        )
        step = page.get_by_test_id("waterfall-1").get_by_test_id("step-first_packet").first
        await page.wait_for_timeout(500)
        back = np.array(await page.evaluate("window.heard"), np.float32)
        await page.get_by_test_id("stop").click()
        await asyncio.wait_for(call_over(box), 15)
        assert faults == []
        assert word_error_rate(questions[0].text, heard) <= 0.5, heard
        assert total_ms > 0
        assert float(await step.get_attribute("data-ms") or "nan") >= 0
        await browser.close()
        box.store.flush(5)
        _, turns = box.store.call(box.store.recent_calls(1)[0].call_id)
        assert turns[1].trace.total_ms == pytest.approx(total_ms, abs=1)
        assert np.abs(back).max() > 0.05, "no audible sound came back"
        returned = engines.stt.transcribe((back * 32767).astype(np.int16), 16000).text
        meant = f"{box.config.agent.greeting} {answer}"
        assert word_error_rate(meant, returned) < 0.5, (meant, returned)


async def call_over(box) -> None:  # type: ignore[no-untyped-def]
    while box.active_calls:
        await asyncio.sleep(0.05)


def write_microphone(path: Path, question: Question) -> None:
    """Silence while the greeting plays, the question, then silence."""
    silence = bytes(2 * MICROPHONE_RATE_HZ * 6)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE_HZ)
        file.writeframes(silence + question.at(MICROPHONE_RATE_HZ) + silence * 5)
