"""Every trial of a comparison, in order: level by level, A B A B; then rows and ratios."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latency_bench.compare_peers.contender import Contender
from latency_bench.compare_peers.heard import heard
from latency_bench.compare_peers.ratios import ratios_of, sentence
from latency_bench.compare_peers.rows import capacities, hopeless, row_of, skipped_row
from latency_bench.compare_peers.trial import Lasting, Progress, Stopped, Trial, Trials
from latency_bench.crew import Crew
from latency_bench.listening import Listener
from latency_bench.part import Part
from latency_bench.target import Door

Told = Callable[[Trial], None]
"""Is told of each trial that is over."""
Key = tuple[str, Door, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared, and how."""

    contenders: Sequence[Contender]
    """The first is ours: the others' figures are what its own are divided by."""
    levels: Sequence[int]
    rounds: int
    lasting: Lasting


@dataclass(slots=True)
class Comparison:
    """Runs a plan; what ran is there at any time."""

    plan: Plan
    questions: Sequence[Part]
    folder: Path
    listener: Listener | None
    progress: Progress = lambda what, share, questions: None
    told: Told = lambda trial: None
    interrupted: bool = False
    order: list[tuple[str, Door, int, int]] = field(default_factory=list)
    """Agent, door, calls and round of each trial, as they ran."""
    _trials: dict[Key, list[Trial]] = field(default_factory=dict)
    _rows: dict[Key, dict[str, Any]] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """All trials, or as many as the user lets run."""
        async with Crew(1) as crew:
            trials = Trials(crew, self.questions, self.plan.lasting, time.monotonic())
            try:
                for calls in self.plan.levels:
                    await self._level(trials, calls, stop)
            except Stopped:
                self.interrupted = True

    async def _level(self, trials: Trials, calls: int, stop: asyncio.Event) -> None:
        skipped = self._skip(calls)
        for round_ in range(self.plan.rounds):
            for contender in self.plan.contenders:
                for door in contender.doors:
                    if (contender.name, door, calls) in skipped:
                        continue
                    await self._trial(trials, contender, door, calls, round_, stop)

    async def _trial(
        self,
        trials: Trials,
        contender: Contender,
        door: Door,
        calls: int,
        round_: int,
        stop: asyncio.Event,
    ) -> None:
        if stop.is_set():
            raise Stopped
        folder = self.folder / f"{contender.name}-{door}-{calls}-{round_ + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        self.order.append((contender.name, door, calls, round_))
        trial = await trials.run(contender, door, calls, round_, folder, stop, self.progress)
        trial = await asyncio.to_thread(
            heard,
            trial,
            folder,
            self.listener,
            lambda share: self.progress("listening to the answers", share, 0),
            stop.is_set,
        )
        key = (contender.name, door, calls)
        found = self._trials.setdefault(key, [])
        found.append(trial)
        self._rows[key] = row_of(found)
        self.told(trial)

    def _skip(self, calls: int) -> set[Key]:
        """Who failed so badly with fewer calls that these are not tried; a row says so."""
        found: set[Key] = set()
        for contender in self.plan.contenders:
            for door in contender.doors:
                rows = [
                    row
                    for (name, at, level), row in self._rows.items()
                    if (name, at) == (contender.name, door) and level < calls
                ]
                why = next(filter(None, map(hopeless, rows)), "")
                if why:
                    key = (contender.name, door, calls)
                    found.add(key)
                    self._rows[key] = skipped_row(contender.name, door, calls, why)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Every row there is: by calls, then door, then agent as planned."""
        names = [contender.name for contender in self.plan.contenders]
        keys = sorted(self._rows, key=lambda key: (key[2], key[1] != "webrtc", names.index(key[0])))
        return [self._rows[key] for key in keys]

    def ratios(self) -> dict[str, dict[str, dict[str, Any]]]:
        """``{peer: {door: {calls: figures}}}`` wherever both were measured."""
        ours = self.plan.contenders[0]
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for peer in self.plan.contenders[1:]:
            for door in peer.doors:
                for calls in self.plan.levels:
                    mine, theirs = (ours.name, door, calls), (peer.name, door, calls)
                    if mine in self._trials and theirs in self._trials:
                        figures: dict[str, Any] = ratios_of(
                            self._rows[mine],
                            self._rows[theirs],
                            self._trials[mine],
                            self._trials[theirs],
                            self.plan.lasting.seed,
                        )
                        rows = self._rows[mine], self._rows[theirs]
                        figures["sentence"] = sentence(*rows, figures)
                        found.setdefault(peer.name, {}).setdefault(door, {})[str(calls)] = figures
        return found

    def report(self) -> Mapping[str, Any]:
        """``rows``, ``ratios`` and ``capacity`` of the report."""
        rows = self.rows()
        return {
            "rows": rows,
            "ratios": self.ratios(),
            "capacity": capacities(rows),
            "order": [list(one) for one in self.order],
            "interrupted": self.interrupted,
        }
