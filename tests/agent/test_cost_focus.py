"""FOCUS 1.2: its columns, its words, and the same dollars as the report.

What each column may hold is from the FinOps Foundation's specification (specification/columns of
its repository, 1.2).
"""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agent.cost.bill import Bill
from agent.cost.focus import COLUMNS, focus_csv
from agent.cost.measured import measure
from agent.cost.owned import Box, View
from agent.cost.price_book import PriceBook
from agent.cost.price_row import Hardware
from agent.records.record import CallRecord
from agent.usage import Usage

LAST_DAY = datetime(2026, 12, 31, 12, 0, 0, 250_000, tzinfo=UTC)
BOOK = PriceBook.load()
BOX = Box(
    name="box",
    hardware=Hardware(
        what="a box", usd_per_hour=Decimal("3.6"), lanes=2, source="test", as_of=LAST_DAY.date()
    ),
    electricity=BOOK.electricity,
    colocation=BOOK.colocation,
    trunk=BOOK.prices["telnyx-sip-inbound"],
)
BILL = Bill(BOOK, BOX)
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName",
}  # fmt: skip
NULL = {"ChargeClass", "InvoiceId"}
"""Null for a charge that corrects none, and that nobody invoices."""
SUBCATEGORIES = {
    "AI and Machine Learning": {
        "Generative AI", "Machine Learning", "Other (AI and Machine Learning)"
    },
    "Compute": {"Other (Compute)"},
    "Networking": {"Other (Networking)"},
}  # fmt: skip
NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


def call(name: str, minute: int, **given: object) -> CallRecord:
    usage = Usage(
        call_s=60.0,
        telephony_s=60.0,
        stt_busy_s=1.0,
        llm_busy_s=2.0,
        tts_busy_s=0.5,
        llm_wasted_s=0.25,
    )
    began = LAST_DAY + timedelta(minutes=minute)
    record = CallRecord(
        name, began, "sip", "+15550001", "Joe", ended_at=began + timedelta(seconds=60), usage=usage
    )
    return replace(record, **given)  # type: ignore[arg-type]


CALLS = [
    call("a", 0, workflow="orders", outcome="resolved"),
    call("b", 5, tenant="Acme", usage=Usage(call_s=60.0, tts_busy_s=1.0)),
    call("c", 9, ended_at=None),
]


def rows_of(view: View = View.UTILISATION, bill: Bill = BILL) -> list[dict[str, str]]:
    together = measure(CALLS, bill)
    assert together is not None
    text = focus_csv(CALLS, bill, view, together.mean_calls)
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_are_those_of_the_specification() -> None:
    assert set(COLUMNS) >= MANDATORY and len(set(COLUMNS)) == len(COLUMNS)
    assert list(COLUMNS) == sorted(COLUMNS)
    # Asked for only where there are published unit prices, and then with values.
    assert not {"ListUnitPrice", "ContractedUnitPrice", "SkuId", "SkuPriceId"} & set(COLUMNS)
    for row in rows_of():
        assert tuple(row) == COLUMNS
        for name, value in row.items():
            assert (value == "") == (name in NULL), name


def test_values_are_of_its_formats_and_words() -> None:
    for row in rows_of():
        for name in COLUMNS:
            if name.endswith(("Cost", "Quantity")):
                assert NUMBER.match(row[name]), (name, row[name])
            if name.endswith(("PeriodStart", "PeriodEnd")):
                assert MOMENT.match(row[name])
        assert row["BilledCost"] == row["EffectiveCost"] == row["ListCost"] == row["ContractedCost"]
        assert row["ChargeCategory"] == "Usage" and row["ChargeFrequency"] == "Usage-Based"
        assert row["BillingCurrency"] == "USD"
        assert row["ServiceSubcategory"] in SUBCATEGORIES[row["ServiceCategory"]]
        assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (
            "2026-12-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        )
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert all(key.startswith("offhook/") for key in json.loads(row["Tags"]))


def test_a_row_for_each_line_of_each_call() -> None:
    rows = rows_of()
    services = {name: [r["ServiceName"] for r in rows if r["ResourceId"] == name] for name in "abc"}
    assert services["a"] == [
        "Speech recognition",
        "Language model",
        "Speech synthesis",
        "Unused work",
        "Idle capacity",
        "Telephone line",
    ]
    assert services["b"] == ["Speech synthesis", "Idle capacity"] and services["c"] == []
    first = rows[0]
    assert json.loads(first["Tags"])["offhook/outcome"] == "resolved"
    assert (first["ChargePeriodStart"], first["ChargePeriodEnd"]) == (
        "2026-12-31T12:00:00Z",
        "2026-12-31T12:01:01Z",
    )
    assert (first["ConsumedQuantity"], first["ConsumedUnit"]) == ("1.000000", "Seconds")
    assert (first["SubAccountId"], first["SubAccountType"]) == ("agent", "Agent profile")
    assert (rows[-1]["SubAccountId"], rows[-1]["SubAccountType"]) == ("Acme", "Tenant")


@pytest.mark.parametrize("view", [View.MARGINAL, View.UTILISATION])
def test_its_dollars_are_the_reports(view: View) -> None:
    together = measure(CALLS, BILL)
    cost = together.owned[view] if together else None
    assert cost is not None
    rows = rows_of(view)
    assert sum(Decimal(row["BilledCost"]) for row in rows) == pytest.approx(cost.total_usd)
    assert {row["x_View"] for row in rows} == {view.value}


def test_what_is_not_known_has_no_row() -> None:
    assert rows_of(View.CAPACITY) == []
    lineless = replace(BILL, box=replace(BOX, trunk=None))
    assert "Telephone line" not in {row["ServiceName"] for row in rows_of(bill=lineless)}
