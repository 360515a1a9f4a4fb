"""What the box says about money: one call's cost here, beside what rented parts would cost."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from agent.capacity import places_of
from agent.config import Config
from agent.cost.breakdown import CostBreakdown
from agent.cost.owned import MARGINAL, Box, Share, View, energy_is_modelled, owned_cost
from agent.cost.price_book import PriceBook, stale
from agent.cost.price_row import Hardware, Price, Row, Unit
from agent.cost.rented import rented_costs
from agent.cost.utilisation import Utilisation
from agent.sections import ConfigError, CostConfig, is_loopback
from agent.usage import Usage

log = logging.getLogger(__name__)

LINE_UNITS: tuple[Unit, ...] = ("telephony_min", "call_min")
MODEL_UNITS: tuple[Unit, ...] = ("tokens", "call_min")
"""All that a model charges: a price of the tokens read alone would leave out those it writes."""


@dataclass(frozen=True, slots=True)
class Bill:
    """The price book, this box, and how many calls share it."""

    book: PriceBook
    box: Box
    outbound_trunk: Price | None = None
    """What a minute of a call that the box places costs; None: as of those it takes."""
    capacity_calls: int | None = None
    """Calls at once that `offhook bench capacity` found this box to carry; None: not measured."""
    processes: int = 1
    """How many take calls on the box, as many as this one each; `utilisation` is this one's."""
    utilisation: Utilisation = field(default_factory=lambda: Utilisation(time.monotonic()))
    now_s: Callable[[], float] = time.monotonic

    @classmethod
    def load(cls, config: Config, today: date | None = None) -> "Bill":
        """Reads the price book with the rows of the settings; warns of old rows.

        Raises ConfigError.
        """
        cost = config.cost
        book = PriceBook.load(cost.book)
        box = _with_endpoint(box_of(book, cost), book, config)
        outbound = _price_by(LINE_UNITS, book, cost.trunk_outbound, "trunk_outbound")
        rows: dict[str, Row] = {
            f"hardware {box.name}": box.hardware,
            "electricity": box.electricity,
            f"price {cost.trunk}": book.prices[cost.trunk],
            f"price {cost.trunk_outbound}": outbound,
            **book.rows_of_stacks(),
        }
        if box.hardware.colocated:
            rows["colocation"] = box.colocation
        if cost.llm_endpoint is not None:
            rows[f"price {cost.llm_endpoint}"] = book.prices[cost.llm_endpoint]
        if old := stale(rows, today or datetime.now(UTC).date()):
            log.warning("check these prices (`book` in [cost] names a file): %s", "; ".join(old))
        places = places_of(config)
        return cls(
            book,
            box,
            outbound_trunk=outbound,
            capacity_calls=places.calls if places.source == "measured" else None,
            processes=config.workers.shared_by,
        )

    def shares(self, mean_calls: Decimal | None = None) -> dict[View, Share | None]:
        """Every view's share of the box; None where what it needs was not measured.

        ``mean_calls``: calls at once on average; None takes what this process has seen, times the
        processes that share the box.
        """
        mean = mean_calls
        if not mean and (own := self.utilisation.mean_calls(self.now_s())) is not None:
            mean = own * self.processes
        capacity = self.capacity_calls
        return {
            View.MARGINAL: MARGINAL,
            View.UTILISATION: None if mean is None else Share(View.UTILISATION, mean),
            View.CAPACITY: None if not capacity else Share(View.CAPACITY, Decimal(capacity)),
        }

    def owned(
        self, usage: Usage, *, outbound: bool = False, mean_calls: Decimal | None = None
    ) -> dict[View, CostBreakdown | None]:
        """What ``usage`` cost here, in each view; None where its share was not measured."""
        box = self._box(outbound)
        return {
            view: None if share is None else owned_cost(usage, box, share)
            for view, share in self.shares(mean_calls).items()
        }

    def work_usd(self, usage: Usage) -> Decimal | None:
        """What the work of one turn cost here: energy, and its engine-seconds of the box."""
        turn = replace(usage, call_s=0.0)
        return owned_cost(turn, self.box, Share(View.CAPACITY, Decimal(1))).total_usd

    def owned_usd(self, usage: Usage, *, outbound: bool = False) -> Decimal | None:
        """What a call cost here at measured utilisation, or, where that is not known yet, as the
        only call of the box; None where the box's price is not known."""
        return self._headline(usage, outbound).total_usd

    def _headline(self, usage: Usage, outbound: bool) -> CostBreakdown:
        cost = self.owned(usage, outbound=outbound)[View.UTILISATION]
        if cost is not None:
            return cost
        alone = owned_cost(usage, self._box(outbound), Share(View.UTILISATION, Decimal(1)))
        return CostBreakdown(alone.lines_usd, "as the only call of the box")

    def _box(self, outbound: bool) -> Box:
        if outbound and self.outbound_trunk is not None:
            return replace(self.box, trunk=self.outbound_trunk)
        return self.box

    def rented(self, usage: Usage) -> dict[str, CostBreakdown]:
        """What it would have cost on each rented stack, by stack."""
        return {each.stack: each.cost for each in rented_costs(usage, self.book)}

    def rented_usd(self, usage: Usage) -> dict[str, Decimal | None]:
        """The totals of the same; None where a price is not known."""
        return {stack: cost.total_usd for stack, cost in self.rented(usage).items()}

    def to_json(self, usage: Usage, *, outbound: bool = False) -> dict[str, Any]:
        """Both sides for the page, dollars as numbers, null where a price is not known."""
        shares = self.shares()
        headline = self._headline(usage, outbound)
        return {
            "call_s": usage.call_s,
            "owned": {
                **_as_json(headline, usage),
                "view": headline.view,
                "hardware": self.box.hardware.what,
                "assumed": list(self.box.hardware.assumed),
                "energy": "modelled" if energy_is_modelled(usage) else "measured",
                "views": [
                    {
                        "view": view.value,
                        "calls": _number(share.calls)
                        if share and view is not View.MARGINAL
                        else None,
                        **_as_json(cost, usage),
                    }
                    for (view, cost), share in zip(
                        self.owned(usage, outbound=outbound).items(), shares.values(), strict=True
                    )
                ],
            },
            "rented": [
                {"stack": stack, **_as_json(cost, usage)}
                for stack, cost in self.rented(usage).items()
            ],
            "as_of": min(row.as_of for row in self.book.rows_of_stacks().values()).isoformat(),
        }


def box_of(book: PriceBook, cost: CostConfig) -> Box:
    """The box of the settings: a row of the book, and what differs from it. Raises ConfigError.

    A purchase takes the place of the row's rent, and rent that of its purchase.
    """
    given = cost.model_dump(exclude_none=True)

    def over(*names: str) -> dict[str, Any]:
        return {name: given[name] for name in names if name in given}

    changes = over(
        "purchase_usd",
        "years",
        "usd_per_hour",
        "operations_usd_per_month",
        "colocated",
        "watts_idle",
        "watts_busy",
    )
    row = book.hardware_row(cost.hardware).model_dump()
    if "purchase_usd" in changes:
        row["usd_per_hour"] = None
    elif "usd_per_hour" in changes:
        row["purchase_usd"] = None
    try:
        hardware = Hardware.model_validate({**row, **changes})
    except ValidationError as error:
        # Each key by itself was checked with the settings; what is left are rules of rows.
        said = "; ".join(str(each["ctx"]["error"]) for each in error.errors() if "ctx" in each)
        raise ConfigError(f"[cost], over {cost.hardware!r}: {said}") from error
    return Box(
        name=cost.hardware,
        hardware=hardware,
        electricity=book.electricity.model_copy(update=over("usd_per_kwh", "pue")),
        colocation=book.colocation.model_copy(update=over("usd_per_kw_month")),
        trunk=_price_by(LINE_UNITS, book, cost.trunk, "trunk"),
    )


def _with_endpoint(box: Box, book: PriceBook, config: Config) -> Box:
    """``box``, with what a language model elsewhere charges. Raises ConfigError."""
    name = config.cost.llm_endpoint
    price = None if name is None else _price_by(MODEL_UNITS, book, name, "llm_endpoint")
    host = urlsplit(config.llm.endpoint or "").hostname or "localhost"
    if is_loopback(host) and price is None:
        # The box's own, on the same machine.
        return box
    return replace(box, llm_elsewhere=config.llm.endpoint is not None, llm_price=price)


def _price_by(units: tuple[Unit, ...], book: PriceBook, name: str, key: str) -> Price:
    """The price that a key of [cost] names, by one of ``units``. Raises ConfigError."""
    price = book.price(name, f"`{key}` in [cost]")
    if price.unit not in units:
        raise ConfigError(
            f"`{key}` in [cost]: {name!r} is a price by {price.unit}; name one by "
            f"{' or '.join(units)}"
        )
    return price


def _as_json(cost: CostBreakdown | None, usage: Usage) -> dict[str, Any]:
    if cost is None:
        return {"total_usd": None, "usd_per_min": None, "lines": {}}
    return {
        "total_usd": _number(cost.total_usd),
        "usd_per_min": _number(cost.usd_per_min(usage.call_s)),
        "lines": {line: _number(usd) for line, usd in cost.lines_usd.items()},
    }


def _number(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
