"""Where call records are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.sections import RecordsConfig


@dataclass(frozen=True, slots=True)
class Source:
    """A file of SQLite's; ``str`` names it in messages."""

    path: Path

    @property
    def exists(self) -> bool:
        """Whether there can be anything to read."""
        return self.path.is_file()

    def __str__(self) -> str:
        return str(self.path)


def records_source(config: "RecordsConfig", environ: Mapping[str, str]) -> Source:
    """Where the settings say that records are."""
    return Source(config.path.expanduser())
