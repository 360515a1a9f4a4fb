"""Where call records are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url

if TYPE_CHECKING:
    from agent.sections import RecordsConfig

DRIVER = "postgresql+psycopg"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of SQLite's, or a database of PostgreSQL's; ``str`` names it, without a password."""

    path: Path
    """The file. With ``url``: beside it stands what waits while the database does not answer."""
    url: URL | None = None
    """Of PostgreSQL."""

    @classmethod
    def of(cls, where: "Source | Path") -> "Source":
        """A path is that of a file."""
        return where if isinstance(where, Source) else cls(where)

    @property
    def exists(self) -> bool:
        """Whether there can be anything to read: a server has to be asked."""
        return self.url is not None or self.path.is_file()

    def __str__(self) -> str:
        if self.url is None:
            return str(self.path)
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)


def records_source(config: "RecordsConfig", environ: Mapping[str, str]) -> Source:
    """Where the settings say that records are; they were checked already."""
    path = config.path.expanduser()
    address = config.address(environ)
    return Source(path, make_url(address).set(drivername=DRIVER) if address else None)
