"""What a cost command is asked about: settings, prices, and the calls that were recorded."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.config import Config, load_config
from agent.cost.bill import Bill
from agent.cost.measured import Measured, measure
from agent.cost.owned import View
from agent.records import history
from agent.records.record import CallRecord

NOTHING = "no call that is over is recorded yet; place one: offhook demo --once"


@dataclass(frozen=True, slots=True)
class Asked:
    """Read once, before anything is reckoned."""

    config: Config
    bill: Bill
    records: Sequence[CallRecord]
    """Of the time asked for."""
    since: datetime | None
    until: datetime | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Asked":
        """Reads settings, price book and records. Raises ConfigError and StoreError."""
        config = load_config(getattr(args, "config", None), os.environ)
        source = history.records_source(config.records, os.environ)
        records = list(history.calls(source, since=args.since, until=args.until))
        return cls(config, Bill.load(config), records, args.since, args.until)

    def measured(self) -> Measured | None:
        """What the calls used and cost; None where there are none.

        With ``--since`` the idle time until now, or ``--until``, counts as well.
        """
        now = datetime.now(UTC)
        ends_at = None if self.since is None else min(self.until or now, now)
        return measure(self.records, self.bill, self.since, ends_at)


def view_named(name: str) -> View:
    """A view by its short name, as options write it: marginal, utilisation, capacity."""
    return next(view for view in View if view.name.lower() == name)


def dollars(usd: Decimal | None, places: int = 4) -> str:
    """As tables show it."""
    return "unknown" if usd is None else f"{usd:,.{places}f}"


def write_json(path: Path | None, body: Any) -> None:
    """Writes ``body`` where a file is asked for; numbers that are exact as text. Raises OSError."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json_text(body) + "\n", encoding="utf-8")


def json_text(body: Any) -> str:
    """As JSON; decimals as text, exact and without exponents."""
    return json.dumps(body, indent=2, default=lambda value: format(value, "f"))
