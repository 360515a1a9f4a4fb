"""The gate between the agent's audio and the wire: closed, the caller hears silence."""

import asyncio


class PlayoutGate:
    """Holds back what was not sent yet; nothing is lost, and it goes on where it stopped.

    Whoever writes to the wire waits for ``until_open`` before each 20 ms.
    """

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_open(self) -> bool:
        """Whether audio goes out."""
        return self._open.is_set()

    def open(self) -> None:
        """Lets audio out again."""
        self._open.set()

    def close(self) -> None:
        """Holds audio back from the next frame on."""
        self._open.clear()

    async def until_open(self) -> None:
        """Returns once audio may go out."""
        await self._open.wait()
