"""Gates: each stops what it is there to stop, and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.problem import metric_of
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.release.evaluation import Compared, Cost, Estimate, Evaluation, Gap
from airflow_mlops_provider.lifecycle.release.gates import judge, judge_card, judge_data
from airflow_mlops_provider.lifecycle.search.declaration import Criteria, FloatRange
from airflow_mlops_provider.lifecycle.sections import Gates, Monitoring, Value
from flight_delay.product import product
from tests.factories.declared import changed

ROC_AUC = metric_of("binary_classification", "roc_auc")
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
    decision = judge(Evaluation(**GOOD), GATES, ROC_AUC)
    assert decision.passed
    assert decision.reasons == (
        "roc_auc 0.7500 [0.7300, 0.7700] over baseline 0.6000; gain 0.0300 [0.0100, 0.0500] over champion v3",
    )


def test_the_first_model_has_no_champion_to_beat() -> None:
    """Without a champion the gate on the gain is open, and the reason says why."""
    decision = judge(Evaluation(**{**GOOD, **FIRST}), GATES, ROC_AUC)
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
    decision = judge(Evaluation(**{**GOOD, **changes}), GATES, ROC_AUC)
    assert not decision.passed
    assert decision.reasons == (reason,)


def test_every_failed_gate_is_named() -> None:
    """A model that misses all of them gets one reason for each."""
    bad = {**GOOD, "challenger": Estimate(value=0.5, low=0.4, high=0.6), **FAILING["gain"][0], **FAILING["slice"][0]}
    assert len(judge(Evaluation(**bad), GATES, ROC_AUC).reasons) == 4


def test_a_value_on_the_gate_passes() -> None:
    """What is demanded is the least, not one more; but the baseline must be left behind."""
    on = {
        "challenger": Estimate(value=0.7, low=0.61, high=0.8),
        "gain": Estimate(value=0.01, low=0, high=0.02),
        "slices": {"origin=JFK": {"rows": 100, "value": 0.6}},
    }
    assert judge(Evaluation(**{**GOOD, **on}), GATES, ROC_AUC).passed


@pytest.mark.parametrize("gates", [GATES.model_copy(update={"min_slice": None}), GATES])
def test_a_small_slice_or_no_gate_stops_nothing(gates: Gates) -> None:
    """A bad slice counts only where there is a gate for it, and from its number of rows on."""
    slices = {"origin=JFK": {"rows": 99, "value": 0.1}}
    assert judge(Evaluation(**{**GOOD, "slices": slices}), gates, ROC_AUC).passed


def test_a_small_loss_may_be_allowed() -> None:
    """A negative gate lets a model through that loses no more than that."""
    lost = Evaluation(**{**GOOD, "gain": Estimate(value=-0.004, low=-0.01, high=0.0)})
    assert judge(lost, GATES.model_copy(update={"min_gain": -0.005}), ROC_AUC).passed
    assert not judge(lost, GATES.model_copy(update={"min_gain": -0.003}), ROC_AUC).passed


# --- what is no value of a metric -------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


def around(value: float | None, low: float | None = 0.01, high: float | None = 0.99) -> Estimate:
    """Return an estimate, possible or not."""
    return Estimate.model_validate({"value": value, "low": low, "high": high})


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a metric that is NaN": ({"challenger": around(NAN)}, "the challenger's roc_auc, nan"),
    "a lower bound that is NaN": ({"challenger": around(0.75, low=NAN)}, "the challenger's roc_auc"),
    "an upper bound that is infinite": ({"challenger": around(0.75, high=INF)}, "the challenger's roc_auc"),
    "no metric at all": ({"challenger": around(None)}, "the challenger's roc_auc, nan"),
    "a metric above its range": ({"challenger": around(75.0)}, "the challenger's roc_auc, 75.0000"),
    "a baseline that is NaN": ({"baseline": around(NAN)}, "the baseline's roc_auc, nan"),
    "a baseline below its range": ({"baseline": around(-0.5)}, "the baseline's roc_auc, -0.5000"),
    "a champion that is NaN": ({"champion": around(NAN)}, "the champion's roc_auc, nan"),
    "a gain that is NaN": ({"gain": around(NAN)}, "the gain in roc_auc, nan"),
    "a gain beyond what is possible": ({"gain": around(1.5)}, "the gain in roc_auc, 1.5000"),
    "a champion without a gain": ({"gain": None}, "the gain over the champion is missing"),
    "a slice that is NaN": (
        {"slices": {"origin=JFK": {"rows": 900, "value": NAN}}},
        "roc_auc nan on 900 rows",
    ),
    "a slice of nothing": (
        {"slices": {"origin=JFK": {"rows": 900, "value": None}}},
        "roc_auc nan on 900 rows",
    ),
    "a slice of NaN rows": ({"slices": {"origin=JFK": {"rows": NAN, "value": 0.1}}}, "on nan rows in slice origin=JFK"),
    "a slice without rows": ({"slices": {"origin=JFK": {"value": 0.1}}}, "on nan rows in slice origin=JFK"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("gates", [GATES, Gates(min_metric=0, min_gain=-1)], ids=["strict", "open"])
def test_what_is_no_value_passes_no_gate(gates: Gates, name: str) -> None:
    """Every comparison with NaN is false, so no gate would stop it; it is stopped by name, also where all are open."""
    changes, said = IMPOSSIBLE[name]
    decision = judge(Evaluation.model_validate({**GOOD, **changes}), gates, ROC_AUC)
    assert not decision.passed
    assert [reason for reason in decision.reasons if said in reason], decision.reasons


def test_an_evaluation_that_was_kept_with_nulls_is_read_and_refused() -> None:
    """JSON has no NaN: what was written as null is read as what it was."""
    kept = Evaluation(**{**GOOD, "challenger": around(NAN)}).model_dump_json()
    assert '"value":null' in kept
    assert not judge(Evaluation.from_file(kept.encode()), GATES, ROC_AUC).passed


# --- gates of the model itself, and between groups --------------------------------------------------------------------

COST = Cost(p50_ms=1.0, p99_ms=4.0, batch_ms=20.0, memory_mib=150.0)
SAME = Compared(rows=25)
#: A gate: what is declared, what a good model shows, what a bad one does, and what is said of the bad one.
PLANTED: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "a sure gain": (
        "champion",
        {"min_gain": 0.005, "sure_gain": True},
        {"gain": around(0.03, 0.01, 0.05)},
        {"gain": around(0.03, -0.01, 0.07)},
        "gain 0.0300 [-0.0100, 0.0700] over champion v3, at its lower end, is below 0.005",
    ),
    "a metric between groups": (
        "fairness",
        {"max_gap": 0.05},
        {"gaps": {"origin": Gap(groups=3, metric=0.05)}},
        {"gaps": {"origin": Gap(groups=3, metric=0.051)}},
        "roc_auc differs by 0.0510 between 3 groups of origin, above 0.05",
    ),
    "a rate between groups": (
        "fairness",
        {"max_rate_gap": 0.1},
        {"gaps": {"origin": Gap(groups=2, metric=0.9, rate=0.1)}},
        {"gaps": {"origin": Gap(groups=2, metric=0.0, rate=0.2)}},
        "what is predicted differs by 0.2000 between 2 groups of origin, above 0.1",
    ),
    "calibration": (
        "calibration",
        {"max_calibration_error": 0.05},
        {"calibration": 0.05},
        {"calibration": 0.06},
        "the calibration error: 0.06 is above 0.05",
    ),
    "calibration that nobody measured": (
        "calibration",
        {"max_calibration_error": 0.05},
        {"calibration": 0.0},
        {"calibration": None},
        "the calibration error: nothing was measured",
    ),
    "single rows": (
        "latency",
        {"max_latency_ms": 5},
        {"cost": COST},
        {"cost": COST.model_copy(update={"p99_ms": 5.1})},
        "the 99th percentile of single rows: 5.1 ms is above 5 ms",
    ),
    "many rows": (
        "latency",
        {"max_latency_ms": 5, "max_batch_ms": 20},
        {"cost": COST},
        {"cost": COST.model_copy(update={"batch_ms": 21.0})},
        "1,000 rows: 21 ms is above 20 ms",
    ),
    "a time that nobody measured": (
        "latency",
        {"max_latency_ms": 5},
        {"cost": COST},
        {"cost": None},
        "the 99th percentile of single rows: nothing was measured",
    ),
    "memory": (
        "memory",
        {"max_memory_mib": 200},
        {"cost": COST},
        {"cost": COST.model_copy(update={"memory_mib": 201.0})},
        "the model's memory: 201 MiB is above 200 MiB",
    ),
    "a model that does not load": (
        "loads",
        {"loads": True},
        {"loaded": SAME},
        {"loaded": Compared(rows=25, differing=25, first="IntegrityError: cut short")},
        "25 of 25 rows get other predictions in a new process: IntegrityError: cut short",
    ),
    "a model that nobody loaded": (
        "loads",
        {"loads": True},
        {"loaded": SAME},
        {"loaded": None},
        "nothing to compare: nothing was measured",
    ),
    "skew": (
        "skew",
        {},
        {"skew": SAME},
        {"skew": Compared(rows=25, differing=1, first="mean is 1 alone, and 2 among others of row 3")},
        "1 of 25 rows get other predictions by themselves: mean is 1 alone, and 2 among others of row 3",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_good_model_passes_and_a_bad_one_does_not(name: str) -> None:
    """Each gate by itself, on either side of its limit; what it measured is kept with it."""
    gate, limits, good, bad, reason = PLANTED[name]
    gates = GATES.model_copy(update=limits)
    passed, failed = (judge(Evaluation.model_validate({**GOOD, **made}), gates, ROC_AUC) for made in (good, bad))
    assert passed.passed and {result.name: result.outcome for result in passed.results}[gate] == "passed"
    assert (failed.passed, failed.reasons) == (False, (reason,))
    assert [result.name for result in failed.failed] == [gate]


@pytest.mark.parametrize("name", PLANTED)
def test_without_a_limit_nothing_is_judged(name: str) -> None:
    """What is measured and not declared stops nothing; but rows that are predicted otherwise in serving always do."""
    gate, _, _, bad, _ = PLANTED[name]
    decision = judge(Evaluation.model_validate({**GOOD, **bad}), GATES.model_copy(update={"min_gain": 0.0}), ROC_AUC)
    assert decision.passed == (gate not in {"skew", "loads"} or bad.get("loaded", 0) is None)


def test_fairness_is_of_the_columns_that_are_named() -> None:
    """A gap in another column is none; and where no two groups are large enough that is said."""
    gaps = {"origin": Gap(groups=2, metric=0.01), "carrier": Gap(groups=4, metric=0.4)}
    evaluation = Evaluation(**{**GOOD, "gaps": gaps})
    assert not judge(evaluation, Gates(max_gap=0.1), ROC_AUC).passed
    assert judge(evaluation, Gates(max_gap=0.1, fair_by=("origin",)), ROC_AUC).passed
    alone = judge(Evaluation(**{**GOOD, "gaps": {"origin": Gap(groups=1)}}), Gates(max_gap=0.1), ROC_AUC)
    assert alone.passed
    assert "no column has two groups of at least 1,000 rows" in alone.results[-1].reason


@pytest.mark.parametrize(
    ("unfilled", "asked", "outcome", "reason"),
    [
        ((), True, "passed", "each section of the model card is filled"),
        (("Owners", "Slices"), True, "failed", "the model card says nothing under Owners, Slices"),
        (None, True, "failed", "no model card can be read"),
        (None, False, "not asked for", "the product has no business section"),
        (("Owners",), False, "not asked for", "the product has no business section"),
    ],
)
def test_a_model_card_is_to_be_whole(unfilled: tuple[str, ...] | None, asked: bool, outcome: str, reason: str) -> None:
    """Where the product says whom it is for; what is unfilled is named, and what is not asked for stops nothing."""
    decision = judge(Evaluation(**GOOD), GATES, ROC_AUC, judge_card(unfilled, required=asked))
    result = {result.name: result for result in decision.results}["card"]
    assert (result.outcome, result.reason) == (outcome, reason)
    assert decision.passed == (outcome != "failed")
    assert decision.passed or decision.reasons == (reason,)


def test_a_search_is_for_what_it_can_better() -> None:
    """A slow model is not made faster by other settings of the metric's liking; a weak one may be made better."""
    slow, weak = (PLANTED["single rows"], {"challenger": around(0.65, 0.62, 0.7)})
    gates = GATES.model_copy(update=slow[1])
    assert not judge(Evaluation.model_validate({**GOOD, **slow[3]}), gates, ROC_AUC).searchable
    assert judge(Evaluation.model_validate({**GOOD, **weak}), GATES, ROC_AUC).searchable


def test_what_a_gate_said_is_kept_with_figure_and_limit() -> None:
    """Numbers where there are some, for whoever shows them; and no NaN, which JSON does not have."""
    results = {result.name: result for result in judge(Evaluation(**GOOD), GATES, ROC_AUC).results}
    figures = {name: (result.figure, result.limit) for name, result in results.items()}
    assert figures == {"metric": (0.75, 0.7), "baseline": (0.75, 0.6), "champion": (0.03, 0.01), "slices": (0.7, 0.6)}
    (odd,) = judge(Evaluation.model_validate({**GOOD, "challenger": around(NAN)}), GATES, ROC_AUC).results
    assert (odd.name, odd.figure) == ("evidence", None)
    assert odd.to_file()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "fair by what is no slice": (
        {"evaluation.gates": {"max_gap": 0.1, "fair_by": ("dest",)}},
        "unknown column of gates.fair_by 'dest'",
    ),
    "fair by nothing": (
        {"evaluation.gates": {"max_gap": 0.1}, "evaluation.slices": ()},
        r"name their columns, evaluation.slices",
    ),
    "a gap beyond the metric": ({"evaluation.gates": {"max_gap": 1.5}}, r"max_gap=1.5 can't be"),
    "a loss of amounts that are no quantiles": (
        {"problem": "regression", "evaluation.metric": None, "evaluation.gates": {"max_calibration_error": 0.1},
         "monitoring.min_metric": None, "search": None, "business.value": None},
        "gives no probabilities or quantiles",
    ),
    "a rate of amounts": (
        {"problem": "regression", "evaluation.metric": None, "evaluation.gates": {"max_rate_gap": 0.1},
         "monitoring.min_metric": None, "search": None, "business.value": None},
        "of no row regression says that something is so",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_gate_that_can_judge_nothing_is_refused(name: str) -> None:
    """Where it is declared, with what would fit: it would else be open for ever."""
    changes, said = WRONG[name]
    with pytest.raises(ValidationError, match=said):
        changed(product, changes)


LIMITS: dict[str, Callable[[float], Any]] = {
    "min_metric": lambda value: Gates(min_metric=value),
    "min_slice": lambda value: Gates(min_metric=0.5, min_slice=value),
    "min_gain": lambda value: Gates(min_metric=0.5, min_gain=value),
    "drift_share": lambda value: Monitoring(drift_share=value),
    "prediction_drift": lambda value: Monitoring(prediction_drift=value),
    "min_metric of monitoring": lambda value: Monitoring(min_metric=value),
    "target": lambda value: Criteria(target=value),
    "min_gain of a search": lambda value: Criteria(min_gain=value),
    "minutes": lambda value: Criteria(minutes=value),
    "low": lambda value: FloatRange(low=value, high=1.0),
    "high": lambda value: FloatRange(low=0.0, high=value),
    "per_hit": lambda value: Value(per_hit=value),
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_no_number_is_no_limit(limit: str, value: float) -> None:
    """NaN and infinities are refused where a limit is declared; the error names it."""
    with pytest.raises(ValidationError, match=limit.partition(" ")[0]):
        LIMITS[limit](value)


DECLARED = (
    "evaluation.gates.min_metric",
    "evaluation.gates.min_slice",
    "monitoring.min_metric",
    "search.target",
)


@pytest.mark.parametrize("limit", DECLARED)
@pytest.mark.parametrize("value", [-0.01, 1.01, 70])
def test_a_limit_out_of_its_metrics_range_is_refused(limit: str, value: float) -> None:
    """No model could be above 70, and every one is above -1: neither is a gate. The error says what is allowed."""
    with pytest.raises(ValidationError, match=rf"{limit}={value:g} can't be: roc_auc lies from 0 to 1"):
        changed(product, {limit: value})


def judged_by_loss(least: float) -> MLProduct:
    """Return the flight product judged by a loss, with no other gate."""
    return changed(product, {"evaluation.metric": "log_loss", "evaluation.gates": Gates(min_metric=least)})


def test_each_metric_has_its_own_range() -> None:
    """What no area can be, a loss may be."""
    assert judged_by_loss(1.5).evaluation.gates.min_metric == 1.5
    with pytest.raises(ValidationError, match=r"gates\.min_metric=-0\.1 can't be: log_loss lies from 0 to inf"):
        judged_by_loss(-0.1)


def test_a_gain_may_be_negative_but_not_beyond_the_range() -> None:
    """A small loss may be allowed; a whole range and more is none."""
    gain = "evaluation.gates.min_gain"
    assert changed(product, {gain: -0.01}).evaluation.gates.min_gain == -0.01
    for value in (-1.01, 1.01):
        with pytest.raises(ValidationError, match=r"gates\.min_gain"):
            changed(product, {gain: value})


# --- a metric of which less is better ---------------------------------------------------------------------------------

LOG_LOSS = metric_of("binary_classification", "log_loss")
LOSS_GATES = Gates(min_metric=0.5, min_gain=0.01, min_slice=0.6, slice_rows=100)
LOSS: dict[str, Any] = {
    **GOOD,
    "metric": "log_loss",
    "challenger": Estimate(value=0.4, low=0.38, high=0.42),
    "baseline": Estimate(value=0.6, low=0.58, high=0.62),
    "champion": Estimate(value=0.43, low=0.41, high=0.45),
    "slices": {"origin=JFK": {"rows": 900, "value": 0.6}},
}


def test_less_is_better_where_the_metric_says_so() -> None:
    """A loss below every limit passes; the gain is positive where the challenger's loss is the smaller."""
    assert judge(Evaluation(**LOSS), LOSS_GATES, LOG_LOSS).passed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"challenger": around(0.51, 0.4, 0.55)}, "log_loss 0.5100 [0.4000, 0.5500] is above the gate 0.5"),
        ({"challenger": around(0.4, 0.3, 0.6)}, "log_loss 0.4000 [0.3000, 0.6000] does not clear the naive baseline"),
        ({"gain": around(0.009, 0.0, 0.02)}, "gain 0.0090 [0.0000, 0.0200] over champion v3 is below 0.01"),
        ({"slices": {"a=b": {"rows": 100, "value": 0.61}}}, "log_loss 0.6100 in slice a=b is above 0.6"),
        ({"metric": "roc_auc"}, "it was judged by roc_auc, and the gates are for log_loss"),
        ({"challenger": around(-0.1, 0.3, 0.6)}, "the challenger's log_loss, -0.1000"),
    ],
)
def test_more_of_a_loss_is_stopped(changes: dict[str, Any], reason: str) -> None:
    """Each gate stops what lies above it, and alone."""
    decision = judge(Evaluation.model_validate({**LOSS, **changes}), LOSS_GATES, LOG_LOSS)
    assert not decision.passed
    (said,) = decision.reasons
    assert said.startswith(reason)


# --- the data gate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", ["expectations", None])
def test_data_that_met_its_expectations_pass(about: str | None) -> None:
    """The report on the training data decides, also one of a release that did not say what it is about."""
    met = Report(uri="file:///r", hash="1" * 64, about=about, passed=True, facts={"checked": 7})
    assert judge_data(met).reasons == ("its training data met all 7 expectations",)
    broken = met.model_copy(update={"passed": False, "broken": ("flights: a gap",)})
    assert (judge_data(broken).passed, judge_data(broken).reasons) == (False, ("flights: a gap",))


def test_another_report_is_no_data_gate() -> None:
    """That drift is within its limits says nothing of training data."""
    drift = Report(uri="file:///r", hash="1" * 64, about="drift", passed=True, facts={"checked": 7})
    with pytest.raises(IntegrityError, match="file:///r is a report about drift, not about expectations"):
        judge_data(drift)
