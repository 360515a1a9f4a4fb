"""The section of the settings about several processes behind one edge."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.sections import Positive, Section

SIP_PORTS_EACH = 2
"""A worker's SIP port, and the one after it, where TLS would be."""
LAST_PORT = 65535

Port = Annotated[int, Field(ge=1024, le=LAST_PORT)]


class WorkersConfig(Section):
    """Several processes behind one edge, and the one that watches over them."""

    count: Annotated[int, Field(ge=0, le=64)] = 0
    """How many take calls; 0: one process that watches itself."""
    reserve: Literal["auto", "yes", "no"] = "auto"
    """One more, loaded and idle, that takes over at once from one that dies.
    ``auto``: where memory has room for it."""
    sip_port: Port = 5070
    """The first one's, on loopback; the next ones' follow, two apart."""
    http_port: Port = 7870
    """The first one's, on loopback; the next ones' follow."""
    edge: Path | None = None
    """The edge's folder (``EDGE_FOLDER``)."""
    status: Path | None = None
    """JSON file that says how the workers are; None: ``workers.json`` beside the records."""
    shared_by: Annotated[int, Field(ge=1, le=64)] = 1
    """Told to each worker: how many take calls on this box, and share what it costs."""
    hang_s: Positive = 30
    """A worker that says nothing for this long is killed and started again."""

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The ports must fit, and the edge's folder must be there."""
        last = self.count  # the reserve has a seat too
        if self.sip_port + last * SIP_PORTS_EACH + 1 > LAST_PORT:
            yield "sip_port", f"leaves no ports for {self.count} workers; lower it"
        if self.http_port + last > LAST_PORT:
            yield "http_port", f"leaves no ports for {self.count} workers; lower it"
        if self.edge is not None and not self.edge.expanduser().is_dir():
            yield "edge", f"is {str(self.edge)!r}, and there is no such folder; see docs/edge.md"
