"""Deleting what is older than it is to be kept: records, sound, and copies of damaged files."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent.records.erasure import Erased, damaged_copies, erase, kept_before, kept_named
from agent.records.schema import StoreError
from agent.records.source import Source, records_source

if TYPE_CHECKING:
    from agent.sections import RecordsConfig

log = logging.getLogger(__name__)

DAY_S = 86400.0
RETRY_S = 3600.0
"""After a sweep that failed."""
SOUND_FILE = re.compile(r"[0-9a-f]{12}\.wav")


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep took away."""

    erased: Erased
    files: tuple[Path, ...] = ()
    """Sound without a record, and copies of damaged files."""


def sweep(
    source: Source,
    audio: Path | None,
    before: datetime,
    go_on: Callable[[], bool] = lambda: True,
) -> Sweep:
    """Deletes what began before that; blocks. Raises StoreError or OSError.

    ``audio``: the folder of the sound. ``go_on`` is asked now and then, and ends it early.
    """
    erased = erase(source, kept_before(source, before), go_on)
    files = old_files(source, audio, before)
    for path in files:
        path.unlink(missing_ok=True)
    return Sweep(erased, tuple(files))


def old_files(source: Source, audio: Path | None, before: datetime) -> list[Path]:
    """Sound that no record leads to, and copies of damaged files. Raises StoreError or OSError."""
    copies = _older(damaged_copies(source), before)
    if audio is None or not audio.is_dir():
        return copies
    sound = _older(sorted(p for p in audio.iterdir() if SOUND_FILE.fullmatch(p.name)), before)
    known = {kept.call_id for kept in kept_named(source, [path.stem for path in sound])}
    return [*copies, *(path for path in sound if path.stem not in known)]


@asynccontextmanager
async def swept_daily(records: "RecordsConfig", environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Within it what is older than ``keep_days`` is deleted: now, and once a day.

    Several processes may do so at the same records. A sweep that fails is told in the log, and
    tried again in an hour.
    """
    if records.keep_days is None:
        yield
        return
    stopping = threading.Event()
    work = _sweep_daily(
        records_source(records, environ),
        records.audio,
        timedelta(days=records.keep_days),
        lambda: not stopping.is_set(),
    )
    sweeping = asyncio.create_task(work, name="retention")
    try:
        yield
    finally:
        stopping.set()
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


async def _sweep_daily(
    source: Source, audio: Path | None, keep: timedelta, go_on: Callable[[], bool]
) -> None:
    while True:
        wait_s = DAY_S
        try:
            before = datetime.now(UTC) - keep
            swept = await asyncio.to_thread(sweep, source, audio, before, go_on)
        except (StoreError, OSError) as error:
            wait_s = RETRY_S
            log.error("old calls are not deleted: %s; tried again in an hour", error)
        else:
            _tell(swept, keep)
        await asyncio.sleep(wait_s)


def _tell(swept: Sweep, keep: timedelta) -> None:
    erased = swept.erased
    if erased.calls or swept.files:
        log.info(
            "deleted what was older than %g days: %d calls, %d recordings, %d other files",
            keep / timedelta(days=1),
            erased.calls,
            erased.recordings,
            len(swept.files),
        )
    for why in erased.stuck:
        log.error("old calls are not deleted: %s", why)


def _older(paths: Sequence[Path], before: datetime) -> list[Path]:
    return [path for path in paths if path.stat().st_mtime < before.timestamp()]
