"""Scenarios: the shipped ones, one's own in TOML and YAML, and what is wrong with a wrong one."""

from pathlib import Path

import pytest
import yaml

from latency_bench.scenario import ScenarioError, load_scenario, shipped

PROMISED = {
    "question",
    "barge-in",
    "backchannel",
    "hesitation",
    "cut-sentence",
    "noise",
    "long-call",
    "dtmf-menu",
    "transfer",
}

GOOD_YAML = """
about: asks twice
steps:
  - say: Hello?
    expect: {answer_within_s: 2, any_word: [hello, hi]}
  - keys: "12#"
  - sound: babble
    seconds: 2
    when: over
    at_s: 0.5
"""


def test_every_promised_scenario_ships_and_is_named_as_its_file() -> None:
    assert set(shipped()) == PROMISED
    for name in PROMISED:
        scenario, path = load_scenario(name)
        assert scenario.name == name == path.stem and scenario.steps


def test_the_same_scenario_in_yaml_and_toml(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD_YAML)
    (tmp_path / "mine.toml").write_text(
        'about = "asks twice"\n[[steps]]\nsay = "Hello?"\n'
        'expect = { answer_within_s = 2, any_word = ["hello", "hi"] }\n'
        '[[steps]]\nkeys = "12#"\n'
        '[[steps]]\nsound = "babble"\nseconds = 2\nwhen = "over"\nat_s = 0.5\n'
    )
    from_yaml, _ = load_scenario(str(tmp_path / "mine.yaml"))
    from_toml, _ = load_scenario(str(tmp_path / "mine.toml"))
    assert from_yaml == from_toml and from_yaml.name == "mine"
    assert [step.owes_answer for step in from_yaml.steps] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("about = 'x'\nsteps = []", "mine.toml: steps: "),
        (
            "about = 'x'\n[[steps]]\nsay = 'a'\nwav = 'b.wav'",
            "steps.1: .*one thing.*say, wav given",
        ),
        ("about = 'x'\n[[steps]]\npause_s = 1", "nothing given"),
        (
            "about = 'x'\nlimt_s = 3\n[[steps]]\nsay = 'a'",
            'toml: .*"limt_s", did you mean "limit_s"',
        ),
        ("about = 'x'\n[[steps]]\nsay = ''", "steps.1.say.1: is empty"),
        ("about = 'x'\n[[steps]]\nsay = 5", "steps.1.say: must be text"),
        ("about = 'x'\n[[steps]]\nkeys = 'x'", "steps.1.keys"),
        ("about = 'x'\n[[steps]]\nsay = 'a'\nwhen = 'later'", "steps.1.when"),
        ("about = 'x'\n[[steps]\n", "mine.toml: "),
        ("[[steps]]\nsay = 'a'", "about: "),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_place(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ScenarioError, match=complaint):
        load_scenario(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("say: a, levl_dbfs: -20", 'steps.2: unknown key "levl_dbfs", did you mean "level_dbfs"?'),
        ("say: a, zzz: 1", 'steps.2: unknown key "zzz"; there are say, wav, '),
        ("say: a, expect: {waitss: true}", 'steps.2.expect: unknown key "waitss", did you mean'),
        ("say: a, answer_within_s: 2", 'steps.2: unknown key "answer_within_s": it belongs in'),
        ("say: a, at_s: yes", "steps.2.at_s: must be a number, not true"),
        ("say: a, at_s: '1'", "steps.2.at_s: must be a number, not '1'"),
        ("say: a, at_s: .nan", "steps.2.at_s: "),
        ("say: a, repeat: 1.5", "steps.2.repeat: must be a whole number, not 1.5"),
        ("say: a, answer: 1", "steps.2.answer: must be true or false, not 1"),
        ("keys: 12", "steps.2.keys: must be text (in quotes), not 12"),
        ("say: a, expect: {words: hello}", "steps.2.expect.words: must be a list, not 'hello'"),
        ("say: a, expect: {words: ['']}", "steps.2.expect.words.1: has no word"),
        ("say: a, expect: {any_word: [yes please, '?']}", "steps.2.expect.any_word.2: has no word"),
        ("4", "steps.2: must be a table of keys and values, not 4"),
    ],
)
def test_one_mistake_is_one_line(tmp_path: Path, step: str, complaint: str) -> None:
    path = tmp_path / "mine.yaml"
    step = f"{{{step}}}" if ":" in step else step
    path.write_text(f"about: x\nsteps:\n- say: hello\n- {step}\n")
    with pytest.raises(ScenarioError) as found:
        load_scenario(str(path))
    (line,) = str(found.value).splitlines()
    assert line.startswith(f"{path}: {complaint}")


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_a_truth_value_is_no_number_in_either_language(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    texts = {
        "toml": "about = 'x'\n[[steps]]\nsay = 'a'\nwait_s = {}\n",
        "yaml": "about: x\nsteps:\n- say: a\n  wait_s: {}\n",
    }
    path.write_text(texts[suffix].format("true"))
    with pytest.raises(ScenarioError, match=r"steps\.1\.wait_s: must be a number, not true"):
        load_scenario(str(path))
    path.write_text(texts[suffix].format("4"))
    scenario, _ = load_scenario(str(path))
    assert scenario.steps[0].wait_s == 4.0


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"sound": "pink", "expect": {"answer_within_s": 2}}, "no answer is owed.*sound"),
        ({"silence_s": 2, "expect": {"not_before_s": 2}}, "no answer is owed.*silence_s"),
        (
            {"say": "a", "answer": False, "expect": {"words": ["x"]}},
            "no answer is owed.*answer = false.*cannot expect words",
        ),
        (
            {"say": "a", "when": "over", "expect": {"stops_within_ms": 9, "does_not_stop": True}},
            "stops_within_ms and does_not_stop contradict",
        ),
        (
            {"say": "a", "expect": {"no_answer": True, "answer_within_s": 3}},
            "no_answer and answer_within_s contradict",
        ),
        ({"say": "a", "expect": {"not_before_s": 3, "answer_within_s": 2}}, "within 2 s .* 3 s"),
        ({"say": "a", "expect": {"stops_within_ms": 300}}, "stops_within_ms needs .*over"),
        (
            {"say": "a", "when": "continues", "expect": {"does_not_stop": True}},
            "does_not_stop needs .*over.*'continues'",
        ),
    ],
)
def test_expectations_that_nothing_can_meet_are_refused(
    tmp_path: Path, step: dict[str, object], complaint: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"about": "x", "steps": [step]}))
    with pytest.raises(ScenarioError, match=rf"steps\.1.*{complaint}"):
        load_scenario(str(path))


def test_unknown_names_and_files_are_told_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no scenario 'barge'.*barge-in.*question"):
        load_scenario("barge")
    with pytest.raises(ScenarioError, match="no such file"):
        load_scenario(str(tmp_path / "none.toml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ScenarioError, match="must hold name, about and steps"):
        load_scenario(str(tmp_path / "list.yaml"))
    (tmp_path / "huge.toml").write_text("#" * 300_000)
    with pytest.raises(ScenarioError, match="shorten it"):
        load_scenario(str(tmp_path / "huge.toml"))
