"""What a search may try, and the decision to stop: pure values, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.problem import metric_of
from airflow_mlops_provider.lifecycle.search.declaration import (
    Algorithm,
    Choice,
    Criteria,
    FloatRange,
    IntRange,
    Search,
    algorithm_of,
    incumbent,
)
from airflow_mlops_provider.lifecycle.search.trials import Trial, best_of, in_order, stop
from airflow_mlops_provider.lifecycle.trainer import Trainer

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
TREES = Algorithm(
    name="trees",
    code="shop.trainer:train",
    settings={"objective": "binary"},
    space={
        "leaves": IntRange(low=4, high=64, log=True),
        "rate": FloatRange(low=0.01, high=0.3, log=True),
        "kind": Choice(options=("gbdt", "dart")),
    },
)

ROC_AUC = metric_of("binary_classification", "roc_auc")
LOG_LOSS = metric_of("binary_classification", "log_loss")


def ended(*values: float | None, seconds: float = 60.0) -> list[Trial]:
    """Return trials that ended a minute apart: complete with a value, or pruned without."""
    return [
        Trial(
            slot=slot,
            state="pruned" if value is None else "complete",
            value=value,
            seconds=seconds,
            ended=BEGAN + timedelta(minutes=slot),
        )
        for slot, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("criteria", "values", "kind", "reason"),
    [
        ({}, (0.5, 0.6), None, None),
        ({"trials": 2}, (0.5, None), "trials", "all 2 trials have ended"),
        ({"target": 0.6}, (0.5, 0.61, 0.7), "target", "trial 1 reached 0.6100, the target is 0.6"),
        ({"target": 0.6}, (0.5, None), None, None),
        ({"minutes": 2}, (0.5, 0.6), "budget", "2.0 minutes of training are spent in 2 trials, the budget is 2"),
        ({"patience": 2}, (0.5, 0.6, None, 0.6), "patience", "no gain over trial 1 with 0.6000 in 2 trials"),
        ({"patience": 2}, (0.5, 0.4, 0.6, 0.4), None, None),
        ({"patience": 2}, (None, None), "patience", "no trial was complete in 2 trials"),
        (
            {"patience": 2, "min_gain": 0.01},
            (0.5, 0.505, 0.508),
            "patience",
            "no gain of 0.01 or more over trial 0 with 0.5000 in 2 trials",
        ),
        ({"trials": 2, "target": 0.6}, (0.5, 0.6), "target", "trial 1 reached 0.6000, the target is 0.6"),
    ],
)
def test_when_to_stop(criteria: dict[str, Any], values: tuple[float | None, ...], kind: Any, reason: Any) -> None:
    """Each criterion stops the search, with its figures in the reason; the target comes before the others."""
    found = stop(Criteria(**criteria), ended(*values), ROC_AUC)
    assert (found.kind, found.reason) == (kind, reason) if found else kind is None


def test_later_trials_do_not_change_the_decision() -> None:
    """Whoever asks while others still train, or after all ended, is told the same reason."""
    criteria = Criteria(patience=2, target=0.9)
    early = stop(criteria, ended(0.5, 0.4, 0.4), ROC_AUC)
    assert early
    assert early.after == 3
    assert stop(criteria, ended(0.5, 0.4, 0.4, 0.95, 0.99), ROC_AUC) == early


def test_only_trials_within_the_number_asked_for_count() -> None:
    """A study that once had more trials is judged by those that are asked for now; waiting ones count for nothing."""
    assert stop(Criteria(trials=3), [*ended(0.5, 0.6), Trial(slot=2)], ROC_AUC) is None
    found = stop(Criteria(trials=2, target=0.7), ended(0.5, 0.6, 0.8), ROC_AUC)
    assert found
    assert found.kind == "trials"


def test_the_best_trial() -> None:
    """The highest value among complete trials; of equals the first; none where none is complete."""
    trials = [*ended(0.5, 0.7, 0.7), Trial(slot=9, state="pruned", value=0.99, ended=BEGAN)]
    best = best_of(trials, ROC_AUC)
    assert best
    assert best.slot == 1
    assert best_of(ended(None), ROC_AUC) is None
    assert [one.slot for one in in_order(reversed(trials))] == [0, 9, 1, 2]


def test_params_and_their_trainer() -> None:
    """An algorithm with params is a trainer, and the way back finds the params."""
    params = {"leaves": 8, "rate": 0.1, "kind": "gbdt"}
    trainer = TREES.trainer(params)
    assert trainer == Trainer(code="shop.trainer:train", settings={"objective": "binary", **params})
    assert incumbent([TREES], trainer) == (TREES, params)
    with pytest.raises(UnknownNameError, match="unknown searched setting of trees 'depth'; known: kind, leaves, rate"):
        TREES.trainer({"depth": 3})


@pytest.mark.parametrize(
    "changes", [{"leaves": 2}, {"kind": "goss"}, {"objective": "regression"}, {"more": 1}, {"leaves": True}]
)
def test_a_trainer_outside_the_space(changes: dict[str, Any]) -> None:
    """Settings outside the space, other fixed ones or further ones: the search does not claim to know that trainer."""
    settings = {"objective": "binary", "leaves": 8, "rate": 0.1, "kind": "gbdt", **changes}
    assert incumbent([TREES], Trainer(code="shop.trainer:train", settings=settings)) is None
    assert incumbent([TREES], Trainer(code="shop.other:train", settings=settings)) is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: IntRange(low=3, high=3), "from a lower to a higher value, not from 3 to 3"),
        (lambda: FloatRange(low=0.0, high=1.0, log=True), "begins above 0, not at 0.0"),
        (lambda: Choice(options=()), "at least 1 item"),
        (
            lambda: TREES.model_validate({**TREES.model_dump(), "settings": {"leaves": 8}}),
            "fixed and searched at once: leaves",
        ),
        (lambda: Search(algorithms=(TREES, TREES)), "algorithm declared twice: trees"),
        (lambda: Search(algorithms=()), "at least 1 item"),
        (lambda: Search(algorithms=(TREES,), trials=0), "greater than or equal to 1"),
        (lambda: Search(algorithms=(TREES,), validation=1.0), "less than 1"),
        (lambda: Search(algorithms=(TREES,)).criteria(patience=0), "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, words: str) -> None:
    """A declaration that can't work is refused where it is made, naming the value."""
    with pytest.raises(ValidationError, match=words):
        make()


def test_criteria_may_be_changed() -> None:
    """A form's values take the declared ones' place; those left empty stay."""
    search = Search(algorithms=(TREES,), trials=10, target=0.7)
    assert search.criteria(trials=3, target=None, minutes=5.0) == Criteria(trials=3, target=0.7, minutes=5.0)
    with pytest.raises(UnknownNameError, match="unknown algorithm 'forest'; known: trees"):
        algorithm_of(search.algorithms, "forest")


def test_a_loss_is_searched_downwards() -> None:
    """Where less is better, the least value wins, a target is reached from above, and a greater one is no gain."""
    best = best_of(ended(0.6, 0.4, 0.5, 0.4), LOG_LOSS)
    assert best is not None and best.slot == 1
    reached = stop(Criteria(target=0.5), ended(0.6, 0.5, 0.4), LOG_LOSS)
    assert reached is not None and reached.reason == "trial 1 reached 0.5000, the target is 0.5"
    idle = stop(Criteria(patience=2), ended(0.4, 0.5, 0.6), LOG_LOSS)
    assert idle is not None and idle.reason == "no gain over trial 0 with 0.4000 in 2 trials"
    assert stop(Criteria(patience=2), ended(0.6, 0.5, 0.4), LOG_LOSS) is None
