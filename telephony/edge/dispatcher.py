"""The list of workers that Kamailio's dispatcher reads. Pure, but for ``write_list``."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SET = 1
"""The dispatcher set that calls from outside go to."""
PROBED = 8
"""Kamailio's flag: asked how it is (OPTIONS) all the time."""
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


def list_text(destinations: Iterable[Destination], earlier: str = "") -> str:
    """The file's content: ``set uri flags priority`` a line.

    ``earlier``: what was in the file; its lines of other sets, the trunks, and its comments
    are kept.
    """
    kept = [line for line in earlier.splitlines() if line.split()[:1] != [str(SET)]]
    flags = ((each.uri, PROBED if each.takes_calls else DISABLED) for each in destinations)
    return "".join(f"{line}\n" for line in kept) + "".join(
        f"{SET} {uri} {flag} 0\n" for uri, flag in flags
    )


def write_list(path: Path, destinations: Iterable[Destination]) -> None:
    """Replaces the workers in the file, in one step, so that nobody reads half of it.

    Raises OSError.
    """
    earlier = path.read_text() if path.exists() else ""
    new = path.with_name(f"{path.name}.new")
    new.write_text(list_text(destinations, earlier))
    os.replace(new, path)
