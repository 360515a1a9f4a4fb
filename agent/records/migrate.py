"""Brings the tables of call records to the version that this Offhook knows."""

import logging
import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError, ProgrammingError

HEAD = "2"
"""The last of ``migrations/versions``; a test holds the two together."""
KNOWN = ("1", HEAD)
FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x0FF4008
"""PostgreSQL's lock for whoever migrates; any number that others do not use."""

# Alembic keeps what it works on in one place for the whole process.
_one_at_a_time = threading.Lock()


def version_of(connection: Connection) -> str | None:
    """The version of the tables that are there; None where there are none."""
    # Tried before it is looked for: it is there but once.
    for table, column in (("alembic_version", "version_num"), ("schema_version", "version")):
        try:
            with connection.begin_nested():
                found = connection.execute(text(f"SELECT {column} FROM {table}")).scalar()
        except (OperationalError, ProgrammingError):
            if inspect(connection).has_table(table):
                raise
            continue
        if found is not None:
            return str(found)
    return None


def migrate(connection: Connection) -> None:
    """Makes or changes the tables, whole or not at all; begins the connection's transaction.

    What another process is doing is waited for. Raises SQLAlchemyError, and Alembic's CommandError
    where its own files are not in order.
    """
    # Alembic takes longer to import than most commands to run.
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with _one_at_a_time:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        else:
            # The driver begins none before tables are made, and then each would be there alone.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if version_of(connection) != HEAD:
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
