"""What memory there is, and what this process and the GPUs have of it."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

log = logging.getLogger(__name__)

STATUS = Path("/proc/self/status")
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Of version 2: what a container may have; ``max`` where nothing limits it."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor."""

    name: str
    used_bytes: int
    """By all processes."""
    total_bytes: int
    busy: float
    """0 to 1, of late, by all processes."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of this process and of the machine."""

    process_bytes: int
    """Resident now."""
    peak_bytes: int | None
    """The most that was; None where the system does not tell."""
    available_bytes: int
    """Of the machine: what could be had without swapping."""
    total_bytes: int
    """Of the machine, or what this container may have of it."""
    gpus: tuple[Gpu, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Its fields by name."""
        return asdict(self)


def read_memory() -> Memory:
    """How things are now; blocks for a millisecond or so."""
    machine = psutil.virtual_memory()
    total = machine.total
    limit = _text(CGROUP_LIMIT).strip()
    if limit.isdigit():
        total = min(total, int(limit))
    return Memory(
        process_bytes=psutil.Process().memory_info().rss,
        peak_bytes=peak_of(_text(STATUS)),
        available_bytes=min(machine.available, total),
        total_bytes=total,
        gpus=read_gpus(),
    )


def peak_of(status: str) -> int | None:
    """``VmHWM`` of a Linux process's status; None where there is none."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    return None


def read_gpus() -> tuple[Gpu, ...]:
    """The GPUs that NVML tells of; none where it is not there."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        found = []
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            name = pynvml.nvmlDeviceGetName(handle)
            found.append(Gpu(str(name), int(memory.used), int(memory.total), busy))
        return tuple(found)
    except pynvml.NVMLError as error:
        log.warning("the GPU's memory cannot be read: %s", error)
        return ()
    finally:
        pynvml.nvmlShutdown()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
