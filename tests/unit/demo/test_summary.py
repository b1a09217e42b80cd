"""What a replay's record says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_mlops_provider.demo.summary import summarise
from flight_delay.product import product


def test_the_metric_is_named_that_holds(tmp_path: Path) -> None:
    """A product that declares no metric is judged by its problem's first, and the record names that."""
    api = SimpleNamespace(asset_events=lambda **_: [])
    watch: Any = SimpleNamespace(runs=list, tasks=list, stack=SimpleNamespace(api=api))
    assert product.evaluation.metric is None
    assert summarise(watch, product, tmp_path)["metric"] == "roc_auc"
