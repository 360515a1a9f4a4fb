"""The machine's counters, read. Linux and others: what one does not have is left out."""

import logging
import resource
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import psutil

from agent.metering.gpus import Gpus
from agent.metering.rapl import Rapl
from agent.metering.reading import Reading

log = logging.getLogger(__name__)

CHILDREN_EVERY_S = 10.0
"""Looking for processes that the box began reads all of /proc: 3 ms."""


class Counters(Protocol):
    """Where readings come from."""

    def read(self) -> Reading:
        """Blocks for up to some milliseconds; raises nothing."""
        ...


class MachineCounters:
    """Those of this machine. For one thread at a time."""

    def __init__(
        self, *, gpu: bool = False, environ: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """``gpu``: whether an engine computes on one; those of nobody's are not looked at."""
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []
        self._looked_at_s = float("-inf")
        self._rapl = Rapl.find()
        self._gpus = Gpus.find(environ) if gpu else None

    @property
    def sources(self) -> dict[str, str]:
        """What tells of what, for people."""
        joules = [name for name, one in (("RAPL", self._rapl), ("NVML", self._gpus)) if one]
        return {
            "processor": "the process's clock",
            "gpu": "NVML" if self._gpus else "none",
            "energy": " and ".join(joules) or "no counter: the power model",
        }

    def read(self) -> Reading:
        """Reads all once."""
        now_s = time.monotonic()
        if now_s - self._looked_at_s >= CHILDREN_EVERY_S:
            self._looked_at_s = now_s
            self._children = _children_of(self._process)
        children_s, children_bytes = self._read_children()
        gpu_s, gpu_j = self._read_gpus(now_s)
        return Reading(
            at_s=now_s,
            process_s=time.process_time() + children_s,
            machine_s=_machine_s(),
            memory_bytes=self._process.memory_info().rss + children_bytes,
            cpu_j=self._read_rapl(),
            gpu_s=gpu_s,
            gpu_j=gpu_j,
        )

    def _read_children(self) -> tuple[float, int]:
        """Processor seconds of those that run and of those that ended; bytes of the first."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds, held_bytes = ended.ru_utime + ended.ru_stime, 0
        for child in list(self._children):
            try:
                times = child.cpu_times()
                seconds += times.user + times.system
                held_bytes += child.memory_info().rss
            except psutil.Error:
                self._children.remove(child)
        return seconds, held_bytes

    def _read_rapl(self) -> float | None:
        if self._rapl is None:
            return None
        try:
            return self._rapl.joules()
        except (OSError, ValueError) as error:
            log.warning("the processor's joules are not metered any more: %s", error)
            self._rapl = None
            return None

    def _read_gpus(self, now_s: float) -> tuple[float, float | None]:
        if self._gpus is None:
            return 0.0, None
        try:
            return self._gpus.busy_s(now_s), self._gpus.joules()
        except self._gpus.nvml.NVMLError as error:
            log.warning("the GPU is not metered any more: %s", error)
            self._gpus = None
            return 0.0, None


def _children_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children(recursive=True)
    except psutil.Error:
        return []
    return children


def _machine_s() -> float:
    """Busy seconds of all cores; time that a host took from this machine is not its own."""
    times: Any = psutil.cpu_times()
    busy = ("user", "nice", "system", "irq", "softirq")
    return float(sum(getattr(times, name, 0.0) for name in busy))
