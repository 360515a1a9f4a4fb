"""`offhook bench llm`: what it is told, and what it times."""

import argparse
from collections.abc import Sequence

import pytest

from latency_bench.llm_options import add_parser


def run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["llm", *arguments])
    return int(args.func(args))


@pytest.mark.parametrize("runs", ["0", "-1", "many", "101"])
def test_a_number_of_runs_that_is_none_is_told(
    runs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(["--runs", runs])
    assert "1 to 100" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--model", "none.gguf"]) == 1
    assert "none.gguf: no such file" in capsys.readouterr().err
