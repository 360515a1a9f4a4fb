"""One simulated call: questions are asked, pauses taken for ends, answers spoken or missed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.turn_settings import TurnSettings
from latency_bench.simulation.agenda import Appointment
from latency_bench.simulation.answer import Answer
from latency_bench.simulation.box import ANSWER_LOAD, WORDS_LOAD, SimulatedBox, Work
from latency_bench.simulation.costs import TurnCost
from models.job_queue import Job

PAUSE_S = 0.1
"""Silence after which the words so far are decoded, and what it takes to notice it."""
STOP_S = TurnSettings().stop_s
"""Silence after which a turn may be judged over: when a decode is due."""
DOUBT_S = 0.35
"""Speech after which a guess is dropped."""
FALL_S = 0.03
"""Silence after which the fall of the voice is noticed; measured, 72 ms before the pause is."""
BUSY_DECODE_S = 0.35
"""In a busy box, silence after a pause's beginning until its words are decoded."""
PATIENCE_S = 1.0
"""Silence in which a caller makes sure that the answer is over."""


@dataclass(slots=True)
class SimulatedTurn:
    """What became of one question."""

    ended_s: float
    """When its last word ended."""
    v2v_s: float | None = None
    """None: no answer in time."""
    transcript_s: float | None = None
    """The words were there; on the run's clock, as all that follow."""
    over_s: float | None = None
    first_token_s: float | None = None
    first_clause_s: float | None = None
    first_audio_s: float | None = None
    guessed: bool = False
    """The answer was begun before the turn was over."""
    gaps: int = 0
    """Audible holes in the answer."""


@dataclass(eq=False, slots=True)
class _Pause:
    """What was begun at one silence."""

    began_s: float
    final: bool
    jobs: dict[str, Job[Work]] = field(default_factory=dict)
    """By kind."""
    words: bool = False
    judged: bool = False
    dropped: bool = False


@dataclass(eq=False, slots=True)
class _Early:
    """Words decoded from the fall of the voice on, before it is a pause."""

    job: Job[Work] | None = None
    done: bool = False
    pause: _Pause | None = None
    """What the fall turned out to be."""


class SimulatedCall:
    """Follows one caller from the answered call to its end."""

    def __init__(
        self,
        box: SimulatedBox,
        place: int,
        questions: Sequence[tuple[TurnCost, float]],
        wait_s: float,
        on_turn: Callable[[SimulatedTurn], None],
        on_end: Callable[[], None],
    ) -> None:
        """``questions``: each with the pause before it; ``wait_s``: then an answer is missed."""
        self._box, self._place = box, place
        self._left: Iterator[tuple[TurnCost, float]] = iter(questions)
        self._wait_s = wait_s
        self._on_turn, self._on_end = on_turn, on_end
        self._history: list[int] = []
        self._answer: Answer | None = None
        self._pause: _Pause | None = None
        self._doubt: Appointment | None = None
        self._early: _Early | None = None
        box.call_began()
        box.agenda.after(box.costs.greeting_s, self._next)

    def _next(self) -> None:
        question = next(self._left, None)
        if question is None:
            self._box.llm.vacate(self._place)
            self._box.call_ended()
            self._on_end()
            return
        cost, think_s = question
        self._box.agenda.after(max(PATIENCE_S, think_s), lambda: self._ask(cost))

    def _ask(self, cost: TurnCost) -> None:
        agenda, began_s = self._box.agenda, self._box.now_s
        self._cost = cost
        self._began_s = began_s
        self._words = self._box.llm.tokens(cost.prompt_tokens)
        self._turn = turn = SimulatedTurn(began_s + cost.speech_s)
        for from_s, length_s in cost.pauses:
            if length_s > FALL_S:
                agenda.at(began_s + from_s + FALL_S, self._fell)
            if length_s > PAUSE_S:
                agenda.at(began_s + from_s + PAUSE_S, self._pause_began)
                agenda.at(began_s + from_s + length_s, self._resumed)
        agenda.at(turn.ended_s + FALL_S, self._fell)
        agenda.at(turn.ended_s + PAUSE_S, lambda: self._pause_began(final=True))
        agenda.at(turn.ended_s + cost.wait_s, self._silent_long_enough)
        self._missing = agenda.at(turn.ended_s + self._wait_s, self._missed)
        self._enough = False

    def _fell(self) -> None:
        """Words are decoded before the silence is a pause, where the box has room."""
        box = self._box
        if self._pause is not None or not box.room(WORDS_LOAD):
            return
        self._let_go_early()
        early = self._early = _Early()
        said_s = min(box.now_s, self._turn.ended_s) - self._began_s
        share = said_s / self._cost.speech_s if self._cost.speech_s else 1.0

        def done() -> None:
            early.done = True
            if early.pause is not None:
                self._decoded(early.pause)
            elif self._answer is None:
                self._read_ahead(share)

        due_s = box.now_s + STOP_S
        early.job = box.submit("stt", self._cost.stt_s, due_s, done, guess=True)

    def _let_go_early(self) -> None:
        """It was a gap between words."""
        early, self._early = self._early, None
        if early is not None and early.job is not None and not self._box.cancel(early.job):
            self._box.discarded_s += self._cost.stt_s

    def _read_ahead(self, share: float) -> None:
        words = self._words[: round(share * len(self._words))]
        self._box.llm.begin(self._place, [*self._history, *words], 0, lambda count: None)

    def _pause_began(self, final: bool = False) -> None:
        box, cost = self._box, self._cost
        if self._doubt is not None:
            self._doubt.call_off()
            self._doubt = None
        pause = self._pause = _Pause(box.now_s, final)
        due_s = box.now_s - PAUSE_S + STOP_S
        early, self._early = self._early, None
        busy = box.hesitates

        def judged() -> None:
            if pause.dropped:
                box.discarded_s += cost.turn_s
            elif busy and final:
                self._decode(pause, due_s)
            box.hop(lambda: self._judged(pause))

        if early is not None and early.job is not None and not box.cancel(early.job):
            early.pause = pause
            pause.jobs["stt"] = early.job
            if early.done:
                self._decoded(pause)
        elif busy:
            box.agenda.after(BUSY_DECODE_S, lambda: self._decode(pause, due_s))
        else:
            self._decode(pause, due_s)
        if (job := box.submit("turn", cost.turn_s, due_s, judged)) is not None:
            pause.jobs["turn"] = job

    def _decode(self, pause: _Pause, due_s: float) -> None:
        """Once a pause, unless the caller went on."""
        if pause.dropped or "stt" in pause.jobs:
            return
        job = self._box.submit("stt", self._cost.stt_s, due_s, lambda: self._decoded(pause))
        if job is not None:
            pause.jobs["stt"] = job

    def _decoded(self, pause: _Pause) -> None:
        if pause.dropped:
            self._box.discarded_s += self._cost.stt_s
        self._box.hop(lambda: self._understood(pause))

    def _resumed(self) -> None:
        """It was a pause only."""
        pause, self._pause = self._pause, None
        if pause is None:
            return
        pause.dropped = True
        box, cost = self._box, self._cost
        box.discarded_s += pause.words * cost.stt_s + pause.judged * cost.turn_s
        self._take_back(pause)
        if self._answer is not None:
            self._doubt = box.agenda.after(DOUBT_S, self._drop_guess)

    def _take_back(self, pause: _Pause) -> None:
        """What was not begun for a pause is not begun."""
        for job in pause.jobs.values():
            self._box.cancel(job)

    def _drop_guess(self) -> None:
        self._doubt = None
        if self._answer is not None:
            self._answer.cancel()
            self._box.discarded_s += self._answer.busy_s
            self._answer = None

    def _understood(self, pause: _Pause) -> None:
        if pause.dropped:
            return
        pause.words = True
        if pause.final:
            self._turn.transcript_s = self._box.now_s
        # Guessed at an earlier pause, before the last words.
        self._drop_guess()
        if not self._over(pause) and self._box.room(ANSWER_LOAD):
            self._begin_answer(guess=True)
        elif not self._over(pause):
            self._read_ahead(1.0)
        self._maybe_answer(pause)

    def _judged(self, pause: _Pause) -> None:
        pause.judged = True
        self._maybe_answer(pause)

    def _silent_long_enough(self) -> None:
        self._enough = True
        if self._pause is not None:
            self._maybe_answer(self._pause)

    def _over(self, pause: _Pause) -> bool:
        """Whether the caller has finished, for all that the box knows."""
        return pause.final and pause.judged and self._enough

    def _maybe_answer(self, pause: _Pause) -> None:
        if pause is not self._pause or not self._over(pause):
            return
        turn = self._turn
        if turn.over_s is None:
            turn.over_s = self._box.now_s
        if not pause.words:
            return
        self._pause = None
        if self._answer is None:
            self._begin_answer(guess=False)
        else:
            turn.guessed = True
        assert self._answer is not None
        self._answer.confirm()

    def _begin_answer(self, *, guess: bool) -> None:
        history = [*self._history, *self._words]
        wanted_s = self._turn.ended_s + self._cost.wait_s if guess else self._box.now_s
        self._answer = Answer(
            self._box, self._place, history, self._cost.clauses, wanted_s, guess, self._spoken
        )

    def _spoken(self) -> None:
        """The answer is played to its end."""
        answer = self._answer
        if answer is not None and answer.first_audio_s is not None:
            self._finish(answer, missed=False)

    def _missed(self) -> None:
        """The caller gives up, unless a voice was heard by now."""
        answer = self._answer
        if answer is not None and answer.first_audio_s is not None:
            return
        if self._pause is not None:
            self._pause.dropped = True
            self._take_back(self._pause)
            self._pause = None
        if answer is not None:
            answer.cancel()
            self._box.discarded_s += answer.busy_s
        self._finish(answer, missed=True)

    def _finish(self, answer: Answer | None, *, missed: bool) -> None:
        turn, box = self._turn, self._box
        self._missing.call_off()
        self._answer = None
        self._history += self._words
        if answer is not None:
            turn.first_token_s = answer.first_token_s
            turn.first_clause_s = answer.first_clause_s
            turn.first_audio_s, turn.gaps = answer.first_audio_s, answer.gaps
            self._history += answer.tokens
        if not missed and turn.first_audio_s is not None:
            wire_s = _quantile(box.costs.wire_s, box.random.random())
            turn.v2v_s = turn.first_audio_s - turn.ended_s + wire_s
        if len(self._history) > box.costs.context_tokens - box.costs.head_tokens - 200:
            self._history.clear()
        self._on_turn(turn)
        self._next()


def _quantile(quantiles: Sequence[float], share: float) -> float:
    """Between evenly spaced quantiles, the first the minimum and the last the maximum."""
    place = share * (len(quantiles) - 1)
    low = min(int(place), len(quantiles) - 2) if len(quantiles) > 1 else 0
    high = min(low + 1, len(quantiles) - 1)
    return quantiles[low] + (place - low) * (quantiles[high] - quantiles[low])
