"""What a product declares of its problem goes with the columns of its rows, or is refused as it is declared."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_mlops_provider import EvaluationSettings, Forecasting, MLProduct, Ranking, Regression
from airflow_mlops_provider.runtime.code import load_product
from tests.factories.products import PRODUCTS


@pytest.fixture
def product(monkeypatch: pytest.MonkeyPatch) -> MLProduct:
    """A short product; its rows have ``good`` and ``diseases`` among their columns."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(PRODUCTS)])
    return load_product("doctor_visits")


def declared(product: MLProduct, problem: Any) -> MLProduct:
    """Return the product with another problem."""
    return MLProduct.model_validate({**product.model_dump(), "problem": problem})


@pytest.mark.parametrize(
    ("problem", "metric"),
    [
        (Regression(group="good"), "root_mean_squared_error"),
        (Ranking(group="good", item="diseases"), "ndcg"),
        (Forecasting(horizon="P1D", series="good", naive="diseases"), "mean_absolute_error"),  # type: ignore[arg-type]
    ],
)
def test_columns_that_callers_give_will_do(product: MLProduct, problem: Any, metric: str) -> None:
    """The declaration travels as JSON and comes back the same."""
    made = declared(product, problem)
    assert made.metric.name == metric
    assert MLProduct.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Ranking(group="query"), r"unknown column of the problem ranking \(group=query\) 'query'; known: .*diseases"),
        (Ranking(group="good", item="pill"), r"unknown column of the problem .* 'pill'"),
        (Forecasting(horizon="P1D", horizons="days"), r"unknown column of the problem .* 'days'"),  # type: ignore[arg-type]
        (Forecasting(horizon="P1D", known_at="seen"), r"declare Forecasting\(known_at='label_known_at'\)"),  # type: ignore[arg-type]
        ("ranking", r"needs group: declare Ranking\(group=…\)"),
    ],
)
def test_what_nobody_gives_is_refused(product: MLProduct, problem: Any, said: str) -> None:
    """It is said which column that is, or what to declare instead."""
    with pytest.raises(ValueError, match=said):
        declared(product, problem)


def test_a_metric_that_monitoring_cannot_compute_is_refused(product: MLProduct) -> None:
    """Errors in units of naive ones need a naive forecast with each row."""
    judged = product.model_copy(update={"evaluation": EvaluationSettings(metric="mean_absolute_scaled_error")})
    with pytest.raises(ValueError, match=r"name a request column that holds a naive forecast, Forecasting\(naive=…\)"):
        declared(judged, Forecasting(horizon="P1D"))  # type: ignore[arg-type]  # as JSON
    named = declared(judged, Forecasting(horizon="P1D", naive="diseases"))  # type: ignore[arg-type]  # as JSON
    assert named.metric.name == "mean_absolute_scaled_error"
