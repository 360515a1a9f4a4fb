"""Growth over hours, on constructed series; and samples that survive whatever ends the bench."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latency_bench.load.soak_log import SHOWN, Sample, SoakLog, shown, totals, trends
from latency_bench.load.trend import POINTS, trend

HOUR_S = 3600.0


def series(slope: float, noise: float, hours: float = 6.0, n: int = 720) -> tuple[list, list]:  # type: ignore[type-arg]
    rng = np.random.default_rng(4)
    at_s = np.linspace(0, hours * HOUR_S, n)
    values = 800 + slope * at_s / HOUR_S + rng.normal(0, noise, n)
    return at_s.tolist(), values.tolist()


def test_a_leak_is_found_and_its_size() -> None:
    at_s, values = series(12.0, 5.0)
    found = trend("rss_mb", at_s, values)
    assert found.per_hour == pytest.approx(12.0, abs=0.5)
    assert found.ci95 is not None and found.ci95[0] < 12 < found.ci95[1]
    assert found.verdict.startswith("memory grows by 12 MB an hour (95% CI 1")
    assert found.verdict.endswith("): a leak")


def test_outliers_do_not_move_it() -> None:
    at_s, values = series(0.0, 1.0)
    for place in range(690, 720):
        values[place] += 2000
    found = trend("rss_mb", at_s, values)
    assert found.per_hour == pytest.approx(0.0, abs=0.3)


def test_no_growth_is_said_with_its_bounds() -> None:
    at_s, values = series(0.0, 5.0)
    assert trend("rss_mb", at_s, values).verdict.startswith("no growth of memory can be shown (9")


def test_growth_too_small_to_matter_and_shrinking_are_told_apart() -> None:
    assert trend("rss_mb", *series(0.2, 0.05)).verdict.endswith("too little to mind")
    assert trend("rss_mb", *series(-30.0, 1.0)).verdict.startswith("memory falls by 30 MB an hour")
    assert "it slows down" in trend("v2v_p50_ms", *series(60.0, 30.0)).verdict
    assert trend("threads", *series(4.0, 0.5)).verdict.startswith("threads grow by 4 an hour")


def test_constant_figures_have_no_trend() -> None:
    found = trend("descriptors", [60.0 * at for at in range(100)], [31] * 100)
    assert found.per_hour == 0.0 and found.ci95 == (0.0, 0.0)
    assert found.verdict == "no growth of open descriptors can be shown (95% CI 0 to 0 an hour)"


def test_too_little_is_said() -> None:
    at_s = [float(at) for at in range(100)]
    assert trend("rss_mb", at_s[:7], [1.0] * 7).verdict == "too short to tell: 7 samples"
    assert trend("v2v_p50_ms", at_s, [None] * 95 + [1.0] * 5).per_hour is None
    assert trend("rss_mb", [5.0] * 20, [1.0] * 20).per_hour is None
    warming = trend("rss_mb", [10.0 * at for at in range(100)], [800.0 + at for at in range(100)])
    assert warming.per_hour is None and warming.verdict == (
        "too short to tell: 16 minutes after the warm-up, and it takes 20"
    )


def test_days_of_samples_are_few_points() -> None:
    at_s, values = series(3.0, 20.0, hours=240.0, n=86_400)
    found = trend("rss_mb", at_s, values)
    assert found.per_hour == pytest.approx(3.0, abs=0.1) and POINTS < 200


def sample(at_s: float, run: int = 0, **changes: Any) -> Sample:
    made = Sample(
        at_s=at_s, run=run, rss_mb=900.0, descriptors=40, threads=20, processes=1,
        v2v_p50_ms=700.0, v2v_p95_ms=900.0, turns=4, missed=0, calls=1, failed=0,
        bench_rss_mb=200.0,
    )  # fmt: skip
    return replace(made, **changes)


def test_samples_survive_a_bench_that_was_killed(tmp_path: Path) -> None:
    log = SoakLog(tmp_path)
    assert (log.run, log.elapsed_s) == (0, 0.0)
    log.append(sample(30.0))
    log.append(sample(60.0, turns=7))
    text = log.path.read_text()
    log.path.write_text(text + '{"at_s": 90.0, "run": 0, "rss_')
    again = SoakLog(tmp_path)
    assert (again.run, again.elapsed_s) == (1, 60.0)
    again.append(sample(95.0, run=1))
    assert [found.at_s for found in again.samples()] == [30.0, 60.0, 95.0]
    assert totals(list(again.samples()))["turns"] == 4 + 7 + 4


def test_the_warm_up_and_shorter_runs_are_left_out() -> None:
    # An hour's plan: 360 s of warm-up. The box grows while it warms up, and not after.
    warming = [sample(at, rss_mb=500.0 + at) for at in range(0, 360, 30)]
    warm = [sample(at, rss_mb=860.0) for at in range(360, 3000, 30)]
    again = [sample(3000 + at, run=1, rss_mb=400.0 + at) for at in range(0, 600, 30)]
    found = trends([*warming, *warm, *again], 3600.0)
    assert found["rss_mb"].per_hour == 0.0
    assert found["v2v_p50_ms"].per_hour == 0.0
    assert trends([], 3600.0) == {}


def test_a_target_of_others_has_only_its_latency() -> None:
    bare: dict[str, Any] = {"rss_mb": None, "descriptors": None, "threads": None, "processes": None}
    found = trends([sample(at, **bare) for at in range(0, 3600, 30)], 3600.0)
    assert set(found) == {"v2v_p50_ms"}


def test_a_report_shows_days_in_few_samples() -> None:
    many = [sample(at * 30.0, rss_mb=900.0 + at, calls=2) for at in range(10 * SHOWN)]
    rows = shown(many)
    assert len(rows) == SHOWN and rows[-1]["at_s"] == many[-1].at_s
    assert sum(row["calls"] for row in rows) == 20 * SHOWN
    assert rows[0]["rss_mb"] == pytest.approx(904.5)
    assert shown(many[:3])[2]["rss_mb"] == 902.0
