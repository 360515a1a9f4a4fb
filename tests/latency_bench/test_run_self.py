"""Every shipped scenario, shortened, against a real box with real models over WebRTC and SIP."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from latency_bench.scenario import shipped
from latency_bench.words import spoken_words

LIMIT_S = 400
STEPS = 2


def shortened(name: str, path: Path, folder: Path) -> Path:
    """The scenario's first two steps, each once."""
    tree = tomllib.loads(path.read_text())
    tree["steps"] = [{**step, "repeat": 1} for step in tree["steps"][:STEPS]]
    made = folder / f"{name}.toml"
    made.write_text(tomlkit.dumps(tree))
    return made


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    arguments = ["bench", "run", "self", "--door", "webrtc", "--door", "sip", "--concurrency", "3"]
    for name, path in shipped().items():
        arguments += ["--scenario", str(shortened(name, path, folder))]
    out = folder / "out"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "agent.cli", *arguments),
            *("--out", str(out), "--json", str(folder / "run.json")),
            *("--html", str(folder / "run.html"), "--junit", str(folder / "run.xml")),
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    # What a scenario expects in milliseconds may fail here; that is no failure of the bench.
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "run.html").stat().st_size > 20_000
    assert (folder / "run.xml").read_text().startswith("<?xml")
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    found["folder"] = folder
    return found


def calls(report: dict[str, Any], scenario: str) -> list[dict[str, Any]]:
    found = [call for call in report["calls"] if call["scenario"] == scenario]
    assert [call["door"] for call in found] == ["webrtc", "sip"]
    return found


# One box after the other, real speech in real time.
@pytest.mark.timeout(LIMIT_S + 30)
def test_every_scenario_ran_through_both_doors(report: dict[str, Any]) -> None:
    assert {call["scenario"] for call in report["calls"]} == set(shipped())
    assert len(report["calls"]) == 2 * len(shipped())
    for call in report["calls"]:
        # The box ends a SIP call that it handed over.
        expected = ("completed", "remote") if call["scenario"] == "transfer" else ("completed",)
        assert call["outcome"] in expected, call
        assert (report["folder"] / call["audio"]).is_file()
    assert report["summary"]["calls_unplaced"] == 0 and not report["errors"]
    assert "synthesised" in report["speech"]


@pytest.mark.parametrize("scenario", ["question", "hesitation", "long-call", "cut-sentence"])
def test_questions_are_heard_and_answered(report: dict[str, Any], scenario: str) -> None:
    for call in calls(report, scenario):
        owed = [turn for turn in call["turns"] if turn["owes_answer"] and not turn["continues"]]
        assert len(owed) == STEPS and not any(turn["missed"] for turn in owed)
        # Both clocks: what the box tells of the turn, and by how much the caller waited longer.
        told = [turn for turn in owed if turn["inside_ms"] is not None]
        assert told and all(turn["heard"] and turn["stages_ms"] for turn in told)
        assert call["wire"]["packets"] > 100 and call["greeting_ms"] is not None


def test_an_interruption_stops_the_agent(report: dict[str, Any]) -> None:
    for call in calls(report, "barge-in"):
        over = call["turns"][1]
        assert over["over_agent"] and over["stopped"] and over["stop_ms"] > 0


def test_keys_and_words_are_answered_by_the_menu(report: dict[str, Any]) -> None:
    for call, kind in zip(calls(report, "dtmf-menu"), ("speech", "keys"), strict=True):
        (turn,) = call["turns"]
        assert turn["kind"] == kind and "nine" in spoken_words(turn["recognised"])
        assert turn["first_answer_ms"] is not None


def test_callers_are_handed_over(report: dict[str, Any]) -> None:
    webrtc, sip = calls(report, "transfer")
    # Nobody can be handed over through the page's door; the report says so, and the call goes on.
    assert webrtc["transferred_to"] is None and not webrtc["passed"]
    assert sip["transferred_to"].startswith("sip:person@127.0.0.1:")


def test_noise_is_sent_and_answers_to_it_are_told(report: dict[str, Any]) -> None:
    for call in calls(report, "noise"):
        noise, question = call["turns"]
        assert noise["kind"] == "noise" and not noise["owes_answer"]
        assert question["kind"] == "speech" and not question["missed"]
