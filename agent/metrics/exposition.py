"""Metric families in the format that whoever asks for them takes."""

from collections.abc import Iterable, Sequence

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from agent.metrics.protobuf import CONTENT_TYPE, in_protobuf

PROTOBUF = "application/vnd.google.protobuf"
FAMILY = "proto=io.prometheus.client.metricfamily"


class _Gathered(Collector):
    """Families that are there already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def wants_protobuf(accept: str) -> bool:
    """Whether an ``Accept`` header asks for Prometheus' protobuf format; a server asks for it, and
    before all others, only where it takes native histograms."""
    for each in accept.split(","):
        kind, _, parameters = each.partition(";")
        if kind.strip().lower() == PROTOBUF:
            given = [part.strip().lower() for part in parameters.split(";")]
            return FAMILY in given and "encoding=delimited" in given
    return False


def written(families: Sequence[Metric], accept: str) -> tuple[bytes, str]:
    """All families, and the content type that they are written in."""
    if wants_protobuf(accept):
        return in_protobuf(families), CONTENT_TYPE
    encode, content_type = choose_encoder(accept)
    return encode(_Gathered(families)), content_type
