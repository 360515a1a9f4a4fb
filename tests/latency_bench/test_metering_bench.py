"""`offhook bench metering`, run short: its clock is the processor's, so a busy machine may."""

import argparse
import json
from pathlib import Path

import pytest

from latency_bench import command


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.command(parser.add_subparsers())
    return parser.parse_args(["bench", "metering", *arguments])


def test_what_metering_takes_is_under_its_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "metering.json"
    args = parse("--calls", "2", "--seconds", "2", "--json", str(file))
    status = args.func(args)
    report = json.loads(file.read_text())
    row, turn = report["calls"]["2"], report["turn"]
    holds = row["of_a_core"] < 0.01 and turn["metering_ms"] < 1.0
    assert (report["holds"], status) == (holds, 0 if holds else 1)
    # Beyond the limits by far something is broken, whatever else the machine does.
    assert 0 <= row["of_a_core"] < 0.05
    assert 0 < turn["settle_ms"] < 5.0
    assert turn["metering_ms"] == pytest.approx(turn["settle_ms"] + turn["usage_ms"])
    assert row["turns"] >= 1
    shown = capsys.readouterr().out
    assert "of a core" in shown and "ms a turn" in shown


@pytest.mark.parametrize("wrong", [("--calls", "0"), ("--calls", "1,x"), ("--seconds", "0")])
def test_senseless_metering_arguments_are_refused(wrong: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        parse(*wrong)
