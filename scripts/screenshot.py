"""Takes the README's picture: a real call in a real browser, against a box that is serving.

    offhook serve &
    .venv/bin/python scripts/screenshot.py http://127.0.0.1:7860/ docs/page.png [--dark]

Chromium's microphone is fed the bench's own questions, synthesised.
"""

import argparse
import asyncio
import tempfile
import wave
from pathlib import Path

import numpy as np
from playwright.async_api import async_playwright

from latency_bench.utterance import WIRE_RATE_HZ
from models.loading import load_tts

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
QUESTIONS = ("What time does the next train leave?", "How many days are there in a week?")
GREETING_S = 6
ANSWER_S = 14


def write_microphone(path: Path) -> None:
    """The questions, with silence while the agent speaks."""
    tts = load_tts("piper-en_US-joe-medium")
    # Read at a lower rate than it was made: another voice than the agent's.
    rate_hz = round(tts.sample_rate_hz * 0.85)
    pieces = [np.zeros(GREETING_S * rate_hz, np.int16)]
    for question in QUESTIONS:
        pieces += [chunk.pcm for chunk in tts.synthesize(question)]
        pieces.append(np.zeros(ANSWER_S * rate_hz, np.int16))
    pcm = np.concatenate(pieces)
    at = np.arange(0, len(pcm), rate_hz / WIRE_RATE_HZ)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(WIRE_RATE_HZ)
        file.writeframes(np.interp(at, np.arange(len(pcm)), pcm).astype(np.int16).tobytes())


async def take(url: str, picture: Path, dark: bool) -> None:
    """Calls, waits for both answers, and keeps what the page shows."""
    with tempfile.TemporaryDirectory() as folder:
        microphone = Path(folder) / "microphone.wav"
        write_microphone(microphone)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=[*FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"],
            )
            page = await browser.new_page(
                viewport={"width": 1280, "height": 1240},
                color_scheme="dark" if dark else "light",
                device_scale_factor=1,
            )
            await page.goto(url)
            await page.get_by_test_id("start").click()
            await page.get_by_test_id(f"waterfall-{len(QUESTIONS)}").wait_for(timeout=90_000)
            await page.screenshot(path=picture)
            await page.get_by_test_id("stop").click()
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--dark", action="store_true")
    args = parser.parse_args()
    asyncio.run(take(args.url, args.picture, args.dark))
