from latency_bench.script import Action, CallerScript, Pace, Phase, VoiceGate

FRAME_S = 0.02
PACE = Pace(
    greeting_silence_s=0.7,
    greeting_limit_s=6.0,
    answer_silence_s=1.0,
    answer_limit_s=10.0,
    listen_limit_s=30.0,
    pause_s=0.3,
)


class Line:
    """Runs a script over a made-up line, 20 ms at a time."""

    def __init__(self, turns: int) -> None:
        self.script = CallerScript(turns, PACE)
        self.now_s = 100.0
        self.actions: list[tuple[float, Action]] = []

    def run(self, duration_s: float, level_dbfs: float = -90.0) -> "Line":
        for _ in range(round(duration_s / FRAME_S)):
            self.script.hear(level_dbfs, self.now_s)
            action = self.script.step(self.now_s)
            if action is not None:
                self.actions.append((self.now_s, action))
            self.now_s += FRAME_S
        return self

    def voice(self, duration_s: float) -> "Line":
        return self.run(duration_s, -25.0)

    def speak(self) -> "Line":
        """The caller's own utterance, half a second of it."""
        self.run(0.5)
        self.script.spoken(self.now_s)
        return self

    @property
    def kinds(self) -> list[Action]:
        return [action for _, action in self.actions]


def test_speaks_after_the_greeting_and_hangs_up_after_the_last_answer() -> None:
    line = Line(turns=2).run(0.5).voice(2.0)
    greeting_over_s = line.now_s
    line.run(1.2)
    assert line.kinds == [Action.SPEAK]
    waited_s = line.actions[0][0] - greeting_over_s
    assert 0.95 < waited_s < 1.1, "0.7 s of silence, then a pause of 0.3 s"
    line.speak().run(0.6).voice(1.5).run(1.6)
    assert line.kinds == [Action.SPEAK, Action.SPEAK] and line.script.turn == 1
    line.speak().run(0.6).voice(1.5).run(1.2)
    assert line.kinds[-1] is Action.HANG_UP and line.script.phase is Phase.DONE
    assert line.script.missed == []


def test_a_pause_inside_an_answer_does_not_end_it() -> None:
    line = Line(turns=1).voice(1.0).run(1.2).speak()
    line.run(0.3).voice(1.0).run(0.8).voice(1.0).run(0.8)
    assert line.script.phase is Phase.LISTENING
    assert line.run(0.4).kinds[-1] is Action.HANG_UP


def test_an_answer_that_stalls_is_waited_for_where_the_agent_says_so() -> None:
    line = Line(turns=1).voice(1.0).run(1.2).speak().run(0.3)
    line.script.told(agent_speaking=True)
    line.voice(0.5).run(4.0).voice(0.5)
    assert line.script.phase is Phase.LISTENING
    line.script.told(agent_speaking=False)
    assert line.run(1.2).kinds[-1] is Action.HANG_UP


def test_an_agent_that_only_claims_to_speak_is_not_waited_for_for_ever() -> None:
    line = Line(turns=1).voice(1.0).run(1.2).speak()
    line.script.told(agent_speaking=True)
    line.voice(0.5).run(5.2)
    assert line.kinds[-1] is Action.HANG_UP


def test_an_agent_without_a_greeting_is_spoken_to() -> None:
    line = Line(turns=1).run(5.9)
    assert line.kinds == []
    assert line.run(0.6).kinds == [Action.SPEAK]


def test_no_answer_is_a_missed_turn_and_the_call_goes_on() -> None:
    line = Line(turns=2).voice(1.0).run(1.2).speak().run(10.5)
    assert line.script.missed == [0]
    assert line.kinds == [Action.SPEAK, Action.SPEAK]


def test_an_answer_without_end_is_talked_over() -> None:
    line = Line(turns=1).voice(1.0).run(1.2).speak()
    for _ in range(20):
        line.voice(1.5).run(0.1)
    assert line.kinds[-1] is Action.HANG_UP


def test_an_agent_that_cuts_in_is_listened_to() -> None:
    line = Line(turns=1).voice(1.0).run(1.2)
    line.voice(0.4)
    line.script.spoken(line.now_s)
    line.voice(0.4)
    assert line.script.phase is Phase.LISTENING


def test_a_caller_with_nothing_to_say_stays_on_the_line() -> None:
    assert Line(turns=0).voice(1.0).run(60).kinds == []


def test_comfort_noise_is_no_voice_and_a_loud_line_is_learnt() -> None:
    gate = VoiceGate()
    assert not any(gate.voiced(-62.0, i * FRAME_S) for i in range(500))
    loud = VoiceGate()
    heard = [loud.voiced(-45.0, i * FRAME_S) for i in range(2_000)]
    assert heard[0] and not heard[-1]
    assert loud.voiced(-20.0, 2_000 * FRAME_S)
