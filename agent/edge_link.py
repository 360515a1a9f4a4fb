"""What the supervisor tells the edge: who takes calls, and whose calls are lost."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from telephony.edge.control import EdgeControl, EdgeRefused, EdgeUnreachable
from telephony.edge.dispatcher import Destination, write_list

log = logging.getLogger(__name__)

LIST = "dispatcher.list"


class EdgeLink:
    """Keeps the edge in ``folder`` up to date; None: there is no edge, and nothing is done.

    An edge that is not there yet is told again at every ``retry``; it reads the list by itself
    when it starts.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._control = EdgeControl(folder) if folder else None
        self._owed = False
        self.problem = ""
        """Why the edge does not know; empty: it does, or there is none."""

    async def lead(self, destinations: Sequence[Destination]) -> None:
        """Writes the list of workers, and has the edge read it."""
        if self._folder is None:
            return
        try:
            await asyncio.to_thread(write_list, self._folder / LIST, destinations)
        except OSError as error:
            self._say(f"{self._folder / LIST} cannot be written: {error.strerror}")
            return
        self._owed = True
        await self.retry()

    async def retry(self) -> None:
        """Tells the edge what it has not heard yet."""
        if self._control is None or not self._owed:
            return
        try:
            await asyncio.to_thread(self._control.reload_workers)
        except (EdgeUnreachable, EdgeRefused) as error:
            self._say(str(error))
            return
        self._owed = False
        if self.problem:
            log.info("the edge knows the workers again")
            self.problem = ""

    async def end_calls(self, destination: Destination) -> None:
        """Hangs up for a worker that died: its callers would hear silence."""
        if self._control is None:
            return
        try:
            ended = await asyncio.to_thread(self._control.end_calls, destination.uri)
        except (EdgeUnreachable, EdgeRefused) as error:
            self._say(str(error))
            return
        if ended:
            log.warning("the edge hung up for %s: %d calls", destination.uri, ended)

    def _say(self, problem: str) -> None:
        """Once, not at every retry."""
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
