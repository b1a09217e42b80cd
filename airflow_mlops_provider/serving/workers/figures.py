"""Several processes' metrics for Prometheus as one's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import add
from typing import Any

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

#: Of these gauges the sum is what there is of all; of the age the oldest. Of any other what all have reached.
_TOGETHER: dict[str, Any] = {
    **dict.fromkeys(("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds"), add),
    **dict.fromkeys(("mlops_serving_candidate_calls", "mlops_serving_candidate_errors"), add),
    "mlops_serving_background_calls": add,
    "mlops_serving_feature_age_seconds": max,
}
_COUNTED = ("counter", "histogram")


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def added(texts: Iterable[bytes]) -> bytes:
    """Return metrics in Prometheus' text format as if one process had them all."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[Any, float]] = {}
    for text in texts:
        for family in _families(text):
            together = add if family.type in _COUNTED else _TOGETHER.get(family.name, min)
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            known = values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                known[key] = together(known[key], sample.value) if key in known else sample.value
    for name, known in values.items():
        for (sample_name, labels), value in known.items():
            families[name].add_sample(sample_name, dict(labels), value)
    return generate_latest(_Families(families.values()))


def counted(text: bytes) -> bytes:
    """Return those metrics that only grow: they outlive the process that counted."""
    return generate_latest(_Families(family for family in _families(text) if family.type in _COUNTED))


def _families(text: bytes) -> Iterator[Metric]:
    yield from text_string_to_metric_families(text.decode())
