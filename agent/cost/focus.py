"""Owned bills in the columns of FOCUS 1.2, the FinOps Foundation's specification. Pure.

One row is one line of one call's bill. A box of one's own is no vendor: nobody invoices it, so
billed, list and contracted cost are the effective one. Columns that are not FOCUS's begin with
``x_``, as it asks; categories are of its lists (FOCUS_Spec, specification/columns).
"""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

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
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_View",
)
_SERVICES = {
    "turn_taking": ("AI and Machine Learning", "Generative AI", "Turn taking"),
    "stt": ("AI and Machine Learning", "Generative AI", "Speech recognition"),
    "llm": ("AI and Machine Learning", "Generative AI", "Language model"),
    "tts": ("AI and Machine Learning", "Generative AI", "Speech synthesis"),
    "discarded": ("AI and Machine Learning", "Generative AI", "Work thrown away"),
    "idle": ("Compute", "Other (Compute)", "Idle capacity"),
    "trunk": ("Networking", "Other (Networking)", "Telephone line"),
}
"""Line -> FOCUS's category and subcategory, and the service's name."""


def focus_csv(
    records: Iterable[CallRecord], view: View, hardware: str, account: str = "offhook"
) -> str:
    """Calls that are over, as CSV with a header; a line whose cost is not known is left out, since
    FOCUS has no word for unknown, and calls without that view have no rows."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for call in records:
        lines = call.owned_lines.get(view.value)
        if call.ended_at is None or lines is None:
            continue
        for line, usd in lines.items():
            if usd is not None:
                writer.writerow(_row(call, call.ended_at, line, usd, view, hardware, account))
    return out.getvalue()


def _row(
    call: CallRecord,
    ended_at: datetime,
    line: str,
    usd: Decimal,
    view: View,
    hardware: str,
    account: str,
) -> dict[str, str]:
    category, subcategory, service = _SERVICES[line]
    month, next_month = _month(call.started_at)
    quantity = _quantity(call, line)
    cost = format(usd, "f")
    return {
        **dict.fromkeys(COLUMNS, ""),
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost),
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingCurrency": "USD",
        "BillingPeriodStart": month,
        "BillingPeriodEnd": next_month,
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{service}, call {call.call_id}, {view.value}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _time(call.started_at),
        "ChargePeriodEnd": _time(ended_at),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": "Seconds",
        "InvoiceIssuerName": PROVIDER,
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": "Seconds",
        "ProviderName": PROVIDER,
        "PublisherName": PROVIDER,
        "ResourceId": call.call_id,
        "ResourceName": call.call_id,
        "ResourceType": "Call",
        "ServiceCategory": category,
        "ServiceName": service,
        "ServiceSubcategory": subcategory,
        "SkuId": f"{hardware}/{line}",
        "SkuPriceId": f"{hardware}/{line}/{view.value}",
        "SubAccountId": call.tenant or call.profile or "agent",
        "SubAccountName": call.tenant or call.profile or "agent",
        "Tags": json.dumps(
            {
                "door": call.door,
                "outcome": call.outcome,
                "profile": call.profile,
                "trunk": call.trunk,
                "workflow": call.workflow,
            }
        ),
        "x_View": view.value,
    }


def _quantity(call: CallRecord, line: str) -> str:
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
    return f"{max(0.0, seconds):.3f}"


def _month(at: datetime) -> tuple[str, str]:
    first = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if first.month == 12:
        following = first.replace(year=first.year + 1, month=1)
    else:
        following = first.replace(month=first.month + 1)
    return _time(first), _time(following)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
