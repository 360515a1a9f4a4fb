"""A report as JUnit XML, as CI servers read it: a test case a call, and one an assertion.

The structure is the common one (testsuites, testsuite, testcase with failure, error or skipped)
of the Jenkins xUnit schema, junit-10.xsd.
"""

import re
from collections.abc import Sequence
from datetime import UTC
from xml.etree import ElementTree

from latency_bench.figures import CallFigures
from latency_bench.reports.assertion import Asserted
from latency_bench.reports.expectations import OUTCOMES, unmet
from latency_bench.reports.report_file import Report
from latency_bench.reports.wording import plain

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NO_CALL = ("refused", "unanswered", "unreachable", "no_audio", "bad_codec", "failed")


def junit(report: Report, asserted: Sequence[Asserted]) -> str:
    """The XML. A call that could not be placed or broke is an error; one that was stopped by
    the user is skipped; one of which something expected was not true is a failure."""
    root = ElementTree.Element("testsuites", name=_text(f"offhook bench {report.kind}"))
    scenarios: dict[str, list[CallFigures]] = {}
    for call in report.calls:
        scenarios.setdefault(call.scenario, []).append(call)
    for name, calls in scenarios.items():
        cases = [_call_case(name, call) for call in calls]
        root.append(_suite(name, report, cases))
    if asserted:
        root.append(_suite("assertions", report, [_assertion_case(one) for one in asserted]))
    for total in ("tests", "failures", "errors", "skipped"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")
    ElementTree.indent(root)
    written = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{written}\n'


def _suite(name: str, report: Report, cases: Sequence[ElementTree.Element]) -> ElementTree.Element:
    seconds = sum(float(case.get("time", "0")) for case in cases)
    suite = ElementTree.Element(
        "testsuite",
        name=_text(name),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{seconds:.3f}",
    )
    if report.began_utc is not None:
        began = report.began_utc
        began = began.astimezone(UTC) if began.tzinfo is not None else began
        suite.set("timestamp", began.strftime("%Y-%m-%dT%H:%M:%S"))
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in (("target", report.target.text), ("speech", report.speech)):
        ElementTree.SubElement(properties, "property", name=key, value=_text(value))
    suite.extend(cases)
    return suite


def _call_case(scenario: str, call: CallFigures) -> ElementTree.Element:
    name = f"call {call.call} over {call.door}" + (f", run {call.repeat}" if call.repeat else "")
    case = _case(scenario, name, call.duration_s)
    reasons = unmet(call)
    if call.outcome == "stopped":
        ElementTree.SubElement(case, "skipped", message=_text(OUTCOMES[call.outcome]))
    elif call.outcome in NO_CALL:
        _problem(case, "error", call.outcome, reasons)
    elif not call.passed:
        kind = "verdict" if call.outcome == "completed" else call.outcome
        _problem(case, "failure", kind, reasons)
    if call.notes:
        ElementTree.SubElement(case, "system-out").text = _text("\n".join(call.notes))
    return case


def _assertion_case(asserted: Asserted) -> ElementTree.Element:
    case = _case("assertions", str(asserted.assertion), 0.0)
    if not asserted.met:
        _problem(case, "failure", "assertion", [str(asserted)])
    return case


def _case(scenario: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.Element(
        "testcase",
        classname=_text(f"offhook.bench.{scenario}"),
        name=_text(name),
        time=f"{max(0.0, seconds):.3f}",
    )


def _problem(case: ElementTree.Element, tag: str, kind: str, reasons: Sequence[str]) -> None:
    problem = ElementTree.SubElement(
        case, tag, message=_text(reasons[0] if reasons else OUTCOMES.get(kind, kind)), type=kind
    )
    problem.text = _text("\n".join(reasons))


def _text(words: str) -> str:
    return _NOT_XML.sub("\ufffd", plain(words, 4000))
