"""The list of workers that Kamailio's dispatcher reads. Pure, but for ``write_list``."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SET = 1
"""The dispatcher set that calls from outside go to."""
DISABLED = 4
"""Kamailio's flag: no new call goes there, and it is not probed; calls under way go on."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A worker's SIP address."""

    host: str
    port: int
    takes_calls: bool = True
    """False: no new call; those under way go on."""

    @property
    def uri(self) -> str:
        """Its SIP URI, as Kamailio names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sip:{host}:{self.port}"


def list_text(destinations: Iterable[Destination]) -> str:
    """The file's content: ``set uri flags priority`` a line."""
    lines = (f"{SET} {each.uri} {0 if each.takes_calls else DISABLED} 0\n" for each in destinations)
    return "# Written by the supervisor; a change here is lost.\n" + "".join(lines)


def write_list(path: Path, destinations: Iterable[Destination]) -> None:
    """Replaces the file in one step, so that a reload never reads half of it. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(list_text(destinations))
    os.replace(new, path)
