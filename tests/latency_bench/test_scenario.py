"""Scenarios: the shipped ones, one's own in TOML and YAML, and what is wrong with a wrong one."""

from pathlib import Path

import pytest

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
        ("about = 'x'\n[[steps]]\nsay = 'a'\nexpect = { answers = 1 }", "steps.1.expect.answers"),
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
