"""The price book: what parts cost to own and to rent, each with its source and date."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.cost.language_model_rates import check_known
from agent.cost.price_book_errors import CURRENCY, complaints, no_parts, wrong_currency
from agent.cost.price_row import Colocation, Electricity, Hardware, Price, Row
from agent.sections import ConfigError

SHIPPED = Path(__file__).with_name("price_book.toml")
STALE_AFTER = timedelta(days=180)

Part = Literal["telephony", "stt", "llm", "tts", "platform"]
Stack = Mapping[str, tuple[str, ...]]
"""Part of the bill -> names of prices."""


class _Written(BaseModel):
    """The book as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str
    electricity: Electricity
    colocation: Colocation
    hardware: dict[str, Hardware]
    price: dict[str, Price]
    stack: dict[str, dict[Part, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All rows, valid and complete."""

    electricity: Electricity
    colocation: Colocation
    hardware: Mapping[str, Hardware]
    prices: Mapping[str, Price]
    stacks: Mapping[str, Stack]

    @classmethod
    def load(cls, own: Path | None = None) -> "PriceBook":
        """The book that ships, with the rows of ``own`` over it.

        A row of ``own`` may give only the keys that differ; a stack replaces the whole stack.
        Raises ConfigError naming the file, the row and the remedy.
        """
        tree = _read(SHIPPED)
        label = SHIPPED.name
        if own is not None:
            mine = _read(own.expanduser())
            if "currency" in mine and mine["currency"] != CURRENCY:
                raise ConfigError(wrong_currency(own, mine["currency"]))
            tree, label = _merged(tree, mine, own), str(own)
        if tree.get("currency") != CURRENCY:
            raise ConfigError(wrong_currency(Path(label), tree.get("currency")))
        try:
            written = _Written.model_validate(tree)
        except ValidationError as error:
            raise ConfigError("\n".join(complaints(label, error))) from error
        for stack, parts in written.stack.items():
            if not parts or not all(parts.values()):
                raise ConfigError(no_parts(label, stack, parts))
            for name in (name for names in parts.values() for name in names):
                find(name, written.price, f"{label}: stack {stack!r}: no price named")
        for name, price in written.price.items():
            check_known(price, label, name)
        return cls(
            electricity=written.electricity,
            colocation=written.colocation,
            hardware=written.hardware,
            prices=written.price,
            stacks={
                name: {str(part): names for part, names in parts.items()}
                for name, parts in written.stack.items()
            },
        )

    def hardware_row(self, name: str) -> Hardware:
        """The row of that name. Raises ConfigError."""
        return find(name, self.hardware, "`hardware` in [cost]: no row named")

    def price(self, name: str, asked_by: str) -> Price:
        """The price of that name; ``asked_by`` says who wants it. Raises ConfigError."""
        return find(name, self.prices, f"{asked_by}: no price named")

    def rows_of_stacks(self) -> dict[str, Row]:
        """Every price that a stack is charged by."""
        names = {n for parts in self.stacks.values() for named in parts.values() for n in named}
        return {f"price {name}": self.prices[name] for name in sorted(names)}


def stale(rows: Mapping[str, Row], today: date) -> list[str]:
    """One line for each row that is over 180 days old on ``today``, or of a day to come."""
    lines = []
    for name, row in sorted(rows.items()):
        age = today - row.as_of
        if age > STALE_AFTER:
            lines.append(f"{name} is of {row.as_of}, {age.days} days old")
        elif age < timedelta(0):
            lines.append(f"{name} is of {row.as_of}, which is yet to come")
    return lines


T = TypeVar("T")


def find(name: str, rows: Mapping[str, T], complaint: str) -> T:
    """``rows[name]``. Raises ConfigError with ``complaint`` and the nearest name."""
    if name in rows:
        return rows[name]
    near = difflib.get_close_matches(name, rows, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "there are: " + ", ".join(rows)
    raise ConfigError(f"{complaint} {name!r}; {hint}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"{path}: the price book cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the price book is no UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _merged(shipped: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """``own`` over ``shipped``, row by row. Raises ConfigError."""
    tree = dict(shipped)
    for section, rows in own.items():
        if section == "currency":
            continue
        find(section, shipped, f"{path}: no section named")
        if not isinstance(rows, Mapping):
            raise ConfigError(f"{path}: [{section}] is a table")
        if section in ("electricity", "colocation"):
            tree[section] = {**shipped[section], **rows}
        else:
            tree[section] = {**shipped[section], **_rows(section, shipped[section], rows, path)}
    return tree


def _rows(
    section: str, shipped: Mapping[str, Any], own: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    merged = {}
    for name, row in own.items():
        if not isinstance(row, Mapping):
            raise ConfigError(f"{path}: [{section}.{name}] is a table")
        replaces = section == "stack"
        merged[name] = dict(row) if replaces else {**shipped.get(name, {}), **row}
    return merged
