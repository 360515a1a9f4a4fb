"""Assertions: what can be written, what is refused, and when they hold."""

import pytest

from latency_bench.reports.assertion import Assertion, AssertionMistake, check, parse_assertion

SUMMARY = {"v2v_p50_ms": 612.0, "v2v_p95_ms": 900.0, "missed_rate": 0.0, "wer": None}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("v2v_p95_ms<900", False),
        ("v2v_p95_ms<=900", True),
        ("v2v_p95_ms > 899.5", True),
        (" v2v_p95_ms>=901", False),
        ("missed_rate==0", True),
        ("missed_rate!=0", False),
        ("missed_rate<.02", True),
        ("missed_rate<=2e-2", True),
        ("v2v_p50_ms>-1", True),
        ("wer<1", False),
        ("wer!=1", False),
    ],
)
def test_they_hold_or_not(text: str, met: bool) -> None:
    assert check(parse_assertion(text), SUMMARY).met is met


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v2v_p95_ms",
        "v2v_p95_ms<",
        "<900",
        "v2v_p95_ms<900ms",
        "v2v_p95_ms=900",
        "v2v_p95_ms=<900",
        "900>v2v_p95_ms",
        "v2v_p95_ms<nan",
        "v2v_p95_ms<inf",
        "v2v_p95_ms<900 and missed_rate<1",
        "__import__('os').system('true')<1",
        "v2v_p95_ms<(1)",
        "v2v_p95_ms<1;missed_rate<1",
        "v2v_p95_ms<1e999",
        "x" * 100_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(AssertionMistake, match="v2v_p95_ms<900"):
        parse_assertion(text)


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(AssertionMistake, match=r"no figure v2v_p59_ms; did you mean v2v_p95_ms\?"):
        check(parse_assertion("v2v_p59_ms<900"), SUMMARY)
    with pytest.raises(AssertionMistake, match="summary is empty"):
        check(parse_assertion("v2v_p95_ms<900"), {})


def test_they_say_what_was_found() -> None:
    assert str(check(Assertion("v2v_p95_ms", "<", 900), SUMMARY)) == "v2v_p95_ms<900: it is 900"
    assert str(check(Assertion("wer", "<", 0.1), SUMMARY)) == "wer<0.1: nothing was measured"
