"""The JUnit file: its structure as the common schema (junit-10.xsd) has it, and its verdicts."""

import re
from typing import Any
from xml.etree import ElementTree

from synthetic_report import capacity_report, run_report

from latency_bench.reports.assertion import Asserted, Assertion
from latency_bench.reports.junit import junit
from latency_bench.reports.report_file import parse_report

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
    "failure": set(),
    "error": set(),
    "skipped": set(),
    "system-out": set(),
}
ATTRIBUTES = {
    "testsuites": ({"name"}, {"tests", "failures", "errors", "skipped", "time"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"skipped", "time", "timestamp"},
    ),
    "properties": (set(), set()),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname"}, {"time"}),
    "failure": (set(), {"message", "type"}),
    "error": (set(), {"message", "type"}),
    "skipped": (set(), {"message"}),
    "system-out": (set(), set()),
}


def assert_valid(element: ElementTree.Element) -> None:
    """Elements, their order, their attributes and their types, as the schema has them."""
    needed, allowed = ATTRIBUTES[element.tag]
    assert needed <= set(element.attrib), element.tag
    assert set(element.attrib) <= needed | allowed, (element.tag, element.attrib)
    for name in ("tests", "failures", "errors", "skipped"):
        if name in element.attrib:
            assert re.fullmatch(r"\d+", element.attrib[name])
    if "time" in element.attrib:
        assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
    if "timestamp" in element.attrib:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", element.attrib["timestamp"])
    tags = [child.tag for child in element]
    assert set(tags) <= CHILDREN[element.tag], (element.tag, tags)
    if element.tag == "testsuite":
        assert tags.count("properties") <= 1 and tags[0] == "properties"
        cases = element.findall("testcase")
        assert element.attrib["tests"] == str(len(cases))
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            found = sum(case.find(tag) is not None for case in cases)
            assert element.attrib[name] == str(found)
    if element.tag == "testcase":
        assert sum(tag in ("failure", "error", "skipped") for tag in tags) <= 1
    for child in element:
        assert_valid(child)


def _written(body: dict[str, Any], *asserted: Asserted) -> ElementTree.Element:
    text = junit(parse_report(body), asserted)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    assert_valid(root)
    return root


def test_a_case_a_call_in_a_suite_a_scenario() -> None:
    body = run_report()
    root = _written(body)
    assert [suite.get("name") for suite in root] == list(body["by_scenario"])
    assert root.get("tests") == "24"
    failed = [call for call in body["calls"] if not call["passed"]]
    problems = root.findall(".//failure") + root.findall(".//error")
    assert len(problems) == len(failed) > 0


def test_a_verdict_is_a_failure_and_a_call_that_was_none_an_error() -> None:
    root = _written(run_report())
    missed = root.find(".//testcase[@name='call 9 over webrtc']/failure")
    refused = root.find(".//testcase[@name='call 17 over webrtc']/error")
    died = root.find(".//testcase[@name='call 21 over webrtc']/error")
    assert missed is not None and refused is not None and died is not None
    assert missed.get("type") == "verdict"
    assert "answers within 1.5 s" in (missed.get("message") or "")
    assert refused.get("message") == "486 Busy Here: all 2 lines are in use"
    assert died.get("type") == "failed"


def test_a_stopped_call_is_skipped() -> None:
    body = run_report(calls=1, faults=False)
    body["calls"][0]["outcome"] = "stopped"
    assert _written(body).find(".//skipped") is not None


def test_a_case_an_assertion() -> None:
    holds = Asserted(Assertion("v2v_p95_ms", "<", 900), 640.0, True)
    breaks = Asserted(Assertion("wer", "<", 0.1), None, False)
    root = _written(capacity_report(), holds, breaks)
    suite = root.find("testsuite[@name='assertions']")
    assert suite is not None
    assert [case.get("name") for case in suite.findall("testcase")] == ["v2v_p95_ms<900", "wer<0.1"]
    (failure,) = suite.findall(".//failure")
    assert failure.get("message") == "wer<0.1: nothing was measured"


def test_what_the_agent_says_cannot_break_it() -> None:
    body = run_report(calls=1)
    call = body["calls"][0]
    call["outcome"] = "refused"
    call["reason"] = ']]></error><evil a="1">\x00\x1b\ud800\ufffe & <!-- '
    call["notes"] = ["]]>\x08"]
    call["scenario"] = 'a"b<c>\x00'
    error = _written(body).find(".//error")
    assert error is not None
    assert "<evil" in (error.get("message") or "")
