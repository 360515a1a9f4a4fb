"""What processes use of the machine, read from the system twice a second."""

import asyncio
import contextlib
import os
import re
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from latency_bench.load.saturation import Gpu, Usage

SAMPLE_S = 0.5
GPU_EVERY = 4
"""Samples; asking for the GPU starts a program."""
GPU_LIMIT_S = 5.0
MB = 2**20
_NUMBERED = re.compile(r"[-_ ]?\d+$")


@dataclass(frozen=True, slots=True)
class Vitals:
    """A family of processes at one moment."""

    rss_mb: float
    descriptors: int
    threads: int
    processes: int


def family(pid: int) -> list[psutil.Process]:
    """The process and everything it started; empty once it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def vitals(pid: int) -> Vitals | None:
    """What the family holds now; None once it is gone."""
    rss = descriptors = threads = processes = 0
    for process in family(pid):
        with contextlib.suppress(psutil.Error), process.oneshot():
            rss += process.memory_info().rss
            descriptors += process.num_fds()
            threads += process.num_threads()
            processes += 1
    return Vitals(rss / MB, descriptors, threads, processes) if processes else None


@dataclass(slots=True)
class _Sum:
    """What came together while a load lasted."""

    began_s: float
    cores: list[float]
    """Busy seconds of each core."""
    box_s: float = 0.0
    callers_s: float = 0.0
    rss_mb: float = 0.0
    left_mb: float = float("inf")
    threads_s: defaultdict[tuple[int, int, str], float] = field(
        default_factory=lambda: defaultdict(float)
    )
    gpu: list[Gpu] = field(default_factory=list)


class ProcessLoad:
    """Sums up from `begin` to `end`. ``box``: its first process; None where it is another's.

    ``callers``: the processes of the callers now; the bench's own is counted with them.
    """

    def __init__(self, box: int | None, callers: Callable[[], Iterable[int]]) -> None:
        self._box = box
        self._callers = callers
        self._sum: _Sum | None = None
        self._processes_s: dict[int, float] = {}
        self._threads_s: dict[tuple[int, int], float] = {}
        self._cores_s: list[float] = []
        self._gpu_program = shutil.which("nvidia-smi")

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["ProcessLoad"]:
        """Samples until the block ends."""
        task = asyncio.create_task(self._watch(), name="load samples")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def begin(self, now_s: float) -> None:
        """What was used before does not count."""
        self._sum = None
        self.sample()
        self._sum = _Sum(now_s, [0.0] * len(self._cores_s))

    def end(self, now_s: float) -> Usage:
        """What was used since `begin`."""
        self.sample()
        total = self._sum
        if total is None:
            raise RuntimeError("begin first")
        self._sum = None
        return _usage(total, max(1e-3, now_s - total.began_s), own=self._box is not None)

    def sample(self) -> None:
        """Reads the counters once, and adds what they grew by."""
        cores_s = [_busy(times) for times in psutil.cpu_times(percpu=True)]
        callers = {os.getpid(), *self._callers()}
        box = family(self._box) if self._box is not None else []
        grown = {p.pid: self._process_grew(p) for p in box}
        called = sum(self._process_grew(pid) for pid in callers)
        if (total := self._sum) is not None:
            for place, now_s in enumerate(cores_s):
                total.cores[place] += now_s - self._cores_s[place]
            total.box_s += sum(grown.values())
            total.callers_s += called
            total.rss_mb = max(total.rss_mb, sum(_rss_mb(p) for p in box))
            total.left_mb = min(total.left_mb, psutil.virtual_memory().available / MB)
        for process in box:
            self._threads(process.pid, first=process.pid == self._box)
        self._cores_s = cores_s

    async def _watch(self) -> None:
        count = 0
        while True:
            self.sample()
            if self._gpu_program and count % GPU_EVERY == 0:
                found = await _ask_gpu(self._gpu_program)
                if found is not None and self._sum is not None:
                    self._sum.gpu.append(found)
            count += 1
            await asyncio.sleep(SAMPLE_S)

    def _process_grew(self, process: psutil.Process | int) -> float:
        """Processor seconds since the last sample; of a process that is new, all it has used."""
        try:
            if isinstance(process, int):
                process = psutil.Process(process)
            times = process.cpu_times()
        except psutil.Error:
            return 0.0
        now_s = float(times.user + times.system)
        before_s = self._processes_s.get(process.pid, 0.0 if self._sum else now_s)
        self._processes_s[process.pid] = now_s
        return max(0.0, now_s - before_s)

    def _threads(self, pid: int, *, first: bool) -> None:
        try:
            threads = psutil.Process(pid).threads()
        except psutil.Error:
            return
        for thread in threads:
            key = (pid, thread.id)
            now_s = thread.user_time + thread.system_time
            before_s = self._threads_s.get(key, 0.0 if self._sum else now_s)
            self._threads_s[key] = now_s
            if self._sum is not None and now_s > before_s:
                main = first and thread.id == pid
                name = "event loop" if main else _thread_name(pid, thread.id)
                self._sum.threads_s[(*key, name)] += now_s - before_s


def _usage(total: _Sum, lasted_s: float, *, own: bool) -> Usage:
    names: defaultdict[str, float] = defaultdict(float)
    for (_, _, name), seconds in total.threads_s.items():
        names[name] += seconds / lasted_s
    busiest = max(total.threads_s.items(), key=lambda item: item[1], default=None)
    core_busy = tuple(min(1.0, seconds / lasted_s) for seconds in total.cores)
    return Usage(
        cores=len(core_busy),
        machine_cores=sum(core_busy),
        callers_cores=total.callers_s / lasted_s,
        memory_total_mb=psutil.virtual_memory().total / MB,
        memory_left_mb=total.left_mb,
        core_busy=core_busy,
        box_cores=total.box_s / lasted_s if own else None,
        rss_mb=total.rss_mb if own else None,
        threads=dict(sorted(names.items(), key=lambda item: -item[1])),
        busiest=(busiest[0][2], busiest[1] / lasted_s) if busiest else None,
        gpu=_mean_gpu(total.gpu),
    )


def _mean_gpu(found: Sequence[Gpu]) -> Gpu | None:
    if not found:
        return None
    return Gpu(
        sum(gpu.utilisation for gpu in found) / len(found),
        max(gpu.memory_mb for gpu in found),
        found[0].memory_total_mb,
    )


def parse_gpu(text: str) -> Gpu | None:
    """``nvidia-smi``'s lines of utilisation in percent, memory and all memory in MiB."""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 3 and all(re.fullmatch(r"\d+(\.\d+)?", cell) for cell in cells):
            rows.append([float(cell) for cell in cells])
    if not rows:
        return None
    return Gpu(
        sum(row[0] for row in rows) / len(rows) / 100,
        sum(row[1] for row in rows),
        sum(row[2] for row in rows),
    )


async def _ask_gpu(program: str) -> Gpu | None:
    query = "--query-gpu=utilization.gpu,memory.used,memory.total"
    child = await asyncio.create_subprocess_exec(
        *(program, query, "--format=csv,noheader,nounits"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(GPU_LIMIT_S):
            output, _ = await child.communicate()
    except TimeoutError:
        return None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return parse_gpu(output.decode(errors="replace"))


def _busy(times: object) -> float:
    idle = float(getattr(times, "idle", 0.0)) + float(getattr(times, "iowait", 0.0))
    # A guest's time is in user's already.
    skipped = {"guest", "guest_nice"}
    fields: tuple[str, ...] = getattr(times, "_fields", ())
    return sum(float(getattr(times, name)) for name in fields if name not in skipped) - idle


def _rss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss / MB)
    except psutil.Error:
        return 0.0


def _thread_name(pid: int, thread: int) -> str:
    """As the system shows it, without a number at its end; ``other`` where it shows none."""
    try:
        name = Path(f"/proc/{pid}/task/{thread}/comm").read_text(errors="replace").strip()
    except OSError:
        return "other"
    return _NUMBERED.sub("", name) or "other"
