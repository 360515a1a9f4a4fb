"""Owned bills in the columns of FOCUS 1.2, the FinOps Foundation's specification. Pure.

One row is one line of one call's bill. A box of one's own is no vendor: nobody invoices it, so
billed, list and contracted cost are the effective one, and there is neither an invoice nor a price
list. That leaves out the columns which FOCUS asks for only where those exist (unit prices, SKUs,
pricing categories, commitments, regions). Columns that are not FOCUS's begin with ``x_``; tags that
the box sets itself begin with ``offhook/``, as it asks of those of a provider.
"""

import csv
import io
import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agent.cost.bill import Bill
from agent.cost.owned import View
from agent.records.record import CallRecord

PROVIDER = "Offhook (own box)"
COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_Hardware",
    "x_View",
)
_SERVICES = {
    "turn_taking": ("AI and Machine Learning", "Machine Learning", "Turn taking"),
    "stt": ("AI and Machine Learning", "Machine Learning", "Speech recognition"),
    "llm": ("AI and Machine Learning", "Generative AI", "Language model"),
    "tts": ("AI and Machine Learning", "Generative AI", "Speech synthesis"),
    "discarded": ("AI and Machine Learning", "Other (AI and Machine Learning)", "Unused work"),
    "idle": ("Compute", "Other (Compute)", "Idle capacity"),
    "trunk": ("Networking", "Other (Networking)", "Telephone line"),
}
"""Line -> FOCUS's category and subcategory, and the service's name."""


def focus_csv(
    records: Iterable[CallRecord],
    bill: Bill,
    view: View,
    mean_calls: Decimal | None,
    account: str = "offhook",
) -> str:
    """Calls that are over, as CSV with a header, priced as the report prices them.

    ``mean_calls``: calls at once on average. Lines whose cost is not known are left out, since
    FOCUS has no word for unknown, and so are those with neither cost nor quantity.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for call in records:
        if call.ended_at is None or call.usage.call_s <= 0:
            continue
        outbound = call.direction == "outbound"
        cost = bill.owned(call.usage, outbound=outbound, mean_calls=mean_calls)[view]
        for line, usd in ({} if cost is None else cost.lines_usd).items():
            quantity = _quantity_s(call, line)
            if usd is not None and (usd or quantity):
                row = _charge(call, line, usd, quantity)
                writer.writerow(
                    {
                        **row,
                        "BillingAccountId": account,
                        "BillingAccountName": account,
                        "x_Hardware": bill.box.name,
                        "x_View": view.value,
                    }
                )
    return out.getvalue()


def _charge(call: CallRecord, line: str, usd: Decimal, quantity_s: Decimal) -> dict[str, str]:
    category, subcategory, service = _SERVICES[line]
    month, next_month = _month(call.started_at)
    cost, quantity = format(usd, "f"), format(quantity_s, "f")
    ended_at = call.started_at if call.ended_at is None else call.ended_at
    return {
        **dict.fromkeys(COLUMNS, ""),
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), quantity),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Seconds"),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), PROVIDER),
        **_sub_account(call),
        "BillingCurrency": "USD",
        "BillingPeriodStart": month,
        "BillingPeriodEnd": next_month,
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{service} for call {call.call_id}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _time(call.started_at),
        # The end is exclusive, and seconds are whole.
        "ChargePeriodEnd": _time(
            datetime.fromtimestamp(math.ceil(ended_at.timestamp()), UTC)
            if ended_at > call.started_at
            else call.started_at + timedelta(seconds=1)
        ),
        "ResourceId": call.call_id,
        "ResourceName": call.call_id,
        "ResourceType": "Call",
        "ServiceCategory": category,
        "ServiceName": service,
        "ServiceSubcategory": subcategory,
        "Tags": json.dumps(_tags(call)),
    }


def _sub_account(call: CallRecord) -> dict[str, str]:
    kind = "Tenant" if call.tenant else "Agent profile"
    name = call.tenant or call.profile or "agent"
    return {"SubAccountId": name, "SubAccountName": name, "SubAccountType": kind}


def _tags(call: CallRecord) -> dict[str, str]:
    tags = {
        "door": call.door,
        "outcome": call.outcome,
        "profile": call.profile,
        "trunk": call.trunk,
        "workflow": call.workflow,
    }
    return {f"offhook/{key}": value for key, value in tags.items() if value}


def _quantity_s(call: CallRecord, line: str) -> Decimal:
    """Engine-seconds of a stage; connected seconds of what is paid by them."""
    usage = call.usage
    if line == "discarded":
        seconds = sum(usage.wasted_s.values())
    elif line == "trunk":
        seconds = usage.telephony_s
    elif line == "idle":
        seconds = usage.call_s
    else:
        seconds = usage.busy_s[line] - usage.wasted_s[line]
    return Decimal(f"{max(0.0, seconds):.6f}")


def _month(at: datetime) -> tuple[str, str]:
    first = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=31)).replace(day=1)
    return _time(first), _time(following)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
