"""The edge's parameters: the page about them says what the configuration does."""

import re
from pathlib import Path

EDGE = Path(__file__).resolve().parents[2] / "telephony" / "edge"
CONFIGURATION = (EDGE / "kamailio.cfg").read_text()
ROW = re.compile(r"^\| (`EDGE_\w+`(?:, `EDGE_\w+`)*) \| (.*?) \|", re.MULTILINE)


def documented() -> dict[str, str]:
    """Each variable and its default, as README.md shows it."""
    found = {}
    for names, defaults in ROW.findall((EDGE / "README.md").read_text()):
        variables = re.findall(r"EDGE_\w+", names)
        values = re.findall(r"`([^`]*)`", defaults) or [defaults] * len(variables)
        found.update(zip(variables, values, strict=True))
    return found


def configured() -> dict[str, str]:
    """Each variable that Kamailio reads, and its default."""
    read = re.findall(r"^#!trydefenvs? (EDGE_\w+)", CONFIGURATION, re.MULTILINE)
    defaults = dict(re.findall(r"^#!define (EDGE_\w+) \"?(.*?)\"?$", CONFIGURATION, re.MULTILINE))
    assert set(defaults) <= set(read)
    return {"EDGE_FOLDER": "must be set", **{name: defaults.get(name, "none") for name in read}}


def test_every_parameter_is_on_the_page_with_its_default() -> None:
    assert documented() == configured()


def test_callers_reach_every_workers_port_and_no_more() -> None:
    """64 workers and the reserve, two ports each, as [workers] gives them."""
    defaults = configured()
    first = int(defaults["EDGE_WORKER_PORTS_FROM"])
    assert first == 5070
    assert int(defaults["EDGE_WORKER_PORTS_TO"]) == first + (64 + 1) * 2 - 1
