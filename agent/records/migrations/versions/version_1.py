"""The first tables, before Alembic kept them: in SQLite alone."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Makes what is missing: a file of those days may have all of it, or the oldest part."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.create_table(
        "schema_version", sa.Column("version", sa.Integer, primary_key=True), if_not_exists=True
    )
    op.create_table(
        "calls",
        sa.Column("call_id", sa.String, primary_key=True),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("cause", sa.String),
        sa.Column("record", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "turns",
        sa.Column("call_id", sa.String, primary_key=True),
        sa.Column("turn", sa.Integer, primary_key=True),
        sa.Column("heard", sa.String, nullable=False),
        sa.Column("answer", sa.String, nullable=False),
        sa.Column("interrupted", sa.Boolean, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "call_holders",
        sa.Column("call_id", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        if_not_exists=True,
    )
