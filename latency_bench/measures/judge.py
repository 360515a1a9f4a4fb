"""What should be true of a call, held against what was measured. Pure.

Verdicts are named as the scenario's fields. What could not be measured is not met: an interruption
that found nothing to interrupt, words that nobody listened for, a step that was never reached, and
all that hangs on the agent's voice where the line was too loud to find it. An answer that is owed
and does not come is not met under the rule ``answers``, also where the scenario expects nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

from latency_bench.figures import CallFigures, TurnFigures, Verdict
from latency_bench.measures.voices import TOO_LOUD
from latency_bench.scenario import Expect, Scenario
from latency_bench.words import spoken_words

ANSWERS = "answers"
VOICELESS = ("transferred", "answered_within_s", "hangs_up")
"""Rules that can be judged without the agent's voice."""


def judge(figures: CallFigures, scenario: Scenario) -> CallFigures:
    """The same figures with a verdict for each expectation of ``scenario``.

    A turn's stand with the last part that its step was sent as; those of steps that were not
    reached, with the call.
    """
    turns = list(figures.turns)
    judged: set[int] = set()
    for place, turn in enumerate(turns):
        following = turns[place + 1] if place + 1 < len(turns) else None
        goes_on = turn.continues and following is not None and following.step == turn.step
        if goes_on or turn.step >= len(scenario.steps):
            continue
        judged.add(turn.step)
        expect = scenario.steps[turn.step].expect
        chain = _turn_up_to(turns, place)
        turns[place] = replace(turn, verdicts=tuple(_of_turn(expect, chain, figures)))
    unreached = [
        Verdict(rule, limit, None, False)
        for number, step in enumerate(scenario.steps)
        if number not in judged
        for rule, limit in _set_rules(step.expect)
    ]
    verdicts = (*_of_call(figures, scenario), *unreached)
    return replace(figures, turns=tuple(turns), verdicts=verdicts)


def _turn_up_to(turns: Sequence[TurnFigures], place: int) -> Sequence[TurnFigures]:
    """The parts of the turn that ``place`` belongs to, up to it."""
    first = place
    while first > 0 and turns[first - 1].continues:
        first -= 1
    return turns[first : place + 1]


def _of_turn(expect: Expect, chain: Sequence[TurnFigures], figures: CallFigures) -> list[Verdict]:
    turn = chain[-1]
    verdicts: list[Verdict] = []
    too_loud = TOO_LOUD in figures.notes
    if turn.owes_answer and not turn.continues and (turn.missed or too_loud):
        if not expect.no_answer:
            verdicts.append(Verdict(ANSWERS, True, None if too_loud else False, False))
    for rule, limit in _set_rules(expect):
        if too_loud and rule not in VOICELESS:
            verdicts.append(Verdict(rule, limit, None, False))
            continue
        match rule:
            case "answer_within_s":
                value = _first_answer_s(turn)
                met = value is not None and 0 <= value <= float(limit)
                verdicts.append(Verdict(rule, limit, value, met))
            case "not_before_s":
                # A filler as well says that the sentence was taken for a finished one.
                value = None if turn.v2v_ms is None else turn.v2v_ms / 1000
                early = any(part.cut_in for part in chain)
                met = not early and (value is None or value >= float(limit))
                verdicts.append(Verdict(rule, limit, value, met))
            case "words":
                verdicts.append(_words(rule, expect.words, turn, all_of=True))
            case "any_word":
                verdicts.append(_words(rule, expect.any_word, turn, all_of=False))
            case "stops_within_ms":
                met = turn.stop_ms is not None and turn.stop_ms <= float(limit)
                verdicts.append(Verdict(rule, limit, turn.stop_ms, met))
            case "does_not_stop":
                went_on = None if turn.stopped is None else not turn.stopped
                verdicts.append(Verdict(rule, True, went_on, went_on is True))
            case "waits":
                waited = not any(part.cut_in for part in chain)
                verdicts.append(Verdict(rule, True, waited, waited))
            case "no_answer":
                silent = turn.v2v_ms is None
                verdicts.append(Verdict(rule, True, silent, silent))
            case "transferred":
                to = figures.transferred_to
                verdicts.append(Verdict(rule, True, to, to is not None))
            case _:
                raise ValueError(f"no way to judge {rule!r}")
    return verdicts


def _first_answer_s(turn: TurnFigures) -> float | None:
    """Where nobody listened, the first sound is taken for the answer."""
    first_ms = turn.first_answer_ms
    if first_ms is None and turn.recognised is None:
        first_ms = turn.v2v_ms
    return None if first_ms is None else first_ms / 1000


def _set_rules(expect: Expect) -> list[tuple[str, float | str | bool]]:
    """The rules that are set, with their limits as a report shows them."""
    rules: list[tuple[str, float | str | bool]] = []
    if expect.answer_within_s is not None:
        rules.append(("answer_within_s", expect.answer_within_s))
    if expect.not_before_s is not None:
        rules.append(("not_before_s", expect.not_before_s))
    if expect.words:
        rules.append(("words", ", ".join(expect.words)))
    if expect.any_word:
        rules.append(("any_word", ", ".join(expect.any_word)))
    if expect.stops_within_ms is not None:
        rules.append(("stops_within_ms", expect.stops_within_ms))
    flags = ("does_not_stop", "waits", "no_answer", "transferred")
    rules += [(flag, True) for flag in flags if getattr(expect, flag)]
    return rules


def _words(rule: str, wanted: Sequence[str], turn: TurnFigures, *, all_of: bool) -> Verdict:
    heard = turn.recognised
    found = [heard is not None and _says(heard, phrase) for phrase in wanted]
    return Verdict(rule, ", ".join(wanted), heard, all(found) if all_of else any(found))


def _says(heard: str, phrase: str) -> bool:
    """Whether the words of ``phrase`` are in ``heard``, one after the other."""
    words, want = spoken_words(heard), spoken_words(phrase)
    return bool(want) and any(
        words[place : place + len(want)] == want for place in range(len(words) - len(want) + 1)
    )


def _of_call(figures: CallFigures, scenario: Scenario) -> list[Verdict]:
    expect, verdicts = scenario.expect, []
    for rule, limit, value_ms in (
        ("greeting_within_s", expect.greeting_within_s, figures.greeting_ms),
        ("answered_within_s", expect.answered_within_s, figures.answer_ms),
    ):
        if limit is not None:
            value = None if value_ms is None else value_ms / 1000
            verdicts.append(Verdict(rule, limit, value, value is not None and value <= limit))
    if expect.dead_air_under_s is not None:
        owed = [t.dead_air_ms / 1000 for t in figures.turns if t.owes_answer and not t.continues]
        longest = None if TOO_LOUD in figures.notes else max(owed, default=None)
        met = longest is not None and longest < expect.dead_air_under_s
        verdicts.append(Verdict("dead_air_under_s", expect.dead_air_under_s, longest, met))
    if expect.hangs_up:
        hung_up = figures.outcome == "remote"
        verdicts.append(Verdict("hangs_up", True, hung_up, hung_up))
    return verdicts
