"""What a search comes to: worth exporting, or not, or a matter of the data."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.search.conclusion import conclude
from airflow_mlops_provider.lifecycle.search.declaration import Criteria
from airflow_mlops_provider.lifecycle.search.trials import Trial
from tests.unit.lifecycle.search.test_declaration import LOG_LOSS, ROC_AUC, ended

CURRENT = "no trial beats the current settings, which reached 0.7000"


@pytest.mark.parametrize(
    ("values", "criteria", "broken", "data"),
    [
        ((0.70, 0.75), {}, (), None),
        ((0.70, 0.65), {}, (CURRENT,), None),
        ((0.70, None), {}, (CURRENT,), None),
        ((None, 0.75), {}, (), None),
        ((None, None), {}, ("no trial was complete",), None),
        ((0.70, 0.75), {"target": 0.8}, (), "no trial reaches the target 0.8: the best reached 0.7500"),
        (
            (0.50, 0.55),
            {"target": 0.8},
            ("the best trial reached 0.5500, the naive baseline 0.6000",),
            "no trial beats the naive baseline 0.6000: the best reached 0.5500",
        ),
    ],
)
def test_what_a_search_comes_to(
    values: tuple[float | None, ...], criteria: dict[str, Any], broken: Any, data: Any
) -> None:
    """The winner must beat the naive baseline and the current settings; a missed target points at the data."""
    found = conclude(Criteria(trials=2, **criteria), ended(*values), baseline=0.6, current=0, metric=ROC_AUC)
    assert (found.broken, found.needs_data_change) == (broken, data)
    assert (found.kind, found.ended) == ("trials", 2)
    assert found.current == values[0]


def test_without_the_current_settings_the_baseline_decides() -> None:
    """Settings that the search could not draw are not claimed to be beaten, and do not stand in the way."""
    found = conclude(Criteria(trials=1), ended(0.7), baseline=0.6, current=None, metric=ROC_AUC)
    assert (found.current, found.broken) == (None, ())


def test_trials_that_nobody_ended_are_named() -> None:
    """Where tasks failed for good there is no reason to stop; the slots that were begun are named."""
    trials = [*ended(0.7, 0.8), Trial(slot=2, state="running"), Trial(slot=3)]
    found = conclude(Criteria(trials=4), trials, baseline=0.6, current=0, metric=ROC_AUC)
    assert (found.stop, found.kind, found.unfinished) == (None, "unfinished", (2,))
    assert found.stopped == "2 trials have ended, others (slot 2 begun) were given up; clear their tasks to go on"
    assert found.best
    assert found.best.slot == 1


def test_a_loss_is_worth_something_below_baseline_and_current() -> None:
    """Where less is better, a winner lies below both."""
    better = conclude(Criteria(trials=2), ended(0.5, 0.4), baseline=0.6, current=0, metric=LOG_LOSS)
    assert better.best is not None and (better.best.slot, better.broken) == (1, ())
    worse = conclude(Criteria(trials=2, target=0.3), ended(0.7, 0.8), baseline=0.6, current=0, metric=LOG_LOSS)
    assert len(worse.broken) == 2 and "no trial beats the naive baseline" in str(worse.needs_data_change)
