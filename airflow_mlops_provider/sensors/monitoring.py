"""Waits for metrics and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.sensors.base import StateSensor
from airflow_mlops_provider.triggers.base import one_of
from airflow_mlops_provider.triggers.monitoring import OPERATORS, SERIES, DriftLimitTrigger, PrometheusQueryTrigger


class PrometheusQuerySensor(StateSensor):
    """Waits until a query's value compares with a threshold as it should.

    It hands on ``query`` and ``values``. No value, and NaN, compare with nothing.

    :param query: in PromQL; it gives a number, or a vector of series.
    :param comparison: ``<``, ``<=``, ``==``, ``!=``, ``>=`` or ``>``.
    :param threshold: what the value is compared with.
    :param series: of several series, whether ``any`` of them or ``all`` must compare so.
    :param conn_id: a connection of type ``prometheus``.
    """

    trigger_class = PrometheusQueryTrigger
    template_fields: Sequence[str] = ("query", "comparison", "threshold", "series", "conn_id")

    def __init__(self, *, query: str, comparison: str, threshold: Any, series: str = "any", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.comparison = one_of("comparison", comparison, tuple(OPERATORS))
        self.threshold = threshold
        self.series = one_of("series", series, SERIES)


class DriftLimitSensor(StateSensor):
    """Waits until the newest interval that monitoring judged crosses a limit of its product; it goes by the records.

    It hands on ``product``, ``interval``, ``version`` and ``crossed``, a line for each limit.

    :param product: the product's name.
    :param conn_id: a connection of type ``mlops_artifact_store``, to the root that holds the records.
    """

    trigger_class = DriftLimitTrigger
    template_fields: Sequence[str] = ("product", "conn_id")

    def __init__(self, *, product: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.product = product
