"""How the engines share this machine's cores: as the settings pin it, else by a rule. Pure.

On two cores one thread each is best for everything (docs/performance.md): a second one helps the
language model's prompts on an idle machine and triples the time of its answers on a busy one, and
hardly helps the short windows of recognition and speech.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MOST_WORKERS = 16


Wanted = int | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Threads:
    """Threads of each engine, and how many jobs of recognition and speech run at once."""

    stt: int
    llm: int
    tts: int
    workers: int
    why: str
    """In words, for `offhook doctor`."""


def cores_here() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(wanted: Mapping[str, Wanted], cores: int) -> Threads:
    """How ``cores`` cores are used; ``wanted`` are the settings for "stt", "llm" and "tts"."""
    auto = {
        "stt": 1 if cores <= 4 else 2 if cores <= 16 else 4,
        "llm": 1 if cores <= 2 else 2 if cores <= 8 else 4,
        "tts": 1,
    }
    stt, llm, tts = (auto[s] if (n := wanted[s]) == "auto" else n for s in ("stt", "llm", "tts"))
    # The language model has a thread of its own beside them; two, so that one job never waits
    # for another's whole length.
    workers = max(2, min(MOST_WORKERS, (cores - llm) // max(stt, tts)))
    pinned = [f"`{stage}_threads`" for stage, number in wanted.items() if number != "auto"]
    by = f"{' and '.join(pinned)} set in [models]" if pinned else "chosen for them"
    why = (
        f"{cores} cores: recognition {stt}, language model {llm}, speech {tts} threads, {by}; "
        f"{workers} jobs at once"
    )
    return Threads(stt, llm, tts, workers, why)
