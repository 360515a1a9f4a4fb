"""docs/metrics.md names every metric, and no other."""

import re
from pathlib import Path

from agent.metrics.box_metrics import FIGURES, STEPS
from agent.metrics.call_metrics import CallMetrics
from agent.metrics.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"


def in_the_code() -> set[str]:
    """Every name as it is scraped; of a counter with its ending."""
    code = "".join(path.read_text() for path in (ROOT / "agent" / "metrics").glob("*.py"))
    gauges = set(re.findall(r'"(offhook_(?:calls|box|engine|budget|llm)_\w+)"', code))
    counted = {name for _, name, _ in (*FIGURES, *STEPS)} | {"offhook_calls_refused"}
    kept = vars(CallMetrics()).values()
    counted |= {each.name for each in kept if isinstance(each, Tally)}
    return {f"{n}_total" if n in counted else n for n in gauges | counted} | {"offhook_info"}


def test_the_page_names_every_metric() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `offhook_")]
    named = {name for row in rows for name in re.findall(r"`(offhook_\w+)`", row.split("|")[1])}
    histograms = {name for name in named if name.endswith("_seconds")}
    assert named - histograms == in_the_code() - {"offhook_engine"} | {"offhook_engine_info"}
    assert {f.name for f in CallMetrics().families() if f.type == "histogram"} == histograms
