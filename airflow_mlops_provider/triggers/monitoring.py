"""Waits for what monitoring sees: a metric in Prometheus, a limit that our own monitoring found crossed."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

from airflow_mlops_provider.triggers.base import Seen, StateTrigger, filled, number, one_of

OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
SERIES = ("any", "all")


@dataclass(eq=False, repr=False, kw_only=True)
class PrometheusQueryTrigger(StateTrigger):
    """Fires when a query's value compares with a threshold as it should. No value, and NaN, never do.

    :param query: in PromQL; its answer is a number, or a vector of series.
    :param comparison: ``<``, ``<=``, ``==``, ``!=``, ``>=`` or ``>``.
    :param threshold: what the value is compared with.
    :param series: of several series, whether ``any`` of them or ``all`` must compare so.
    """

    query: str
    comparison: str
    threshold: Any
    series: str = "any"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.query, self.threshold = filled("query", self.query), number("threshold", self.threshold)
        one_of("comparison", self.comparison, tuple(OPERATORS))
        one_of("series", self.series, SERIES)

    def look(self) -> Seen:
        from airflow_mlops_provider.backends.metrics.prometheus import query
        from airflow_mlops_provider.hooks.prometheus import PrometheusHook

        with PrometheusHook(self.conn_id).get_conn() as client:
            values = query(client, self.query)
        return compared(self.query, values, self.comparison, self.threshold, self.series)


def compared(query: str, values: list[float], comparison: str, threshold: float, series: str) -> Seen:
    """Return whether a query's values compare with a threshold as they should."""
    held = [OPERATORS[comparison](value, threshold) for value in values if not math.isnan(value)]
    shown = ", ".join(f"{value:g}" for value in values[:5]) or "no value"
    if not held or not (any(held) if series == "any" else all(held) and len(held) == len(values)):
        return Seen(None, f"{query} gives {shown}, not {comparison} {threshold:g}")
    return Seen("holds", f"{query} gives {shown}, {comparison} {threshold:g}", {"query": query, "values": values[:100]})


@dataclass(eq=False, repr=False, kw_only=True)
class DriftLimitTrigger(StateTrigger):
    """Fires when the newest interval that monitoring judged crosses a limit of its product.

    :param product: the product's name.
    :param conn_id: the artifact root's connection.
    """

    product: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self.product = filled("product", self.product)

    def look(self) -> Seen:
        from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
        from airflow_mlops_provider.storage.intervals import judgements

        judged = judgements(ArtifactStoreHook(self.conn_id).store(), self.product)
        if not judged:
            return Seen(None, f"nothing of {self.product} has been judged")
        newest = [known for known in judged if known.observation.interval == judged[-1].observation.interval]
        first = next((known for known in newest if known.crossed), newest[-1])  # batch, and what each version served
        seen, crossed = first.observation, list(first.crossed)
        if not crossed:
            return Seen(None, f"{self.product} kept all limits in {seen.interval}")
        facts = {
            "product": self.product,
            "interval": seen.interval.to_json(),
            "version": seen.version,
            "crossed": crossed,
        }
        return Seen(
            f"{seen.interval.key} {first.predictions}",
            f"{self.product} in {seen.interval}: {'; '.join(crossed)}",
            facts,
        )
