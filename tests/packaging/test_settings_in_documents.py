"""Settings that the documents give are settings that Offhook takes, and Kamailio's that it does."""

import base64
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from agent.config import load_config
from agent.cost.price_book import PriceBook
from latency_bench.scenario import read_scenario

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LIMIT_S = 30
KEY = base64.b64encode(bytes(32)).decode()


def blocks(language: str) -> list[tuple[str, str]]:
    """Every block of ``language`` in the documents, under its document's name and line."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        # A block in a list is indented with it.
        for block in re.finditer(rf"^( *)```{language}\n(.*?)^\1```", text, re.M | re.S):
            line = text.count("\n", 0, block.start()) + 1
            lines = block[2].splitlines()
            body = "\n".join(part.removeprefix(block[1]) for part in lines)
            found.append((f"{document.relative_to(ROOT)}:{line}", body + "\n"))
    return found


SCENARIOS = [block for block in blocks("toml") if block[0].startswith("docs/scenarios.md:")]
PRICES = [block for block in blocks("toml") if block[1].startswith("# my-prices.toml")]
TOML = [block for block in blocks("toml") if block not in SCENARIOS + PRICES]
KAMAILIO = blocks("kamailio")


def test_there_are_settings_in_the_documents() -> None:
    documents = {place.partition(":")[0] for place, _ in TOML}
    phones = {f"docs/phone/{name}.md" for name in ("telnyx", "twilio", "freepbx", "kamailio")}
    assert documents >= {"README.md", "docs/configuration.md", "docs/trunks.md", *phones}


@pytest.mark.parametrize(("place", "text"), SCENARIOS, ids=[place for place, _ in SCENARIOS])
def test_a_scenario_in_a_document_is_taken(place: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    assert read_scenario(tmp_path / "mine.toml").steps


@pytest.mark.parametrize(("place", "text"), TOML, ids=[place for place, _ in TOML])
def test_settings_in_a_document_are_taken(place: str, text: str, tmp_path: Path) -> None:
    settings = tmp_path / "offhook.toml"
    # What a reader has to fill in is as long as a key of the carriers'.
    settings.write_text(text.replace('"..."', f'"{KEY}"'))
    named = re.findall(r'^\w+_env = "(\w+)"', text, re.M)
    load_config(settings, {"OFFHOOK_TOKEN": "t", **dict.fromkeys(named, "secret")})


@pytest.mark.parametrize(("place", "text"), PRICES, ids=[place for place, _ in PRICES])
def test_prices_in_a_document_are_taken(place: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "my-prices.toml").write_text(text)
    book = PriceBook.load(tmp_path / "my-prices.toml")
    mine = tomllib.loads(text)
    assert set(mine["stack"]) <= set(book.stacks)
    assert all(str(book.prices[name].usd) == row["usd"] for name, row in mine["price"].items())


def test_there_are_prices_in_the_documents() -> None:
    assert PRICES


@pytest.mark.parametrize(("place", "text"), KAMAILIO, ids=[place for place, _ in KAMAILIO])
def test_kamailio_takes_its_configuration(place: str, text: str, tmp_path: Path) -> None:
    kamailio = shutil.which("kamailio", path=os.environ["PATH"] + ":/usr/sbin")
    if kamailio is None:
        pytest.skip("needs Kamailio: apt-get install kamailio")
    settings = tmp_path / "kamailio.cfg"
    settings.write_text(text)
    checked = subprocess.run(
        [kamailio, "-c", "-E", "-f", str(settings), "-w", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert checked.returncode == 0, checked.stderr
