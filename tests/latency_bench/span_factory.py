"""Spans for tests: times in seconds after a fixed moment."""

from latency_bench.tracing.spans import Span, Value

EPOCH_S = 1_795_000_000


def span(
    name: str,
    began_s: float,
    ended_s: float,
    /,
    *,
    id: str = "",
    parent: str = "",
    trace: str = "t",
    attributes: dict[str, Value] | None = None,
) -> Span:
    return Span(
        trace_id=trace,
        span_id=id or f"{trace}-{name}-{began_s}",
        parent_id=parent,
        name=name,
        start_ns=round((EPOCH_S + began_s) * 1e9),
        end_ns=round((EPOCH_S + ended_s) * 1e9),
        attributes=attributes or {},
    )
