"""`offhook call` from the shell: bad input is told in a line, before any box is asked."""

import argparse

import pytest

from agent.call_command import add_parser


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "-1", "0", "soon"])
def test_a_time_to_ring_that_is_none_is_refused(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser(prog="offhook")
    add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit) as refused:
        parser.parse_args(["call", "200", f"--ring={seconds}"])
    assert refused.value.code == 2
    assert "--ring" in capsys.readouterr().err
    assert parser.parse_args(["call", "200", "--ring", "2.5"]).ring == 2.5
