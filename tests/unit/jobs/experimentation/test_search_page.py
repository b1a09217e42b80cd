"""The drawing of a search's trials."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from airflow_mlops_provider.jobs.experimentation.search_page import SearchSummary, comparison
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.search.conclusion import Conclusion
from airflow_mlops_provider.lifecycle.search.trials import Trial

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("higher", "heights"), [(True, [0.6, 0.6, 0.7, 0.7, 0.7]), (False, [0.6, 0.6, 0.6, 0.6, 0.5])])
def test_the_best_so_far_goes_the_metrics_way(higher: bool, heights: list[float]) -> None:
    """The line steps where a trial is better than all before it, whatever direction the metric has."""
    trials = [
        Trial(slot=slot, state="complete", value=value, ended=BEGIN + timedelta(seconds=slot))
        for slot, value in enumerate((0.6, 0.7, 0.5))
    ]
    metric, conclusion = Metric("loss", higher_is_better=higher), Conclusion(stop=None, ended=3)
    summary = SearchSummary("search", metric, conclusion, trials, algorithms=(), limits={}, left_out={})
    (points,) = re.findall(r"<polyline[^>]* points=['\"]([^'\"]+)['\"]", comparison(summary))
    tops = [float(point.split(",")[1]) for point in points.split()]
    low, high = min(tops), max(tops)
    order = [(max(heights) - height) / (max(heights) - min(heights)) for height in heights]
    assert [(top - low) / (high - low) for top in tops] == pytest.approx(order, abs=0.01)
