"""The price book: what ships is sourced, and each mistake in a file of one's own is named."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from agent.config import Config, ConfigError
from agent.cost.bill import Bill, box_of
from agent.cost.price_book import SHIPPED, PriceBook, stale
from agent.sections import CostConfig


def own(folder: Path, text: str) -> Path:
    file = folder / "my-prices.toml"
    file.write_text(text)
    return file


def test_every_shipped_row_has_its_source() -> None:
    book = PriceBook.load()
    rows = {**book.prices, **book.hardware, "e": book.electricity, "c": book.colocation}
    for row in rows.values():
        assert row.source and row.as_of <= date(2026, 11, 30)
    assert all(price.usd or price.genai for price in book.prices.values())
    assert {"Founding article: bundled agent", "OpenAI Realtime, Twilio", "Cheapest parts"} <= set(
        book.stacks
    )
    wanted = ("l4", "l40s", "4090", "h100", "h200")
    assert all(any(name in row for row in book.hardware) for name in wanted)
    assert "purchase_usd" in book.hardware["generic-2-core-server"].assumed


def test_rows_of_ones_own_are_laid_over(tmp_path: Path) -> None:
    text = """
[price.deepgram-nova-3]
usd = "0.0043"
as_of = 2026-11-20
source = "our contract"
[price.our-line]
vendor = "Us"
what = "line"
unit = "telephony_min"
usd = "0"
source = "ours"
as_of = 2026-11-20
[stack.ours]
telephony = ["our-line"]
stt = ["deepgram-nova-3"]
[electricity]
usd_per_kwh = 0.31
"""
    book = PriceBook.load(own(tmp_path, text))
    assert book.prices["deepgram-nova-3"].usd == Decimal("0.0043")
    assert book.prices["deepgram-nova-3"].vendor == "Deepgram"
    assert book.electricity.usd_per_kwh == Decimal("0.31")
    assert book.stacks["ours"] == {"telephony": ("our-line",), "stt": ("deepgram-nova-3",)}
    assert len(book.stacks) == len(PriceBook.load().stacks) + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[price.deepgram-nova-3]\nusd = "-0.01"',
            "deepgram-nova-3.usd is -0.01; it cannot be neg",
        ),
        ('[price.x]\nwhat = "w"\nunit = "kchar"', "[price.x] has no `vendor`; add it"),
        ('[price.deepgram-nova-3]\nunit = "fortnight"', "price.deepgram-nova-3.unit"),
        (
            '[price.deepgram-nova-3]\nusdd = "1"',
            "price.deepgram-nova-3.usdd: no such key; did you mean `usd`?",
        ),
        ('currency = "EUR"', "all reckoning is in US dollars"),
        ('[stack.s]\nstt = ["deepgram-nova3"]', "did you mean 'deepgram-nova-3'?"),
        ('[stack.s]\nears = ["deepgram-nova-3"]', "stack.s.ears"),
        ("[price", "not valid TOML"),
        ("[prices.x]", "no section named 'prices'; did you mean 'price'?"),
        ("price = 3", "[price] is a table"),
        ('[price."gpt-4.1"]\ngenai = "openai:gpt-99"', "does not know 'openai:gpt-99'"),
        ('[price."gpt-4.1"]\nusd = "1"', "`usd` is not for a price that genai-prices tells"),
        ("[hardware.l40s-card]\nwatts_busy = 1", "`watts_busy` is under `watts_idle`"),
        ("[hardware.l40s-card]\nlanes = 0", "hardware.l40s-card.lanes"),
        ("[electricity]\nas_of = 31", "electricity.as_of"),
        ("[electricity]\nas_of = 'yesterday'", "is 'yesterday'; write a day, such as 2026-11-30"),
        ("[electricity]\npue = 0.5", "electricity.pue is 0.5: input should be greater"),
        ('[price.deepgram-nova-3]\nusd = "€0.01"', "is '€0.01'; write a number in quotes"),
        ("[price.deepgram-nova-3]\nusd = inf", "usd is Infinity; write a number"),
        ('[price.deepgram-nova-3]\ncurrency = "EUR"', "every row is in US dollars; convert it"),
        ("[price.deepgram-nova-3]\nround_up_s = -1", "round_up_s is -1; it cannot be negative"),
        ("[price.deepgram-nova-3]\nchannels = 3", "channels is 3: input should be less"),
        ("[price.deepgram-nova-3]\nusd = 1\nusd = 2", "not valid TOML: Cannot overwrite"),
        ("[hardware.own]\nlanes = 1", "[hardware.own] has no `what`; add it"),
        ("[hardware.l40s-card]\nusd_per_hour = 1", "give one of the two"),
        ("[hardware.generic-2-core-server]\nyears = 0", "years is 0: input should be greater"),
        # Nothing named would cost nothing, which is less than unknown.
        ("[stack.s]", "stack 's' names no price, and would cost nothing"),
        ("[stack.s]\nstt = []", "`stt` names no price, and would cost nothing"),
        ('[stack.s]\nstt = "deepgram-nova-3"', "write a list of names"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = own(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        PriceBook.load(file)
    assert "my-prices.toml" in str(raised.value) and message in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: the price book cannot be read"):
        PriceBook.load(tmp_path / "none.toml")
    assert SHIPPED.is_file()


def test_old_rows_are_named(tmp_path: Path) -> None:
    book = PriceBook.load(own(tmp_path, "[electricity]\nas_of = 2026-01-01"))
    rows = {"electricity": book.electricity}
    assert stale(rows, date(2026, 6, 30)) == []
    assert stale(rows, date(2026, 7, 1)) == ["electricity is of 2026-01-01, 181 days old"]
    to_come = stale(rows, date(2025, 12, 31))
    assert to_come == ["electricity is of 2026-01-01, which is yet to come"]


def test_each_gpu_is_bought_colocated_and_by_the_hour() -> None:
    """Where nobody's price was found it is not known, and a card alone is not a whole box."""
    rows = PriceBook.load().hardware
    for card in ("l4", "rtx-4090", "l40s", "h100", "h200"):
        bought, placed = rows[f"{card}-card"], rows[f"{card}-card-colocated"]
        assert (bought.colocated, placed.colocated) == (False, True)
        assert bought.leaves_out and bought.purchase_usd == placed.purchase_usd
        hourly = [
            row for name, row in rows.items() if card in name and row.usd_per_hour is not None
        ]
        assert hourly and all(row.concurrent_calls is None for row in rows.values())
    unknown = {name for name, row in rows.items() if row.capital_usd_per_hour is None}
    assert unknown == {
        f"{card}-card{place}" for card in ("l4", "rtx-4090") for place in ("", "-colocated")
    }


def test_settings_win_over_the_row() -> None:
    book = PriceBook.load()
    box = box_of(
        book,
        CostConfig(hardware="runpod-h200", usd_per_hour=Decimal(1), usd_per_kwh=Decimal(2)),
    )
    assert box.hardware.capital_usd_per_hour == 1 and box.electricity.usd_per_kwh == 2
    with pytest.raises(ConfigError, match="did you mean 'runpod-h200'"):
        box_of(book, CostConfig(hardware="runpod-h20"))
    with pytest.raises(ConfigError, match=r"`trunk` in \[cost\]: no price named"):
        box_of(book, CostConfig(trunk="none"))


def test_a_purchase_replaces_the_rows_rent_and_rent_its_purchase() -> None:
    book = PriceBook.load()
    given = {"purchase_usd": Decimal(35_040), "years": Decimal(4)}
    bought = box_of(book, CostConfig(hardware="runpod-h200", **given))
    assert bought.hardware.capital_usd_per_hour == 1
    rented = box_of(book, CostConfig(hardware="h200-card", usd_per_hour=Decimal(3)))
    assert rented.hardware.capital_usd_per_hour == 3 and rented.hardware.purchase_usd is None
    assert box_of(book, CostConfig(purchase_usd=Decimal(876))).hardware.years == 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"purchase_usd": 1, "years": 1, "usd_per_hour": 1}, "give one of the two"),
        ({"hardware": "runpod-h200", "purchase_usd": 1}, "`purchase_usd` goes with `years`"),
        ({"watts_busy": 5}, "`watts_busy` is under `watts_idle`"),
    ],
)
def test_settings_are_held_to_the_rules_of_rows(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=r"\[cost\], over") as told:
        box_of(PriceBook.load(), CostConfig.model_validate(settings))
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("trunk", "elevenlabs-flash"),
        ("trunk_outbound", "gpt-4.1"),
        ("llm_endpoint", "deepgram-nova-3"),
    ],
)
def test_a_price_by_what_is_not_used_is_refused(key: str, name: str) -> None:
    """A thousand characters are no minute of a telephone line."""
    with pytest.raises(ConfigError, match=rf"`{key}` in \[cost\]: '{name}' is a price by"):
        Bill.load(Config.model_validate({"cost": {key: name}}))
