"""The gate between the agent's audio and the wire: closed, the caller hears silence."""

import asyncio
from collections.abc import Callable


class PlayoutGate:
    """Holds back what was not sent yet; nothing is lost, and it goes on where it stopped.

    Whoever writes to the wire waits for ``until_open`` before each 20 ms. Not to be closed for
    longer than 10 s at a time: the pipeline then takes the far end for gone.
    """

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.on_close: Callable[[], None] = lambda: None
        """Told when it closes: what waits for the wire elsewhere can be taken back."""

    @property
    def is_open(self) -> bool:
        """Whether audio goes out."""
        return self._open.is_set()

    def open(self) -> None:
        """Lets audio out again."""
        self._open.set()

    def close(self) -> None:
        """Holds audio back from the next frame on."""
        if self._open.is_set():
            self._open.clear()
            self.on_close()

    async def until_open(self) -> None:
        """Returns once audio may go out."""
        await self._open.wait()
