"""The rows of the price book, and what a vendor's billing rules make of a quantity. Pure."""

from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

HOURS_PER_YEAR = Decimal(8760)
HOURS_PER_MONTH = Decimal(730)

Unit = Literal[
    "call_min",
    "telephony_min",
    "audio_min",
    "speech_min",
    "kchar",
    "mtok_in",
    "mtok_cached",
    "mtok_out",
    "tokens",
    "audio_tokens",
]
"""What is counted. ``call_min``: connected time. ``telephony_min``: connected time over a telephone
line. ``audio_min``: while a recogniser's stream is open, the whole call. ``speech_min``: the
agent's speech. ``kchar``: 1,000 characters spoken. ``mtok_*``: a million tokens. ``tokens``: all of
a text model's, at the rates of the genai-prices package. ``audio_tokens``: those of a
speech-to-speech model, at the same package's."""


class Row(BaseModel):
    """What every row says: where it was read, and as of when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1)
    as_of: date


class Electricity(Row):
    """What power costs."""

    usd_per_kwh: Decimal = Field(ge=0)
    pue: Decimal = Field(default=Decimal(1), ge=1)
    """Power that the building takes for each that the box takes."""


class Colocation(Row):
    """What a place in a data centre costs, power extra."""

    usd_per_kw_month: Decimal = Field(ge=0)


class Hardware(Row):
    """One box: bought, or rented with its power."""

    what: str
    purchase_usd: Decimal | None = Field(default=None, ge=0)
    years: Decimal | None = Field(default=None, gt=0)
    """Over how long the purchase is written off."""
    usd_per_hour: Decimal | None = Field(default=None, ge=0)
    """Rent, power included."""
    operations_usd_per_month: Decimal = Field(default=Decimal(0), ge=0)
    """Who looks after it, spares, the network: what else it costs whether busy or not."""
    colocated: bool = False
    """Whether it stands in a data centre that charges for its place."""
    watts_idle: Decimal = Field(default=Decimal(0), ge=0)
    watts_busy: Decimal = Field(default=Decimal(0), ge=0)
    lanes: int = Field(ge=1)
    """Engine-seconds that the box offers in a second."""
    concurrent_calls: int | None = Field(default=None, ge=1)
    """Calls at once that it carries; None: not known."""
    assumed: tuple[str, ...] = ()
    """Keys whose values are guesses to be replaced."""
    leaves_out: str = ""
    """What a working box needs besides, and this price lacks; empty: nothing."""

    @model_validator(mode="after")
    def _busy_is_not_under_idle(self) -> Self:
        if self.watts_busy and self.watts_busy < self.watts_idle:
            raise ValueError("`watts_busy` is under `watts_idle`; it is the draw under full work")
        return self

    @model_validator(mode="after")
    def _bought_or_rented(self) -> Self:
        if self.usd_per_hour is not None and self.purchase_usd is not None:
            raise ValueError(
                "a box is bought (`purchase_usd`) or rented (`usd_per_hour`); give one of the two"
            )
        if self.purchase_usd is not None and self.years is None:
            raise ValueError("`purchase_usd` goes with `years`, over which it is written off")
        return self

    @property
    def capital_usd_per_hour(self) -> Decimal | None:
        """Rent, or the purchase spread over its years; None where neither is known."""
        if self.usd_per_hour is not None:
            return self.usd_per_hour
        if self.purchase_usd is None or self.years is None:
            return None
        return self.purchase_usd / (self.years * HOURS_PER_YEAR)


class Price(Row):
    """One price of one vendor, and the rules it bills by."""

    vendor: str = Field(min_length=1)
    what: str
    unit: Unit
    usd: Decimal | None = Field(default=None, ge=0)
    """US dollars a unit; None: not known."""
    usd_outbound: Decimal | None = Field(default=None, ge=0)
    """US dollars a minute of a line that the box dialled; None: not known. Of ``telephony_min``."""
    genai: str = Field(default="", pattern=r"^([a-z0-9-]+:.+)?$")
    """``provider:model`` in genai-prices, for ``tokens`` and ``audio_tokens``."""
    round_up_s: Decimal = Field(default=Decimal(0), ge=0)
    """Time is billed in whole such steps, call by call; 60: every minute begun."""
    minimum_s: Decimal = Field(default=Decimal(0), ge=0)
    """A call shorter than this is billed as this long."""
    channels: int = Field(default=1, ge=1, le=2)
    """Streams that are billed: 2 where both sides are transcribed."""

    @model_validator(mode="after")
    def _keys_go_with_the_unit(self) -> Self:
        if (self.unit in ("tokens", "audio_tokens")) != bool(self.genai):
            raise ValueError(
                "`genai` goes with the units tokens and audio_tokens, and with no other"
            )
        if self.usd_outbound is not None and self.unit != "telephony_min":
            raise ValueError("`usd_outbound` goes with the unit telephony_min, and with no other")
        if self.genai and self.usd is not None:
            raise ValueError("`usd` is not for a price that genai-prices tells")
        return self

    def billed_min(self, seconds: Decimal) -> Decimal:
        """Minutes that are billed for ``seconds`` of one call; nothing for nothing."""
        if seconds <= 0:
            return Decimal(0)
        billed = max(seconds, self.minimum_s)
        if self.round_up_s:
            steps = (billed / self.round_up_s).to_integral_value(ROUND_CEILING)
            billed = steps * self.round_up_s
        return billed * self.channels / 60
