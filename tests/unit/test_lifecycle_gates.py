"""Gates: each stops what it is there to stop, and says so."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.gates import Estimate, Evaluation, judge
from airflow_mlops_provider.lifecycle.product import Gates

GATES = Gates(min_metric=0.7, min_gain=0.01, min_slice=0.6, slice_rows=100)
GOOD: dict[str, Any] = {
    "metric": "roc_auc",
    "window": "2013-03-01 00:00/2013-04-01 00:00",
    "rows": 5000,
    "challenger": Estimate(value=0.75, low=0.73, high=0.77),
    "baseline": Estimate(value=0.6, low=0.58, high=0.62),
    "champion": Estimate(value=0.72, low=0.7, high=0.74),
    "champion_version": 3,
    "gain": Estimate(value=0.03, low=0.01, high=0.05),
    "slices": {"origin=JFK": {"rows": 900, "value": 0.7}},
}
FIRST = {"champion": None, "champion_version": None, "gain": None}


def test_a_better_model_passes() -> None:
    """Above every gate, the reason is the metric, the baseline and the gain over the champion."""
    decision = judge(Evaluation(**GOOD), GATES)
    assert decision.passed
    assert decision.reasons == (
        "roc_auc 0.7500 [0.7300, 0.7700] over baseline 0.6000; gain 0.0300 [0.0100, 0.0500] over champion v3",
    )


def test_the_first_model_has_no_champion_to_beat() -> None:
    """Without a champion the gate on the gain is open, and the reason says why."""
    decision = judge(Evaluation(**{**GOOD, **FIRST}), GATES)
    assert decision.passed
    assert decision.reasons == ("roc_auc 0.7500 [0.7300, 0.7700] over baseline 0.6000; there is no champion yet",)


FAILING: dict[str, tuple[dict[str, Any], str]] = {
    "metric": (
        {"challenger": Estimate(value=0.6999, low=0.68, high=0.72)},
        "roc_auc 0.6999 [0.6800, 0.7200] is below the gate 0.7",
    ),
    "baseline": (
        {"challenger": Estimate(value=0.71, low=0.6, high=0.82)},
        "roc_auc 0.7100 [0.6000, 0.8200] does not clear the naive baseline 0.6000",
    ),
    "gain": (
        {"gain": Estimate(value=0.009, low=-0.01, high=0.03)},
        "gain 0.0090 [-0.0100, 0.0300] over champion v3 is below 0.01",
    ),
    "slice": (
        {"slices": {"origin=JFK": {"rows": 100, "value": 0.59}, "origin=EWR": {"rows": 900, "value": 0.6}}},
        "roc_auc 0.5900 in slice origin=JFK is below 0.6",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_each_gate_stops_alone(name: str) -> None:
    """A model that misses one gate is stopped by that one, and by no other."""
    changes, reason = FAILING[name]
    decision = judge(Evaluation(**{**GOOD, **changes}), GATES)
    assert not decision.passed
    assert decision.reasons == (reason,)


def test_every_failed_gate_is_named() -> None:
    """A model that misses all of them gets one reason for each."""
    bad = {**GOOD, "challenger": Estimate(value=0.5, low=0.4, high=0.6), **FAILING["gain"][0], **FAILING["slice"][0]}
    assert len(judge(Evaluation(**bad), GATES).reasons) == 4


def test_a_value_on_the_gate_passes() -> None:
    """What is demanded is the least, not one more; but the baseline must be left behind."""
    on = {
        "challenger": Estimate(value=0.7, low=0.61, high=0.8),
        "gain": Estimate(value=0.01, low=0, high=0.02),
        "slices": {"origin=JFK": {"rows": 100, "value": 0.6}},
    }
    assert judge(Evaluation(**{**GOOD, **on}), GATES).passed


@pytest.mark.parametrize("gates", [GATES.model_copy(update={"min_slice": None}), GATES])
def test_a_small_slice_or_no_gate_stops_nothing(gates: Gates) -> None:
    """A bad slice counts only where there is a gate for it, and from its number of rows on."""
    slices = {"origin=JFK": {"rows": 99, "value": 0.1}}
    assert judge(Evaluation(**{**GOOD, "slices": slices}), gates).passed


def test_a_small_loss_may_be_allowed() -> None:
    """A negative gate lets a model through that loses no more than that."""
    lost = Evaluation(**{**GOOD, "gain": Estimate(value=-0.004, low=-0.01, high=0.0)})
    assert judge(lost, GATES.model_copy(update={"min_gain": -0.005})).passed
    assert not judge(lost, GATES.model_copy(update={"min_gain": -0.003})).passed
