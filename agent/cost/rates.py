"""The rate file: what parts cost to own and to rent, each with its source and date."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.config import ConfigError

SHIPPED = Path(__file__).with_name("rates.toml")
STALE_AFTER = timedelta(days=180)
HOURS_PER_YEAR = Decimal(8760)

Unit = Literal["call_min", "audio_min", "kchar", "mtok_in", "mtok_cached", "mtok_out"]


class Row(BaseModel):
    """What every row says: where it was read, and as of when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1)
    as_of: date


class Electricity(Row):
    """What power costs."""

    usd_per_kwh: Decimal = Field(ge=0)


class Hardware(Row):
    """One box: bought, or rented with its power."""

    what: str
    purchase_usd: Decimal | None = Field(default=None, ge=0)
    years: Decimal | None = Field(default=None, gt=0)
    """Over how long the purchase is written off."""
    usd_per_hour: Decimal | None = Field(default=None, ge=0)
    """Rent, power included."""
    watts_idle: Decimal = Field(default=Decimal(0), ge=0)
    watts_busy: Decimal = Field(default=Decimal(0), ge=0)
    lanes: int = Field(ge=1)
    """Engine-seconds that the box offers in a second."""
    assumed: tuple[str, ...] = ()
    """Keys whose values are guesses to be replaced."""

    @property
    def box_usd_per_hour(self) -> Decimal | None:
        """Rent, or the purchase spread over its years; None where neither is known."""
        if self.usd_per_hour is not None:
            return self.usd_per_hour
        if self.purchase_usd is None or self.years is None:
            return None
        return self.purchase_usd / (self.years * HOURS_PER_YEAR)


class Price(Row):
    """One price of one vendor."""

    vendor: str
    what: str
    unit: Unit
    usd: Decimal | None = Field(default=None, ge=0)
    """US dollars a unit; None: not known."""


class RateFile(BaseModel):
    """The file as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    electricity: Electricity
    hardware: dict[str, Hardware]
    price: dict[str, Price]
    stack: dict[str, dict[Literal["telephony", "stt", "llm", "tts", "platform"], tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Rates:
    """The box's own row, and what the rented stacks charge."""

    hardware_name: str
    hardware: Hardware
    electricity: Electricity
    prices: Mapping[str, Price]
    stacks: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Stack -> line of its bill -> names of prices."""

    @property
    def as_of(self) -> date:
        """The date of the oldest row that a bill uses."""
        return min(row.as_of for row in self._used().values())

    def warnings(self, today: date) -> list[str]:
        """One line for each row in use that is over 180 days old on ``today``."""
        return [
            f"{name} is of {row.as_of}, {(today - row.as_of).days} days old"
            for name, row in sorted(self._used().items())
            if today - row.as_of > STALE_AFTER
        ]

    def _used(self) -> dict[str, Row]:
        rows: dict[str, Row] = {
            f"hardware {self.hardware_name}": self.hardware,
            "electricity": self.electricity,
        }
        for lines in self.stacks.values():
            for names in lines.values():
                rows.update({f"price {name}": self.prices[name] for name in names})
        return rows


def load_rates(
    path: Path | None = None,
    hardware: str = "generic-2-core-server",
    **overrides: Decimal | None,
) -> Rates:
    """Reads the rate file (None: the one that ships) and takes the box's row.

    ``overrides``: ``usd_per_hour``, ``usd_per_kwh``, ``watts_idle``, ``watts_busy``; None
    leaves the row's own. Raises ConfigError naming the file, the row and the remedy.
    """
    path = path or SHIPPED
    try:
        written = RateFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: the rate file cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        problems = (f"{path}: {_where(e['loc'])}: {e['msg']}" for e in error.errors())
        raise ConfigError("\n".join(problems)) from error
    for stack, lines in written.stack.items():
        for name in (name for names in lines.values() for name in names):
            _find(name, written.price, f"{path}: stack {stack!r}: no price named")
    row = _find(hardware, written.hardware, f"{path}: `hardware` in [cost]: no row named")
    given = {key: value for key, value in overrides.items() if value is not None}
    usd_per_kwh = given.pop("usd_per_kwh", written.electricity.usd_per_kwh)
    return Rates(
        hardware_name=hardware,
        hardware=row.model_copy(update=given),
        electricity=written.electricity.model_copy(update={"usd_per_kwh": usd_per_kwh}),
        prices=written.price,
        stacks={
            stack: {str(k): v for k, v in lines.items()} for stack, lines in written.stack.items()
        },
    )


T = TypeVar("T")


def _find(name: str, rows: Mapping[str, T], complaint: str) -> T:
    if name in rows:
        return rows[name]
    near = difflib.get_close_matches(name, rows, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "there are: " + ", ".join(rows)
    raise ConfigError(f"{complaint} {name!r}; {hint}")


def _where(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc)
