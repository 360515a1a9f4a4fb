"""Agents that behave badly in one way each: exactly its figure turns red, and nothing hangs."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import numpy as np
import pytest
from numpy.typing import NDArray

from latency_bench.conversation import Conversation, Pace
from latency_bench.figures import CallFigures
from latency_bench.measures.judge import judge
from latency_bench.measures.measure import measure_call, unplaced, with_words
from latency_bench.part import Part, When
from latency_bench.place import place_call
from latency_bench.recording import CallFailed
from latency_bench.reference.burst import sweep
from latency_bench.reference.process import ReferenceProcess
from latency_bench.scenario import Expect, ExpectCall, Scenario, Step
from latency_bench.target import Door

PACE = Pace(
    greeting_silence_s=0.3, greeting_limit_s=1.5, answer_silence_s=0.8, pause_s=0.15, linger_s=0.3
)
LIMIT_S = 30.0
RING_S = 2.0
ALL_S = 90.0
AGAIN = 2

ANSWERED = Expect(answer_within_s=1.5, waits=True)
TALK = Scenario(
    name="talk",
    about="two questions",
    steps=(Step(say="one", expect=ANSWERED), Step(say="two", expect=ANSWERED)),
    expect=ExpectCall(greeting_within_s=1.5),
)
ONE = Scenario(
    name="one",
    about="a question",
    steps=(Step(say="one", expect=ANSWERED),),
    expect=ExpectCall(greeting_within_s=1.5),
)
OVER = Scenario(
    name="over",
    about="a backchannel over an answer, and an interruption of the next",
    steps=(
        Step(say="one", expect=ANSWERED),
        Step(say="mm-hm", when="over", answer=False, expect=Expect(does_not_stop=True)),
        Step(say="two", expect=ANSWERED),
        Step(say="stop", when="over", expect=Expect(stops_within_ms=1000)),
    ),
)
LONG_S, SHORT_S = 0.4, 0.15

CALLS = {
    "good": TALK,
    "late": ONE,
    "cut-in": ONE,
    "deaf": ONE,
    "echoing": TALK,
    "silent": ONE,
    "disconnecting": TALK,
    "robotic": ONE,
    "clipping": ONE,
    "filler": ONE,
    "talkative": OVER,
    "unstoppable": OVER,
    "skittish": OVER,
}
TURNS_RED = {
    "good": set(),
    "late": {"answer_within_s"},
    "cut-in": {"waits", "answer_within_s"},
    "deaf": {"answers", "missed", "answer_within_s"},
    "echoing": {"echo"},
    "silent": {"answers", "missed", "answer_within_s", "greeting_within_s"},
    # The second question is not reached.
    "disconnecting": {"outcome", "waits", "answer_within_s"},
    "robotic": {"broken"},
    "clipping": {"clipped"},
    "filler": {"filler"},
    "talkative": set(),
    # It does not hear what it is interrupted with.
    "unstoppable": {"stops_within_ms", "answers", "missed"},
    "skittish": {"does_not_stop"},
}
FAILURES = {
    "sip": {
        "refusing": ("refused", "486 Busy Here"),
        "ringing": ("unanswered", "did not answer within 2 s"),
        "soundless": ("no_audio", "no packet of sound came"),
        "wrong-codec": ("bad_codec", "payload type 125, which was not negotiated"),
        "no-sdp": ("no_audio", "200 OK without a port for audio"),
        "vanishing": ("failed", "the agent is gone: .* no answer"),
        "dying": ("failed", "the agent is gone: .* refused"),
    },
    "webrtc": {
        "refusing": ("refused", "503 busy"),
        "ringing": ("unanswered", "did not answer within 2 s"),
        "soundless": ("no_audio", "no packet of sound came"),
        "wrong-codec": ("bad_codec", "payload type 125, which was not agreed on"),
        "no-sdp": ("unreachable", "no usable SDP answer"),
        "dying": ("failed", "nothing came from the agent"),
    },
    "twilio": {
        "refusing": ("refused", "503 busy"),
        "ringing": ("unanswered", "did not answer within 2 s"),
        "soundless": ("no_audio", "no packet of sound came"),
        "wrong-codec": ("bad_codec", "media without sound"),
        "vanishing": ("failed", "the connection broke"),
    },
}
TURNS = {
    "sip": list(CALLS),
    "webrtc": ["good", "late", "cut-in", "deaf", "clipping", "disconnecting"],
    "twilio": ["good", "late", "deaf", "disconnecting"],
}
AT_ONCE = {"sip": 20, "webrtc": 3, "twilio": 20}
"""Encoders take their time: more calls at once would be late by themselves."""


def beep(
    step: int, rate_hz: int, length_s: float, when: When, owes_answer: bool, wait_s: float
) -> Part:
    lead, tail = np.zeros(rate_hz // 50, np.int16), np.zeros(rate_hz // 10, np.int16)
    sound = sweep(length_s, rate_hz)
    return Part(
        step=step,
        kind="speech",
        pcm=np.concatenate((lead, sound, tail)),
        rate_hz=rate_hz,
        first=len(lead),
        last=len(lead) + len(sound) - 1,
        when=when,
        at_s=0.5 if when == "over" else 0.0,
        owes_answer=owes_answer,
        wait_s=wait_s,
    )


def parts_of(name: str, rate_hz: int) -> list[Part]:
    # The death of an agent shows by its silence, which has to be waited for.
    wait_s = 20.0 if name in ("vanishing", "dying") else 4.0
    return [
        beep(number, rate_hz, LONG_S if step.answer else SHORT_S, step.when, step.answer, wait_s)
        for number, step in enumerate(CALLS.get(name, ONE).steps)
    ]


def by_length(pcm: NDArray[np.int16], rate_hz: int) -> str:
    """Stands in for a recogniser: the filler is the short sound."""
    return "one moment" if len(pcm) < 0.68 * rate_hz else "it is ten o'clock"


async def called(agent: ReferenceProcess, name: str) -> CallFigures:
    scenario = CALLS.get(name, ONE)

    def talk(rate_hz: int) -> Conversation:
        return Conversation(parts_of(name, rate_hz), rate_hz, PACE)

    try:
        recording = await place_call(
            agent.target(name), talk, limit_s=LIMIT_S, answer_limit_s=RING_S
        )
    except CallFailed as error:
        return judge(unplaced(0, scenario.name, agent.door, error, 0.0), scenario)
    figures = measure_call(recording, call=0, scenario=scenario.name, began_s=0.0)
    return judge(with_words(figures, recording, by_length), scenario)


async def call_all(door: Door, names: Sequence[str]) -> dict[str, CallFigures]:
    few = asyncio.Semaphore(AT_ONCE[door])

    async def one(name: str) -> CallFigures:
        if name in FAILURES[door]:
            return await called(mortal if name == "dying" else agent, name)
        async with few:
            return await called(agent, name)

    # The process of an agent that dies is gone afterwards.
    agent, mortal = ReferenceProcess(door), ReferenceProcess(door)
    async with asyncio.timeout(ALL_S), AsyncExitStack() as stack:
        used = [agent, mortal] if "dying" in names else [agent]
        await asyncio.gather(*(stack.enter_async_context(process) for process in used))
        calls = await asyncio.gather(*(one(name) for name in names))
        return dict(zip(names, calls, strict=True))


def red(figures: CallFigures) -> set[str]:
    """The verdicts that were not met, and what else of the figures is bad."""
    verdicts = [*figures.verdicts, *(v for turn in figures.turns for v in turn.verdicts)]
    found = {verdict.rule for verdict in verdicts if not verdict.met}
    wire = figures.wire
    found |= {"missed"} if any(turn.missed for turn in figures.turns) else set()
    found |= {"filler"} if any(turn.filler for turn in figures.turns) else set()
    found |= {"echo"} if wire.echo_db is not None else set()
    found |= {"clipped"} if wire.clipped > 0.001 else set()
    found |= {"broken"} if wire.broken else set()
    found |= {"outcome"} if figures.outcome != "completed" else set()
    return found


@pytest.fixture(scope="module")
def figures_of() -> Callable[[Door, str], CallFigures]:
    """Each door's calls, placed at once when the first of them is asked for."""
    made: dict[Door, dict[str, CallFigures]] = {}

    def figures(door: Door, name: str) -> CallFigures:
        if door not in made:
            made[door] = asyncio.run(call_all(door, [*TURNS[door], *FAILURES[door]]))
        return made[door][name]

    return figures


@pytest.mark.parametrize(("door", "name"), [(d, n) for d, names in TURNS.items() for n in names])
def test_bad_turns_show_in_their_figure_alone(
    door: Door, name: str, figures_of: Callable[[Door, str], CallFigures]
) -> None:
    figures = figures_of(door, name)
    for _ in range(AGAIN):
        if red(figures) == TURNS_RED[name]:
            break
        # On a machine that was held up, a good agent is late as well: it gets another chance.
        figures = asyncio.run(call_all(door, [name]))[name]
    assert red(figures) == TURNS_RED[name], figures
    assert figures.passed == (not TURNS_RED[name] - {"filler", "clipped", "broken", "echo"})


@pytest.mark.parametrize(("door", "name"), [(d, n) for d, names in FAILURES.items() for n in names])
def test_calls_that_fail_say_how_and_why(
    door: Door, name: str, figures_of: Callable[[Door, str], CallFigures]
) -> None:
    outcome, reason = FAILURES[door][name]
    figures = figures_of(door, name)
    assert figures.outcome == outcome and not figures.passed
    assert re.search(reason, figures.reason), figures.reason


def test_an_echo_is_as_loud_as_it_was_made(
    figures_of: Callable[[Door, str], CallFigures],
) -> None:
    echo_db = figures_of("sip", "echoing").wire.echo_db
    assert echo_db is not None and abs(echo_db + 6.0) < 1.0
