"""A simulated answer: tokens, clauses, and audio piece by piece ahead of what is played."""

from collections import deque
from collections.abc import Callable, Sequence

from latency_bench.simulation.box import SimulatedBox, Work
from latency_bench.simulation.costs import ChunkCost, ClauseCost
from models.job_queue import Job

AHEAD_S = 4.0
"""Speech is made at most so far ahead of what was played."""
HELD_S = 0.5
"""How much of a guessed answer is made before it is wanted."""
GAP_S = 0.04
"""A shorter hole is made good by the far end's buffer."""


class Answer:
    """From the prompt to the last sample. As the box does: one chunk of audio at a time."""

    def __init__(
        self,
        box: SimulatedBox,
        place: int,
        history: list[int],
        clauses: Sequence[ClauseCost],
        wanted_s: float,
        guess: bool,
        on_played: Callable[[], None],
    ) -> None:
        """``wanted_s``: when a guess is likely to be confirmed."""
        self.first_token_s: float | None = None
        self.first_clause_s: float | None = None
        self.first_audio_s: float | None = None
        """When the first audio was there and wanted."""
        self.gaps = 0
        self._box, self._wanted_s, self._guess = box, wanted_s, guess
        self._on_played = on_played
        self._clauses = clauses
        self._coming = 0
        """Clauses that are complete."""
        self._chunks: deque[ChunkCost] = deque()
        self._left = sum(len(clause.chunks) for clause in clauses)
        self._held: list[ChunkCost] = []
        self._job: Job[Work] | None = None
        self._making = False
        self._played_until_s = 0.0
        self._tts_s = 0.0
        self._cancelled = False
        self._ends = _ends(clauses)
        self._generation = box.llm.begin(place, history, self._ends[-1], self._token, guess=guess)

    @property
    def busy_s(self) -> float:
        """Engine seconds so far."""
        return self._generation.busy_s + self._tts_s

    @property
    def tokens(self) -> list[int]:
        """What was generated."""
        job = self._generation.job
        return job.tokens[job.prompt_tokens :]

    def confirm(self) -> None:
        """The turn is over: what was made goes out."""
        if not self._guess:
            return
        self._guess = False
        self._box.llm.confirm(self._generation)
        if self._job is not None:
            self._box.confirm(self._job)
        for chunk in self._held:
            self._send(chunk)
        self._speak()

    def cancel(self) -> None:
        """Ends all work on it."""
        self._cancelled = True
        self._box.llm.end(self._generation)
        if self._job is not None:
            self._box.cancel(self._job)

    def _token(self, count: int) -> None:
        if count == 1:
            self.first_token_s = self._box.now_s
        if self._coming < len(self._ends) and count >= self._ends[self._coming]:
            clause = self._clauses[self._coming]
            self._coming += 1
            self._box.hop(lambda: self._clause(clause))

    def _clause(self, clause: ClauseCost) -> None:
        if self.first_clause_s is None:
            self.first_clause_s = self._box.now_s
        self._chunks.extend(clause.chunks)
        self._speak()

    def _speak(self) -> None:
        """Has the next chunk made, unless enough is ahead."""
        if self._making or self._cancelled or not self._chunks:
            return
        box = self._box
        if self._guess:
            if sum(chunk.audio_s for chunk in self._held) >= HELD_S:
                return
            deadline_s = self._wanted_s
        else:
            surplus_s = self._played_until_s - box.now_s - AHEAD_S
            if surplus_s > 1e-6:
                self._making = True
                box.agenda.after(surplus_s, self._near_again)
                return
            deadline_s = max(box.now_s, self._played_until_s)
        chunk = self._chunks.popleft()
        self._making = True

        def done() -> None:
            self._tts_s += chunk.busy_s
            self._job = None
            box.hop(lambda: self._made(chunk))

        self._job = box.submit("tts", chunk.busy_s, deadline_s, done, guess=self._guess)

    def _near_again(self) -> None:
        self._making = False
        self._speak()

    def _made(self, chunk: ChunkCost) -> None:
        self._making = False
        if self._cancelled:
            return
        if self._guess:
            self._held.append(chunk)
        else:
            self._send(chunk)
        self._speak()

    def _send(self, chunk: ChunkCost) -> None:
        now_s = self._box.now_s
        if self.first_audio_s is None:
            self.first_audio_s = now_s
        elif now_s > self._played_until_s + GAP_S:
            self.gaps += 1
        self._played_until_s = max(now_s, self._played_until_s) + chunk.audio_s
        self._left -= 1
        if not self._left:
            self._box.agenda.at(self._played_until_s, self._on_played)


def _ends(clauses: Sequence[ClauseCost]) -> list[int]:
    """After how many tokens each clause is complete."""
    ends, total = [], 0
    for clause in clauses:
        total += max(1, clause.tokens)
        ends.append(total)
    return ends
