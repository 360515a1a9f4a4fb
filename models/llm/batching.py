"""Whose tokens go into the model's next step. Pure: it moves numbers, never the model.

Every conversation has a sequence of the context; sequence 0 is kept for the head that
conversations share (the system prompt), which is evaluated there once and copied.
A step takes the next token of every answer under way, and a bounded slice of the prompts
that wait, earliest first, so that a long prompt does not stall those who are speaking.
While a caller hears nothing yet, guesses and prepared prompts wait, and answers whose
beginning is made, and spoken meanwhile, take part in few steps only.
Where cells run short, idle conversations lose what they had evaluated (they evaluate it
again when they go on), longest unused first; then the youngest work waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from models.llm.prefix_cache import PrefixCache, common_prefix

SHARED_HEAD = 0
"""The sequence that no conversation owns."""
BEGINNING_TOKENS = 16
"""An answer that is so long has seconds of speech ahead of its caller."""
GUESS_TOKENS = 32
"""A guess waits for its confirmation once it is so long: its first clause is done."""
PATIENCE_STEPS = 4
"""While callers wait in silence, an answer that is spoken gets one in so many steps."""
WORTH_A_SHIFT = 32
"""Moving what comes after dropped messages to earlier positions saves so many tokens."""


class Rank(IntEnum):
    """Whose work comes first."""

    SILENT = 0
    """The caller hears nothing yet."""
    SPOKEN = 1
    """The answer's beginning is made."""
    GUESS = 2
    """An answer to what may not be the caller's last word."""
    PREPARED = 3
    """A prompt that is evaluated ahead."""


@dataclass(frozen=True, slots=True)
class Slices:
    """How many prompt tokens one step may take."""

    alone: int = 128
    """While nobody is in the middle of an answer."""
    beside_answers: int = 32
    background: int = 16
    """For guesses and prompts prepared ahead, while anybody is in the middle of an answer."""


@dataclass(eq=False, slots=True)
class Job:
    """Tokens to evaluate in one conversation's sequence."""

    sequence: int
    tokens: list[int]
    """The prompt, then what has been generated."""
    arrival: int
    """Rises from job to job."""
    answers: bool = True
    """False: the prompt is only prepared, at the lowest priority."""
    head: Sequence[int] = ()
    """The beginning of the prompt that other conversations have too."""
    guess: bool = False
    """The answer may turn out to be for nothing; becomes False once it is wanted."""
    prompt_tokens: int = field(init=False)
    cached_tokens: int | None = field(init=False, default=None)
    """Prompt tokens that needed no evaluation; None until the job's first step."""
    placed: bool = field(init=False, default=False)
    head_evaluated: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.prompt_tokens = len(self.tokens)

    @property
    def rank(self) -> Rank:
        """Lower goes first."""
        if not self.answers:
            return Rank.PREPARED
        if self.guess:
            return Rank.GUESS
        return Rank.SILENT if self.generated < BEGINNING_TOKENS else Rank.SPOKEN

    @property
    def urgency(self) -> tuple[Rank, int]:
        """Lower goes first; among equals, who came first."""
        return (self.rank, self.arrival)

    @property
    def seniority(self) -> tuple[bool, bool, int]:
        """Lower keeps its cells; never rises while the job runs."""
        return (not self.answers, self.guess, self.arrival)

    @property
    def held(self) -> bool:
        """Whether nothing is to be done before the guess is confirmed."""
        return self.guess and self.generated >= GUESS_TOKENS

    @property
    def generated(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens) - self.prompt_tokens


@dataclass(frozen=True, slots=True)
class Share:
    """One job's part of a step: ``tokens`` to evaluate in ``sequence`` from ``position``."""

    job: Job
    sequence: int
    position: int
    tokens: Sequence[int]
    wants_next: bool
    """Whether the token after the last of these is to be chosen."""

    def rows(self) -> list[tuple[int, int, int, bool]]:
        """(sequence, position, token, whether its output is wanted) for each token."""
        last = len(self.tokens) - 1
        return [
            (self.sequence, self.position + i, token, self.wants_next and i == last)
            for i, token in enumerate(self.tokens)
        ]


class Batcher:
    """The jobs under way over one cache."""

    def __init__(self, cache: PrefixCache, slices: Slices | None = None) -> None:
        self._cache = cache
        self._slices = slices or Slices()
        self._jobs: list[Job] = []
        self._last_used: dict[int, int] = {}
        self._steps = 0

    @property
    def jobs(self) -> Sequence[Job]:
        """All that are not done, most urgent first."""
        return sorted(self._jobs, key=lambda job: job.urgency)

    @property
    def waits(self) -> bool:
        """Whether there is nothing to evaluate before something is added or confirmed."""
        return all(job.held for job in self._jobs)

    def add(self, job: Job) -> None:
        """Takes up ``job``; its sequence must have no other."""
        self._jobs.append(job)

    def remove(self, job: Job) -> None:
        """Forgets ``job``; what it has evaluated stays for the next one."""
        if job in self._jobs:
            self._jobs.remove(job)

    def plan(self) -> list[Share]:
        """The next step; empty where nothing can be done."""
        self._steps += 1
        shares: dict[int, Share] = {}
        waiting = []
        for job in self._eligible():
            if self._in_answer(job):
                self._take(job, 1, shares)
            else:
                waiting.append(job)
        answering = {share.job for share in shares.values()}
        taken = 0
        for job in waiting:
            slice_ = self._slice(job, bool(answering))
            if taken < slice_ and (job.placed or self._place(job, slice_ - taken, shares)):
                self._take(job, slice_ - taken, shares)
            taken = sum(len(s.tokens) for s in shares.values() if s.job not in answering)
        return list(shares.values())

    def _eligible(self) -> list[Job]:
        """Who may take part in this step: of those not spoken yet, the first rank alone."""
        jobs = [job for job in self.jobs if not job.held]
        first = min((job.rank for job in jobs if job.rank is not Rank.SPOKEN), default=None)
        return [
            job
            for job in jobs
            if job.rank is first
            or job.rank is Rank.SPOKEN
            and (first is not Rank.SILENT or self._waited(job) >= PATIENCE_STEPS)
        ]

    def _waited(self, job: Job) -> int:
        return self._steps - self._last_used.get(job.sequence, 0)

    def done(self, shares: Sequence[Share]) -> None:
        """Records that the step was evaluated. Prepared prompts that are complete leave."""
        for share in shares:
            self._cache.append(share.sequence, share.tokens)
            self._last_used[share.sequence] = self._steps
            job = share.job
            if share.sequence == SHARED_HEAD:
                job.head_evaluated += len(share.tokens)
            elif not job.answers and self._cache.length(job.sequence) == len(job.tokens):
                self.remove(job)

    def failed(self, shares: Sequence[Share]) -> None:
        """Forgets all that the sequences of a failed step held."""
        for share in shares:
            self._cache.truncate(share.sequence, 0)
            share.job.placed = False

    def _in_answer(self, job: Job) -> bool:
        """Whether all that ``job`` lacks is the evaluation of the token chosen last."""
        lacking = len(job.tokens) - self._cache.length(job.sequence)
        return job.placed and job.generated > 0 and lacking == 1

    def _slice(self, job: Job, answering: bool) -> int:
        if not answering:
            return self._slices.alone
        return self._slices.background if job.rank > Rank.SPOKEN else self._slices.beside_answers

    def _place(self, job: Job, most: int, shares: dict[int, Share]) -> bool:
        """Gives ``job``'s sequence all that is evaluated of its tokens already.

        What comes after messages that were dropped is moved up and not evaluated again: it
        goes on knowing of them a little (context shift, as in StreamingLLM, arXiv 2309.17453).
        False while its head is still being evaluated in the shared sequence.
        """
        head = job.head[: common_prefix(job.head, job.tokens[:-1])]
        if not self._head_ready(job, head, most, shares):
            return False
        cache, reusable = self._cache, job.tokens[:-1] if job.answers else job.tokens
        own = cache.matching(job.sequence, reusable)
        donor, offered = cache.best_donor(reusable, but=job.sequence)
        start, end, length = cache.gap(job.sequence, reusable)
        worthwhile = length >= max(own, offered) + WORTH_A_SHIFT
        if worthwhile and cache.cut_out(job.sequence, start, end):
            own = length
        kept = (
            cache.copy(donor, job.sequence, offered)
            if offered > own
            else cache.truncate(job.sequence, own)
        )
        if job.cached_tokens is None:
            job.cached_tokens = max(0, kept - job.head_evaluated)
        job.placed = True
        self._last_used[job.sequence] = self._steps
        if not job.answers and kept == len(job.tokens):
            self.remove(job)
            return False
        return True

    def _head_ready(
        self, job: Job, head: Sequence[int], most: int, shares: dict[int, Share]
    ) -> bool:
        cache = self._cache
        there = cache.matching(SHARED_HEAD, head)
        if there == len(head):
            return True
        if SHARED_HEAD in shares:
            return False
        donor, offered = cache.best_donor(head, but=SHARED_HEAD)
        if offered > there:
            there = cache.copy(donor, SHARED_HEAD, offered)
        else:
            there = cache.truncate(SHARED_HEAD, there)
        if there == len(head):
            return True
        tokens = head[there : there + self._room(job, SHARED_HEAD, most, shares)]
        if tokens:
            shares[SHARED_HEAD] = Share(job, SHARED_HEAD, there, tokens, wants_next=False)
        return False

    def _take(self, job: Job, most: int, shares: dict[int, Share]) -> None:
        """Adds up to ``most`` of ``job``'s tokens to the step, as far as cells allow."""
        at = self._cache.length(job.sequence)
        wanted = min(most, len(job.tokens) - at)
        tokens = job.tokens[at : at + self._room(job, job.sequence, wanted, shares)]
        if tokens:
            complete = at + len(tokens) == len(job.tokens)
            share = Share(job, job.sequence, at, tokens, wants_next=job.answers and complete)
            shares[job.sequence] = share

    def _room(self, job: Job, sequence: int, wanted: int, shares: dict[int, Share]) -> int:
        """How many of ``wanted`` cells ``job`` may take in ``sequence``, making room."""
        while True:
            free = self._cache.free - sum(len(share.tokens) for share in shares.values())
            if free >= wanted:
                return wanted
            victim = self._victim(job, sequence, shares)
            if victim is None:
                return max(0, free)
            self._cache.truncate(victim, 0)
            shares.pop(victim, None)
            for other in self._jobs:
                if other.sequence == victim:
                    other.placed = False

    def _victim(self, job: Job, sequence: int, shares: dict[int, Share]) -> int | None:
        """Whose evaluated tokens ``job`` may have forgotten."""
        busy = {other.sequence for other in self._jobs}
        held = [s for s in range(self._cache.sequences) if self._cache.length(s) and s != sequence]
        idle = [s for s in held if s not in busy and s != SHARED_HEAD]
        idle.sort(key=lambda s: self._last_used.get(s, 0))
        head = [s for s in held if s == SHARED_HEAD and s not in shares]
        by_seniority = sorted(self._jobs, key=lambda other: other.seniority, reverse=True)
        younger = [o.sequence for o in by_seniority if o.seniority > job.seniority]
        candidates = [*idle, *head, *(s for s in younger if s in held)]
        frees = (s for s in candidates if self._cache.exclusive(s))
        return next(frees, candidates[0] if candidates else None)
