"""Metric families -> Prometheus' protobuf format, the one that carries native histograms. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/#protobuf-format. The client library
writes text alone. Its schema (``io.prometheus.client``) is described below as far as it is used.
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from agent.metrics.histogram import SCHEMA, ZERO_THRESHOLD, Counted, sparse
from agent.metrics.tally import HistogramFamily

CONTENT_TYPE = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
PACKAGE = "io.prometheus.client"

_F = FieldDescriptorProto
_COUNTER, _GAUGE, _UNTYPED, _HISTOGRAM = 0, 1, 3, 4
_KINDS = {"counter": _COUNTER, "gauge": _GAUGE, "info": _GAUGE, "histogram": _HISTOGRAM}
_VALUE_OF = {_COUNTER: "counter", _GAUGE: "gauge", _UNTYPED: "untyped"}

# Message -> field -> its number, its type or the message that it holds, and whether it repeats.
_SCHEMA: dict[str, dict[str, tuple[int, int | str, bool]]] = {
    "LabelPair": {"name": (1, _F.TYPE_STRING, False), "value": (2, _F.TYPE_STRING, False)},
    "Gauge": {"value": (1, _F.TYPE_DOUBLE, False)},
    "Counter": {"value": (1, _F.TYPE_DOUBLE, False)},
    "Untyped": {"value": (1, _F.TYPE_DOUBLE, False)},
    "Bucket": {
        "cumulative_count": (1, _F.TYPE_UINT64, False),
        "upper_bound": (2, _F.TYPE_DOUBLE, False),
    },
    "BucketSpan": {"offset": (1, _F.TYPE_SINT32, False), "length": (2, _F.TYPE_UINT32, False)},
    "Histogram": {
        "sample_count": (1, _F.TYPE_UINT64, False),
        "sample_sum": (2, _F.TYPE_DOUBLE, False),
        "bucket": (3, "Bucket", True),
        "schema": (5, _F.TYPE_SINT32, False),
        "zero_threshold": (6, _F.TYPE_DOUBLE, False),
        "zero_count": (7, _F.TYPE_UINT64, False),
        "positive_span": (12, "BucketSpan", True),
        "positive_delta": (13, _F.TYPE_SINT64, True),
    },
    "Metric": {
        "label": (1, "LabelPair", True),
        "gauge": (2, "Gauge", False),
        "counter": (3, "Counter", False),
        "untyped": (5, "Untyped", False),
        "histogram": (7, "Histogram", False),
    },
    "MetricFamily": {
        "name": (1, _F.TYPE_STRING, False),
        "help": (2, _F.TYPE_STRING, False),
        # An enumeration, which is the same on the wire.
        "type": (3, _F.TYPE_INT32, False),
        "metric": (4, "Metric", True),
    },
}


def _message_class() -> Any:
    messages = []
    for name, fields in _SCHEMA.items():
        message = DescriptorProto(name=name)
        for field, (number, kind, repeated) in fields.items():
            described = message.field.add(name=field, number=number)
            described.label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            if isinstance(kind, str):
                described.type, described.type_name = _F.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                described.type = kind
        messages.append(message)
    # A pool of its own: a program may hold Prometheus' own schema too.
    pool = DescriptorPool()
    file = FileDescriptorProto(name="metrics.proto", package=PACKAGE, message_type=messages)
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.MetricFamily"))


MetricFamily = _message_class()


def in_protobuf(families: Iterable[Metric]) -> bytes:
    """All ``families``, each with its length before it."""
    return b"".join(_delimited(message) for family in families for message in _messages(family))


def _messages(family: Metric) -> Iterable[Any]:
    kind = _KINDS.get(family.type, _UNTYPED)
    if isinstance(family, HistogramFamily):
        message = MetricFamily(name=family.name, help=family.documentation, type=kind)
        for labels, counted in family.native:
            _fill(_metric(message, labels).histogram, counted)
        yield message
        return
    # Samples of one name, since a counter's is not that of its family.
    by_name: dict[str, list[Sample]] = {}
    for sample in family.samples:
        if not sample.name.endswith("_created"):
            by_name.setdefault(sample.name, []).append(sample)
    for name, samples in by_name.items():
        message = MetricFamily(name=name, help=family.documentation, type=kind)
        for sample in samples:
            metric = _metric(message, sample.labels)
            getattr(metric, _VALUE_OF[kind]).value = sample.value
        yield message


def _metric(message: Any, labels: dict[str, str]) -> Any:
    metric = message.metric.add()
    for name, value in sorted(labels.items()):
        metric.label.add(name=name, value=value)
    return metric


def _fill(histogram: Any, counted: Counted) -> None:
    histogram.sample_count, histogram.sample_sum = counted.count, counted.total
    for bound, number in zip(counted.bounds, counted.cumulative, strict=True):
        histogram.bucket.add(cumulative_count=number, upper_bound=bound)
    histogram.schema, histogram.zero_threshold = SCHEMA, ZERO_THRESHOLD
    histogram.zero_count = counted.zeros
    native = sparse(counted.buckets)
    for offset, length in native.spans:
        histogram.positive_span.add(offset=offset, length=length)
    histogram.positive_delta.extend(native.deltas)


def _delimited(message: Any) -> bytes:
    body: bytes = message.SerializeToString()
    length, before = len(body), bytearray()
    while length > 0x7F:
        before.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*before, length]) + body
