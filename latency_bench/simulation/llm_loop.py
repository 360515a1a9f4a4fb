"""The language model's thread in simulated time: the box's own batcher, without a model."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latency_bench.simulation.agenda import Agenda, Processor
from latency_bench.simulation.costs import Costs
from models.busy_share import BusyShare
from models.llm.batching import SHARED_HEAD, Batcher, Job, Share
from models.llm.prefix_cache import PrefixCache

IDLE_S = 0.002


@dataclass(eq=False, slots=True)
class Generation:
    """An answer under way, or a prompt that is read ahead."""

    job: Job
    most: int
    """Tokens to generate."""
    on_token: Callable[[int], None]
    """Gets how many there are."""
    busy_s: float = 0.0


class Cells(PrefixCache):
    """The cache of calls that share the head of their prompts and nothing else.

    That being known, nobody else's tokens have to be compared.
    """

    def matching(self, sequence: int, prompt: Sequence[int]) -> int:
        """As in PrefixCache, found by halves."""
        held = self._tokens[sequence]
        low, high = 0, min(len(held), len(prompt))
        while low < high:
            middle = (low + high + 1) // 2
            if held[low:middle] == prompt[low:middle]:
                low = middle
            else:
                high = middle - 1
        return low

    def best_donor(self, prompt: Sequence[int], but: int) -> tuple[int, int]:
        """The sequence that is kept for the head; for itself, whoever has it."""
        if but != SHARED_HEAD:
            return SHARED_HEAD, self.matching(SHARED_HEAD, prompt)
        return super().best_donor(prompt, but)


class LlmLoop:
    """Steps, one after the other, as long as there is something to evaluate."""

    def __init__(self, agenda: Agenda, processor: Processor, costs: Costs, calls: int) -> None:
        self.load = BusyShare()
        self.busy_s = 0.0
        """Of the thread, in simulated time."""
        self.work_s = 0.0
        """Of a core that is alone."""
        self.steps = 0
        self.generated = 0
        self._agenda, self._processor, self._costs = agenda, processor, costs
        cells = min(costs.context_tokens * calls, max(costs.cache_tokens, costs.context_tokens))
        self._cache = Cells(calls + 1, cells)
        self._batcher = Batcher(self._cache)
        self._running: dict[Job, Generation] = {}
        self._stepping = False
        self._vacant: list[int] = []
        self._arrivals = itertools.count()
        self._fresh = itertools.count(costs.head_tokens)
        self._head = list(range(costs.head_tokens))

    def tokens(self, number: int) -> list[int]:
        """New tokens that nobody else has."""
        return list(itertools.islice(self._fresh, number))

    def begin(
        self,
        place: int,
        history: list[int],
        most: int,
        on_token: Callable[[int], None],
        *,
        guess: bool = False,
    ) -> Generation:
        """Begins an answer in ``place``, from 1, or with ``most`` 0 only reads the prompt."""
        prompt = [*self._head, *history]
        job = Job(place, prompt, next(self._arrivals), most > 0, self._head, guess)
        generation = Generation(job, most, on_token)
        self._running[job] = generation
        self._batcher.add(job)
        self._go_on()
        return generation

    def confirm(self, generation: Generation) -> None:
        """The guess is wanted."""
        generation.job.guess = False
        self._go_on()

    def end(self, generation: Generation) -> None:
        """Ends it, done or not."""
        if self._running.pop(generation.job, None) is not None:
            self._batcher.remove(generation.job)

    def vacate(self, place: int) -> None:
        """The call in ``place`` is over."""
        self._vacant.append(place)

    def _go_on(self) -> None:
        if self._stepping or self._batcher.waits:
            return
        while self._vacant:
            self._cache.truncate(self._vacant.pop(), 0)
        shares = self._batcher.plan()
        self._forget_prepared()
        if not shares:
            # Nothing fits beside what is held: time has to pass.
            if not self._batcher.waits:
                self._agenda.after(IDLE_S, self._go_on)
            return
        self._stepping = True
        sequences = sum(share.wants_next and len(share.tokens) == 1 for share in shares)
        work_s = self._costs.step_s(sequences, sum(len(s.tokens) for s in shares) - sequences)
        self.work_s += work_s
        began_s = self._agenda.now_s
        self._processor.start(work_s, lambda: self._stepped(shares, work_s, began_s))

    def _stepped(self, shares: list[Share], work_s: float, began_s: float) -> None:
        now_s = self._agenda.now_s
        self.load.spent(now_s - began_s, now_s)
        self.busy_s += now_s - began_s
        self.steps += 1
        self._batcher.done(shares)
        each_s = work_s / sum(len(share.tokens) for share in shares)
        chosen = []
        for share in shares:
            generation = self._running.get(share.job)
            if generation is None:
                continue
            generation.busy_s += each_s * len(share.tokens)
            if share.wants_next:
                share.job.tokens.append(next(self._fresh))
                self.generated += 1
                chosen.append(generation)
        self._forget_prepared()
        for generation in chosen:
            if generation.job.generated >= generation.most:
                self.end(generation)
        self._stepping = False
        for generation in chosen:
            generation.on_token(generation.job.generated)
        self._go_on()

    def _forget_prepared(self) -> None:
        for job in [job for job in self._running if not job.answers]:
            if self._cache.length(job.sequence) >= len(job.tokens):
                del self._running[job]
