"""What the caller does next, on a made-up line, 20 ms at a time."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from latency_bench.conversation import (
    FRAME_S,
    YIELDED_S,
    Conversation,
    Pace,
    Phase,
    VoiceGate,
    with_wait,
)
from latency_bench.part import Part, spoken_part
from latency_bench.utterance import WIRE_RATE_HZ, Utterance

RATE_HZ = 8000
PACE = Pace(
    greeting_silence_s=0.7,
    greeting_limit_s=6.0,
    answer_silence_s=1.0,
    listen_limit_s=30.0,
    pause_s=0.3,
)
SPEECH_S = 0.5
LEVEL = 6000


def speech(step: int = 0, **changes: object) -> Part:
    """Half a second of speech between 40 ms and 100 ms of silence."""
    pcm = np.zeros(round(0.64 * RATE_HZ), np.int16)
    first, last = round(0.04 * RATE_HZ), round((0.04 + SPEECH_S) * RATE_HZ) - 1
    pcm[first : last + 1] = LEVEL
    made = Part(step, "speech", pcm, RATE_HZ, first, last, text=f"part {step}")
    return replace(made, **changes)  # type: ignore[arg-type]


def sound(kind: str, seconds: float, level: int, step: int = 0) -> Part:
    pcm = np.full(round(seconds * RATE_HZ), level, np.int16)
    return Part(step, kind, pcm, RATE_HZ, 0, len(pcm) - 1, owes_answer=False)  # type: ignore[arg-type]


def keys(text: str, step: int = 0) -> Part:
    return Part(step, "keys", np.zeros(0, np.int16), RATE_HZ, 0, 0, keys=text)


class Line:
    """A conversation, and an agent that is silent or speaks as told."""

    def __init__(
        self, *parts: Part, pace: Pace = PACE, background: NDArray[np.int16] | None = None
    ) -> None:
        self.talk = Conversation(parts, RATE_HZ, pace, background)
        self.now_s = self.began_s = 100.0
        self.sent: list[NDArray[np.int16]] = []
        self.keys: list[tuple[float, str]] = []

    def run(self, duration_s: float, level_dbfs: float = -90.0) -> "Line":
        for _ in range(round(duration_s / FRAME_S)):
            self.talk.hear(level_dbfs, self.now_s)
            self.sent.append(self.talk.next_frame(self.now_s))
            if pressed := self.talk.keys_due():
                self.keys.append((self.now_s, pressed))
            self.now_s += FRAME_S
        return self

    def voice(self, duration_s: float) -> "Line":
        return self.run(duration_s, -25.0)

    def until(self, phase: Phase, limit_s: float = 60.0) -> "Line":
        """Silence until the caller is in ``phase``."""
        end_s = self.now_s + limit_s
        while self.talk.phase is not phase:
            assert self.now_s < end_s, f"never {phase}, but {self.talk.phase}"
            self.run(FRAME_S)
        return self

    @property
    def pcm(self) -> NDArray[np.int16]:
        return np.concatenate(self.sent)

    def at_s(self, sample: int) -> float:
        """When a sample was sent."""
        return self.began_s + sample / RATE_HZ


def test_speaks_after_the_greeting_and_is_done_after_the_last_answer() -> None:
    line = Line(speech(0), speech(1)).run(0.5).voice(2.0)
    greeting_over_s = line.now_s
    line.until(Phase.SENDING)
    assert 0.95 < line.now_s - greeting_over_s < 1.1, "0.7 s of silence, then a pause of 0.3 s"
    line.until(Phase.WAITING).run(0.6).voice(1.5)
    answer_over_s = line.now_s
    line.until(Phase.SENDING)
    assert 1.25 < line.now_s - answer_over_s < 1.4
    assert not line.talk.over
    line.until(Phase.WAITING).voice(1.5).until(Phase.DONE)
    assert line.talk.over and line.talk.missed == []
    assert [said.part for said in line.talk.said] == [0, 1]


def test_what_was_said_lies_in_the_sent_stream_to_the_sample() -> None:
    line = Line(speech(3, source="a recording")).voice(1.0).until(Phase.WAITING).run(0.2)
    (said,) = line.talk.said
    loud = np.flatnonzero(line.pcm == LEVEL)
    assert (said.first, said.last) == (loud[0], loud[-1])
    assert said.last - said.first + 1 == SPEECH_S * RATE_HZ
    assert (said.step, said.kind, said.text, said.source) == (3, "speech", "part 3", "a recording")
    assert said.owes_answer and not said.over_agent and not said.continues


def test_every_frame_has_20_ms_and_nothing_is_sent_unasked() -> None:
    line = Line().voice(1.0).run(60.0)
    assert {len(frame) for frame in line.sent} == {160} and not np.any(line.pcm)
    assert line.talk.phase is Phase.GREETING and not line.talk.over


def test_a_part_is_brought_to_the_lines_rate_with_its_ends() -> None:
    t = np.arange(round(0.5 * WIRE_RATE_HZ)) / WIRE_RATE_HZ
    tone = (np.sin(2 * np.pi * 400 * t) * 9000).astype(np.int16)
    pcm = np.concatenate((np.zeros(4800, np.int16), tone, np.zeros(4800, np.int16)))
    part = spoken_part(Utterance(pcm, 4800, 4800 + len(tone) - 1, "words", "test"), 2)
    line = Line(part).voice(1.0).until(Phase.WAITING).run(0.2)
    (said,) = line.talk.said
    loud = np.flatnonzero(np.abs(line.pcm.astype(np.int32)) > 500)
    assert abs(said.first - loud[0]) <= 8 and abs(said.last - loud[-1]) <= 8


def test_an_agent_without_a_greeting_is_spoken_to() -> None:
    line = Line(speech()).run(5.9)
    assert line.talk.phase is Phase.GREETING
    line.run(0.6)
    assert line.talk.phase is Phase.SENDING


def test_an_endless_greeting_is_talked_over() -> None:
    line = Line(speech(0), speech(1), pace=replace(PACE, listen_limit_s=8.0)).run(0.5).voice(7.3)
    assert line.talk.phase is Phase.GREETING
    line.voice(0.6)
    assert line.talk.phase is Phase.SENDING
    line.voice(8.0 + SPEECH_S)
    assert line.talk.missed == [0], "it never yielded"
    line.voice(20.0)
    assert line.talk.over and line.talk.missed == [0, 1]
    assert [said.over_agent for said in line.talk.said] == [True, True]


def test_a_late_greeting_is_heard_out_and_an_agent_may_be_given_longer_to_begin() -> None:
    pace = replace(PACE, greeting_limit_s=20.0, listen_limit_s=8.0)
    line = Line(speech(), pace=pace).run(15.0)
    assert line.talk.phase is Phase.GREETING
    line.voice(3.0).until(Phase.WAITING)
    assert [said.over_agent for said in line.talk.said] == [False]


def test_a_part_may_be_thought_over_before() -> None:
    line = Line(speech(at_s=2.0)).voice(1.0)
    over_s = line.now_s
    line.until(Phase.SENDING)
    assert 2.65 < line.now_s - over_s < 2.8, "0.7 s of silence, then 2 s of thought"


def test_a_pause_inside_an_answer_does_not_end_it() -> None:
    line = Line(speech()).voice(1.0).until(Phase.WAITING)
    line.run(0.3).voice(1.0).run(0.8).voice(1.0).run(0.8)
    assert line.talk.phase is Phase.LISTENING
    assert line.run(0.4).talk.over


def test_an_answer_that_stalls_is_waited_for_where_the_agent_says_so() -> None:
    line = Line(speech()).voice(1.0).until(Phase.WAITING).run(0.3)
    line.talk.told(agent_speaking=True)
    line.voice(0.5).run(4.0).voice(0.5)
    assert line.talk.phase is Phase.LISTENING
    line.talk.told(agent_speaking=False)
    assert line.run(1.2).talk.over


def test_an_agent_that_only_claims_to_speak_is_not_waited_for_for_ever() -> None:
    line = Line(speech()).voice(1.0).until(Phase.WAITING)
    line.talk.told(agent_speaking=True)
    assert not line.voice(0.5).run(4.8).talk.over
    assert line.run(0.4).talk.over


def test_no_answer_is_a_missed_part_and_the_call_goes_on() -> None:
    line = Line(speech(0, wait_s=4.0), speech(1)).voice(1.0).until(Phase.WAITING)
    assert line.run(3.9).talk.missed == []
    line.run(0.2)
    assert line.talk.missed == [0]
    line.until(Phase.SENDING, 1.0)
    assert [said.part for said in line.until(Phase.WAITING).talk.said] == [0, 1]


def test_the_pace_may_limit_every_wait() -> None:
    line = Line(speech(), pace=replace(PACE, answer_limit_s=1.5)).voice(1.0).until(Phase.WAITING)
    assert line.run(1.7).talk.missed == [0] and line.talk.over
    waits = [part.wait_s for part in with_wait([speech(0), speech(1)], 2.5)]
    assert waits == [2.5, 2.5]


def test_an_answer_without_end_is_talked_over() -> None:
    line = Line(speech()).voice(1.0).until(Phase.WAITING)
    for _ in range(18):
        line.voice(1.5).run(0.1)
    assert line.talk.phase is Phase.LISTENING
    line.voice(1.5).run(0.1)
    assert line.talk.over and line.talk.missed == []


def test_an_agent_that_cuts_in_is_listened_to() -> None:
    line = Line(speech()).voice(1.0).until(Phase.SENDING).voice(SPEECH_S + 0.3)
    assert line.talk.phase is Phase.LISTENING
    assert line.run(1.2).talk.over and line.talk.missed == []


def test_an_interruption_comes_so_long_after_the_agent_began_and_the_agent_yields() -> None:
    line = Line(speech(0), speech(1, when="over", at_s=1.0)).voice(1.0).until(Phase.WAITING)
    line.run(0.4)
    began_s = line.now_s
    while line.talk.phase is not Phase.SENDING:
        assert line.now_s - began_s < 2
        line.voice(FRAME_S)
    assert 0.95 < line.now_s - began_s < 1.1
    line.voice(0.2).run(SPEECH_S)
    said = line.talk.said[1]
    assert said.over_agent and line.at_s(said.first) - began_s == pytest.approx(1.04, abs=0.05)
    assert line.talk.phase is Phase.WAITING, "it fell silent while it was interrupted"
    assert line.voice(1.0).run(1.2).talk.over and line.talk.missed == []


def test_an_agent_that_does_not_yield_is_waited_for_and_then_missed() -> None:
    line = Line(speech(0, when="over", at_s=0.5), pace=replace(PACE, listen_limit_s=5.0))
    line.voice(0.5 + SPEECH_S + 0.3)
    assert line.talk.phase is Phase.YIELDING
    assert line.voice(4.0).talk.missed == []
    assert line.voice(1.5).talk.missed == [0] and line.talk.over


def test_an_agent_that_ends_its_sentence_has_yielded_then_and_owes_an_answer() -> None:
    line = Line(speech(0, when="over", at_s=0.5)).voice(0.5 + SPEECH_S + 1.0)
    assert line.talk.phase is Phase.YIELDING
    line.run(YIELDED_S + 0.1)
    assert line.talk.phase is Phase.WAITING
    line.run(0.5).voice(1.0)
    assert line.talk.phase is Phase.LISTENING


def test_an_agent_that_stopped_and_began_anew_over_the_interruption_is_answering() -> None:
    long = np.full(round(1.5 * RATE_HZ), LEVEL, np.int16)
    part = replace(speech(0, when="over", at_s=0.5), pcm=long, first=0, last=len(long) - 1)
    line = Line(part).voice(0.8).run(0.6).voice(0.8)
    assert line.talk.phase is Phase.LISTENING
    assert line.run(1.2).talk.over and line.talk.missed == []


def test_an_agent_that_is_done_before_the_interruption_is_asked_all_the_same() -> None:
    line = Line(speech(0), speech(1, when="over", at_s=3.0)).voice(1.0).until(Phase.WAITING)
    line.voice(1.0).until(Phase.WAITING, 4.0)
    assert [said.over_agent for said in line.talk.said] == [False, False]


def test_the_greeting_may_be_interrupted() -> None:
    line = Line(speech(0, when="over", at_s=0.4)).voice(2.0)
    assert line.talk.said[0].over_agent and line.at_s(line.talk.said[0].first) < 101.0


def test_a_pause_inside_a_sentence_is_one_turn_whatever_the_agent_does() -> None:
    line = Line(speech(0), speech(1, when="continues", at_s=1.5)).voice(1.0)
    line.until(Phase.BETWEEN)
    line.voice(1.0).run(0.6)
    assert line.talk.phase is Phase.SENDING
    line.until(Phase.WAITING)
    first, second = line.talk.said
    assert first.continues and not second.continues
    assert (second.first - first.last) / RATE_HZ == pytest.approx(1.54, abs=0.05)
    assert line.talk.missed == []


def test_a_part_that_goes_on_into_the_agents_voice_is_over_it() -> None:
    line = Line(speech(0), speech(1, when="continues", at_s=0.5)).voice(1.0).until(Phase.BETWEEN)
    line.voice(2.0)
    assert [said.over_agent for said in line.talk.said] == [False, True]


def test_a_backchannel_owes_no_answer_and_the_agent_is_heard_out() -> None:
    part = speech(1, when="over", at_s=0.5, owes_answer=False)
    line = Line(speech(0), part, speech(2)).voice(1.0).until(Phase.WAITING).voice(3.0)
    assert [said.part for said in line.talk.said] == [0, 1]
    assert line.talk.phase is Phase.LISTENING
    over_s = line.now_s
    line.until(Phase.SENDING)
    assert 1.25 < line.now_s - over_s < 1.4, "the agent's answer ends as any other does"
    assert line.talk.missed == [] and not line.talk.said[1].owes_answer


def test_noise_is_sent_to_its_end_and_nothing_is_owed() -> None:
    line = Line(sound("noise", 1.0, 700), speech(1)).voice(1.0).until(Phase.SENDING)
    line.run(1.1)
    (said,) = line.talk.said
    assert said.kind == "noise" and said.last - said.first + 1 == RATE_HZ
    assert np.count_nonzero(line.pcm == 700) == RATE_HZ
    line.until(Phase.SENDING, 0.5)


def test_an_agent_that_answers_noise_is_heard_out() -> None:
    line = Line(sound("noise", 1.0, 700), speech(1)).voice(1.0).until(Phase.SENDING).voice(2.0)
    assert line.talk.phase is Phase.LISTENING and len(line.talk.said) == 1
    assert len(line.until(Phase.WAITING).talk.said) == 2


def test_silence_lasts_as_long_as_it_should() -> None:
    line = Line(sound("silence", 3.0, 0), speech(1)).voice(1.0).until(Phase.SENDING)
    began_s = line.now_s
    line.until(Phase.PAUSE)
    assert line.now_s - began_s == pytest.approx(3.0, abs=0.05)
    assert line.talk.said[0].kind == "silence"


def test_keys_are_due_once_with_their_frame_and_owe_an_answer() -> None:
    line = Line(keys("12#"), speech(1)).voice(1.0).until(Phase.WAITING)
    ((at_s, pressed),) = line.keys
    (said,) = line.talk.said
    assert pressed == "12#" and said.text == "12#" and said.kind == "keys"
    assert said.first == said.last and line.at_s(said.first) == pytest.approx(at_s, abs=1e-6)
    assert line.talk.keys_due() == ""
    line.voice(1.0).until(Phase.SENDING)
    assert len(line.keys) == 1


def test_background_lies_under_everything_and_repeats_without_a_seam() -> None:
    background = np.arange(1, 401, dtype=np.int16)
    line = Line(speech(), background=background).voice(1.0).until(Phase.WAITING).run(0.5)
    (said,) = line.talk.said
    expected = np.resize(background, len(line.pcm)).astype(np.int32)
    expected[said.first : said.last + 1] += LEVEL
    assert np.array_equal(line.pcm, expected.astype(np.int16))


def test_background_over_loud_speech_is_clipped_and_not_wrapped() -> None:
    loud = replace(speech(), pcm=np.full(4000, 32000, np.int16), first=0, last=3999)
    line = Line(loud, background=np.full(10, 2000, np.int16)).voice(1.0).until(Phase.WAITING)
    assert line.pcm.max() == 32767 and line.pcm.min() == 2000


def test_the_caller_may_stay_after_all_is_done() -> None:
    line = Line(speech(), pace=replace(PACE, linger_s=3.0)).voice(1.0).until(Phase.WAITING)
    line.voice(1.0).until(Phase.LINGERING)
    assert not line.voice(2.9).talk.over
    assert line.run(0.2).talk.over


def test_comfort_noise_is_no_voice_and_a_loud_line_is_learnt() -> None:
    gate = VoiceGate()
    assert not any(gate.voiced(-62.0, i * FRAME_S) for i in range(500))
    loud = VoiceGate()
    heard = [loud.voiced(-45.0, i * FRAME_S) for i in range(2_000)]
    assert heard[0] and not heard[-1]
    assert loud.voiced(-20.0, 2_000 * FRAME_S)
