"""Around fixed settings: what may be varied, how far, and what is said of how it went."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.lifecycle.problem import metric_of
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Choice, FloatRange, IntRange
from airflow_mlops_provider.lifecycle.search.retuning import around, conclude_retuning
from airflow_mlops_provider.lifecycle.search.trials import Trial
from airflow_mlops_provider.lifecycle.sections import Retuning
from flight_delay.product import product
from tests.factories.declared import changed

FIXED = {"leaves": 24, "rate": 0.06, "l2": 10.0, "share": 0.6, "kind": "gbdt", "on": True, "none": 0, "one": 1}
SPACE: dict[str, Any] = {
    "leaves": {"kind": "int", "low": 16, "high": 40},
    "rate": {"kind": "float", "low": 0.05, "high": 0.5},
    "kind": {"kind": "choice", "options": ["gbdt", "dart"]},
}


def shop(settings: dict[str, Any], space: dict[str, Any] | None = None, **retuning: Any) -> MLProduct:
    """Return the flight product with other fixed settings, and experiments that declare some ranges."""
    trainer = product.training.trainer.model_copy(update={"settings": settings})
    rest = {name: value for name, value in settings.items() if name not in (space or {})}
    algorithms = [{**trainer.to_json(), "settings": rest, "name": "trees", "space": space}]
    changes = {"training.trainer": trainer, "training.retuning": retuning}
    return changed(product, {**changes, "search": {"algorithms": algorithms} if space else None})


def around_fixed(shop: MLProduct) -> Algorithm | None:
    """Return what may be tried around a product's fixed settings."""
    algorithms = shop.search.algorithms if shop.search else ()
    return around(shop.training.trainer, shop.training.retuning.spread, algorithms)


def test_numbers_are_varied_and_nothing_else() -> None:
    """Each number from its half to its double, shares not beyond 1; words, switches, zero and one stay."""
    algorithm = around_fixed(shop(FIXED))
    assert algorithm is not None
    assert algorithm.space == {
        "leaves": IntRange(low=12, high=48, log=True),
        "rate": FloatRange(low=0.03, high=0.12, log=True),
        "l2": FloatRange(low=5.0, high=20.0, log=True),
        "share": FloatRange(low=0.3, high=1.0, log=True),
    }
    assert algorithm.settings == {"kind": "gbdt", "on": True, "none": 0, "one": 1}
    assert algorithm.params_of(shop(FIXED).training.trainer) == {name: FIXED[name] for name in algorithm.space}


def test_declared_ranges_are_not_left() -> None:
    """Where experiments say how far a setting may go, retuning goes no further."""
    algorithm = around_fixed(shop(FIXED, SPACE))
    assert algorithm is not None
    assert algorithm.space["leaves"] == IntRange(low=16, high=40, log=True)
    assert algorithm.space["rate"] == FloatRange(low=0.05, high=0.12, log=True)
    assert not any(isinstance(span, Choice) for span in algorithm.space.values())


def test_the_spread_is_the_products() -> None:
    """A product may allow more or less."""
    algorithm = around_fixed(shop({"leaves": 24}, spread=4.0))
    assert algorithm is not None
    assert algorithm.space == {"leaves": IntRange(low=6, high=96, log=True)}


@pytest.mark.parametrize(
    "settings", [{}, {"kind": "gbdt"}, {"rate": -0.1, "none": 0.0, "one": 1}, {"hidden": [64, 32]}]
)
def test_there_may_be_nothing_to_vary(settings: dict[str, Any]) -> None:
    """Without a number above zero there is nothing to try."""
    assert around_fixed(shop(settings)) is None


@pytest.mark.parametrize("bad", [{"trials": -1}, {"trials": 101}, {"minutes": 0}, {"spread": 1.0}, {"tries": 3}])
def test_bounds_that_bound_nothing_are_refused(bad: dict[str, Any]) -> None:
    """A retuning is small by declaration."""
    with pytest.raises(ValidationError):
        Retuning(**bad)


def ended(*values: float | None) -> list[Trial]:
    """Return trials with these values, the first of the fixed settings; None for one that failed."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    params = [{"leaves": 24 + slot} for slot in range(len(values))]
    states: list[Any] = ["complete" if value is not None else "failed" for value in values]
    return [
        Trial(
            slot=slot, state=states[slot], algorithm="fixed", params=params[slot], value=value, reason="boom", ended=at
        )
        for slot, value in enumerate(values)
    ]


WHERE = "on the last 25% of the training rows"


@pytest.mark.parametrize(
    ("values", "settings", "summary"),
    [
        ((0.7, 0.69, None), {}, f"settings kept: none of 2 tries was better than roc_auc 0.7000 {WHERE}; why"),
        ((0.7, 0.7), {}, f"settings kept: none of 1 tries was better than roc_auc 0.7000 {WHERE}; why"),
        (
            (0.7, None, 0.72, 0.71),
            {"leaves": 26},
            f"settings changed: roc_auc 0.7000 -> 0.7200 {WHERE}, leaves 24 -> 26 (try 2 of 3)",
        ),
        ((None,), {}, "settings kept: boom"),
        ((), {}, "settings kept: why"),
    ],
)
def test_only_better_settings_replace_the_fixed_ones(
    values: tuple[float | None, ...], settings: dict[str, Any], summary: str
) -> None:
    """As good is not better, a try that failed is none, and the sentence says how many there were."""
    retuned = conclude_retuning({"leaves": 24}, metric_of("binary_classification", "roc_auc"), ended(*values), "why")
    assert (retuned.settings, retuned.summary) == (settings, summary)
