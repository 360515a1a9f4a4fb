"""Counters and histograms by label, bounded in their number. Pure."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

from agent.metrics.histogram import Counted, Histogram

MOST_SERIES = 500
"""Of one metric. Labels such as an outcome come from outside, and each costs memory here and in
Prometheus: what is over is counted under `OTHER`."""
OTHER = "other"

S = TypeVar("S")


class _Labelled(Generic[S]):
    """One series for each combination of labels."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self.name, self.help_text, self.labels = name, help_text, tuple(labels)
        self.series: dict[tuple[str, ...], S] = {}

    def of(self, values: Sequence[str], new: Callable[[], S]) -> tuple[str, ...]:
        key = tuple(values)
        if len(key) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {key}")
        if key not in self.series and len(self.series) >= MOST_SERIES:
            key = (OTHER,) * len(key)
        if key not in self.series:
            self.series[key] = new()
        return key


class Tally(_Labelled[float]):
    """Only ever rises."""

    def add(self, *values: str, by: float = 1.0) -> None:
        """Counts ``by`` more under these labels; what is not over 0 only makes the series known.

        A sum of measured differences may be a rounding below nothing, and a counter that falls
        would be taken for a restart.
        """
        key = self.of(values, float)
        self.series[key] += max(0.0, by)

    def copy(self) -> "Tally":
        """The same counts, which nobody adds to any more."""
        copied = Tally(self.name, self.help_text, self.labels)
        copied.series = self.series.copy()
        return copied

    def family(self) -> CounterMetricFamily:
        """As Prometheus' client has it."""
        family = CounterMetricFamily(self.name, self.help_text, labels=self.labels)
        for values, total in self.series.items():
            family.add_metric(values, total)
        return family


class HistogramFamily(HistogramMetricFamily):
    """Classic buckets, and beside them what makes the native histograms."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        super().__init__(name, help_text, labels=labels)
        self.native: list[tuple[dict[str, str], Counted]] = []


class Histograms(_Labelled[Histogram]):
    """A histogram for each combination of labels."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        super().__init__(name, help_text, labels)
        self._bounds = bounds

    def observe(self, *values: str, value: float) -> None:
        """Counts one measurement under these labels. Raises ValueError for what is none."""
        key = self.of(values, lambda: Histogram(self._bounds))
        self.series[key].observe(value)

    def copy(self) -> "Histograms":
        """The same counts, which nobody adds to any more."""
        copied = Histograms(self.name, self.help_text, self.labels, self._bounds)
        copied.series = {key: histogram.copy() for key, histogram in self.series.items()}
        return copied

    def family(self) -> HistogramFamily:
        """As Prometheus' client has it, with the native histograms beside."""
        family = HistogramFamily(self.name, self.help_text, self.labels)
        for values, histogram in self.series.items():
            counted = histogram.counted()
            below = zip(counted.bounds, counted.cumulative, strict=True)
            buckets = [(f"{bound:g}", float(number)) for bound, number in below]
            family.add_metric(values, [*buckets, ("+Inf", float(counted.count))], counted.total)
            family.native.append((dict(zip(self.labels, values, strict=True)), counted))
        return family
