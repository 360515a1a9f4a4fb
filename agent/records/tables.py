"""The tables of call records, in SQLite and in PostgreSQL.

`agent/records/migrations` makes them; a test holds the two together. What is asked for has a
column of its own; the whole record stands beside it as JSON, and is what is read back.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    column,
    table,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

from agent.records.record import to_text


class Moment(TypeDecorator[datetime]):
    """A moment in UTC; for SQLite text that sorts as time does."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """By the database."""
        server = dialect.name == "postgresql"
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if server else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """On its way in."""
        if value is None or dialect.name == "postgresql":
            return value and value.astimezone(UTC)
        return to_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """On its way out."""
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class Usd(TypeDecorator[Decimal]):
    """Dollars, exact; SQLite, which knows no decimals, holds them as text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """By the database."""
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """On its way in."""
        if value is None or dialect.name == "postgresql":
            return value
        return format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """On its way out."""
        return Decimal(value) if isinstance(value, str) else value


class Words(TypeDecorator[str]):
    """Text from outside; without what no database takes: NUL, and halves of UTF-16 pairs."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """On its way in."""
        if value is None:
            return None
        return value.replace("\0", "").encode("utf-8", "replace").decode()


METADATA = MetaData()


def _words(name: str) -> Column[str]:
    return Column(name, Words, nullable=False)


CALLS = Table(
    "calls",
    METADATA,
    Column("call_id", Text, primary_key=True),
    Column("started_at", Moment, nullable=False, index=True),
    Column("ended_at", Moment),
    *(_words(name) for name in ("door", "direction", "caller", "dialled", "trunk", "profile")),
    *(_words(name) for name in ("workflow", "tenant", "agent", "outcome")),
    Column("outcome_value_usd", Usd),
    Column("cause", Text),
    Column("turns", Integer, nullable=False),
    Column("owned_usd", Usd),
    _words("recording"),
    Column("record", JSON, nullable=False),
    Index("ix_calls_caller", "caller", "started_at"),
)
"""``cause``: NULL while it is under way. ``recording``: the path of its sound, or nothing."""
UNDER_WAY = CALLS.c.cause.is_(None)
Index("ix_calls_under_way", CALLS.c.call_id, sqlite_where=UNDER_WAY, postgresql_where=UNDER_WAY)
TURNS = Table(
    "turns",
    METADATA,
    Column("call_id", Text, primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    _words("heard"),
    _words("answer"),
    Column("interrupted", Boolean, nullable=False),
    Column("total_ms", Float),
    Column("owned_usd", Usd),
    Column("record", JSON, nullable=False),
)
USAGE = Table(
    "usage",
    METADATA,
    Column("call_id", Text, primary_key=True),
    Column("quantity", Text, primary_key=True),
    Column("amount", Float, nullable=False),
)
"""What a call used, by the names of `agent.usage.Usage`; no row: nothing of it."""
COST_LINES = Table(
    "cost_lines",
    METADATA,
    Column("call_id", Text, primary_key=True),
    Column("side", Text, primary_key=True),
    Column("bill", Text, primary_key=True),
    Column("line", Text, primary_key=True),
    Column("usd", Usd),
)
"""``side``: owned or rented; ``bill``: the view or the stack; ``usd``: NULL where unknown."""
EVENTS = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("call_id", Text, nullable=False, index=True),
    Column("at", Moment, nullable=False),
    Column("kind", Text, nullable=False),
    Column("record", JSON, nullable=False),
    Column("mark", Text, nullable=False, unique=True),
)
"""``mark``: a digest of the record, so that one written twice is there once."""
HOLDERS = Table(
    "call_holders",
    METADATA,
    Column("call_id", Text, primary_key=True),
    Column("holder", Text, nullable=False, index=True),
)
"""Which process a call under way is in; no row: over, or not known."""
TRANSCRIPT = table("transcript", column("call_id"), column("turn"), column("who"), column("text"))
"""A view of the turns, a row for what one side said: ``caller`` or ``agent``."""

OF_A_CALL = (CALLS, TURNS, USAGE, COST_LINES, EVENTS, HOLDERS)
"""Every table that holds rows of a call, by its ``call_id``."""
