"""Operators without a product: what they are given says the same as the product, and overrides it field by field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.sections import Monitoring, Retraining, Serving, Windows
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.features import (
    FeastBuildTrainingSetOperator,
    FeastLoadIntervalOperator,
    FeaturesComputeIntervalOperator,
    RulesCleanIntervalOperator,
    SourceExtractIntervalOperator,
)
from airflow_mlops_provider.operators.feedback import FeedbackRequestDataChangeOperator, FeedbackSendSignalOperator
from airflow_mlops_provider.operators.maintenance import ModelServerReconcileOperator
from airflow_mlops_provider.operators.monitoring import (
    EvidentlyCompareIntervalOperator,
    LabelsJudgePredictionsOperator,
    PredictionsListNewOperator,
)
from airflow_mlops_provider.operators.serving import (
    FeaturesListNewOperator,
    ModelFindLiveVersionOperator,
    ModelPredictIntervalOperator,
)
from airflow_mlops_provider.operators.training import TrainingPlanRunOperator
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from flight_delay.product import product as declared
from tests.factories.declared import changed
from tests.factories.rain import year
from tests.factories.tiny import TinyWorld

CONTEXT: Any = {}
NAME = "flights"
#: Where the reference product has defaults, this one has something else.
PRODUCT = changed(
    declared,
    {
        "training.trainer.seed": 7,
        "training.windows.evaluate": 2,
        "monitoring.drift_share": 0.4,
        "monitoring.min_metric": 0.6,
        "serving.port": 8912,
    },
)
SHAPE = {"shape": PRODUCT.shape}
#: What each takes as input, what it can't do without, and what further settings a product has for it.
JOBS: dict[type[JobOperator], tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    SourceExtractIntervalOperator: ({}, {"sources": PRODUCT.data.sources}, {}),
    RulesCleanIntervalOperator: ({"raw": {}}, {"clean": PRODUCT.data.clean}, {"sources": PRODUCT.data.sources}),
    FeaturesComputeIntervalOperator: (
        {"clean": {}},
        {"compute": PRODUCT.features.compute, "examples": PRODUCT.label.examples, **SHAPE},
        {"sources": PRODUCT.data.sources, "known_later": PRODUCT.data.known_later},
    ),
    FeastLoadIntervalOperator: ({"features": {}}, SHAPE, {}),
    FeastBuildTrainingSetOperator: ({"features": []}, SHAPE, {"evaluate": 2}),
    ModelPredictIntervalOperator: ({"features": {}, "version": {}}, {"scoring": PRODUCT.scoring}, {}),
    EvidentlyCompareIntervalOperator: (
        {"predictions": {}, "version": {}},
        {},
        {"monitoring": PRODUCT.monitoring, "problem": PRODUCT.problem, "seed": 7},
    ),
    LabelsJudgePredictionsOperator: (
        {"predictions": {}, "features": {}},
        SHAPE,
        {"metric": PRODUCT.evaluation.metric, "value": PRODUCT.business.value, "min_metric": 0.6},
    ),
    ModelServerReconcileOperator: ({}, {}, {"serving": PRODUCT.serving}),
}
LISTS = (ModelFindLiveVersionOperator, FeaturesListNewOperator, PredictionsListNewOperator)
#: Settings that are a product's alone.
LEFT = {
    LabelsJudgePredictionsOperator: {"seed"},
    ModelServerReconcileOperator: {"scoring", "metric", "approval", "rollout"},
}


def parts(operator: JobOperator, store: FolderStore) -> dict[str, Any]:
    """Return the settings and parameters of an operator's specification."""
    made = operator.parts(store, CONTEXT)
    for name in LEFT.get(type(operator), ()):
        made["settings"].pop(name)
    return {name: made[name] for name in ("settings", "params")}


@pytest.mark.parametrize("kind", JOBS, ids=lambda kind: kind.__name__)
def test_arguments_say_the_same_as_a_product(kind: type[JobOperator], tmp_path: Path) -> None:
    """The job is given the same settings by value, whether a product or arguments say them."""
    inputs, needed, further = JOBS[kind]
    alone = kind(task_id="any", product=NAME, **inputs, **needed, **further)
    whole = kind(task_id="any", product=PRODUCT, **inputs)
    assert parts(alone, FolderStore(tmp_path)) == parts(whole, FolderStore(tmp_path))


@pytest.mark.parametrize("kind", [kind for kind, (_, needed, _) in JOBS.items() if needed], ids=lambda k: k.__name__)
def test_what_is_missing_is_named_while_the_dag_is_parsed(kind: type[JobOperator], tmp_path: Path) -> None:
    """All of it; with just that much the specification can be made."""
    inputs, needed, _ = JOBS[kind]
    missing = ", ".join(f"{name}=" for name in needed)
    with pytest.raises(ConfigurationError, match=f"{kind.__name__} 'any' needs .*, or a whole product=") as refused:
        kind(task_id="any", product=NAME, **inputs)
    assert set(missing.split(", ")) == set(str(refused.value).partition("needs ")[2].split(", ")[:-1])
    assert parts(kind(task_id="any", product=NAME, **inputs, **needed), FolderStore(tmp_path))["settings"]


def test_an_argument_overrides_a_product_in_that_alone(tmp_path: Path) -> None:
    """All other settings stay the product's."""
    store, inputs = FolderStore(tmp_path), {"predictions": {}, "features": {}}
    whole = parts(LabelsJudgePredictionsOperator(task_id="any", product=PRODUCT, **inputs), store)["settings"]
    other = LabelsJudgePredictionsOperator(task_id="any", product=PRODUCT, metric="log_loss", min_metric=0.5, **inputs)
    settings = parts(other, store)["settings"]
    assert settings.pop("metric")["name"] == "log_loss"
    assert settings == {**{name: whole[name] for name in whole if name != "metric"}, "min_metric": 0.5}


def test_windows_and_limits_without_a_job() -> None:
    """Plan and signal take them as given, else as a product declares them, else their defaults."""
    plan = TrainingPlanRunOperator(task_id="any", product=PRODUCT, retraining=Retraining(after_intervals=9))
    assert (plan.windows, plan.retraining.after_intervals) == (PRODUCT.training.windows, 9)
    assert TrainingPlanRunOperator(task_id="any").windows == Windows()
    given: dict[str, Any] = {"drift": {}, "predictions": {}}
    whole = FeedbackSendSignalOperator(task_id="any", product=PRODUCT, **given)
    assert (whole.monitoring, whole.metric) == (PRODUCT.monitoring, PRODUCT.metric)
    judged_by = {"problem": "binary_classification", "metric": "log_loss"}
    alone = FeedbackSendSignalOperator(task_id="any", product=NAME, **judged_by, **given)
    assert (alone.monitoring, alone.metric.name) == (Monitoring(), "log_loss")
    with pytest.raises(ConfigurationError, match="needs problem=, or a whole product="):
        FeedbackSendSignalOperator(task_id="any", product=NAME, **given)


@pytest.mark.parametrize("product", [NAME, PRODUCT], ids=["alone", "of a product"])
def test_who_is_asked_for_other_data(product: str | MLProduct) -> None:
    """Whom the task names; without that the product's data engineer, and without both nobody."""
    named = FeedbackRequestDataChangeOperator(task_id="any", product=product, to="somebody@city.example")
    assert named.to == "somebody@city.example"
    if isinstance(product, MLProduct):
        asked = FeedbackRequestDataChangeOperator(task_id="any", product=product)
        assert asked.to == PRODUCT.business.owners.data_engineer
    else:
        with pytest.raises(ConfigurationError, match="needs to=, or a whole product="):
            FeedbackRequestDataChangeOperator(task_id="any", product=product)


@pytest.mark.parametrize(
    "kind",
    [ModelFindLiveVersionOperator, FeaturesListNewOperator, PredictionsListNewOperator],
    ids=lambda k: k.__name__,
)
def test_what_only_looks_takes_a_name(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is live or waits under it, and nobody's declaration is needed to know that."""
    from airflow.sdk.exceptions import AirflowSkipException

    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path))
    context: Any = {"dag_run": type("Run", (), {"run_type": "scheduled"})}
    with pytest.raises(AirflowSkipException, match=r"no version of flights is live yet|nothing is left to do"):
        kind(task_id="any", product=NAME).execute(context)


def test_rules_get_all_tables_of_a_snapshot(make: Callable[..., TinyWorld]) -> None:
    """Where nobody says which of them."""
    world = make()
    spec = world.cleaning(settings={"clean": f"{world.name}.rules:clean"})
    result = run(spec).result
    assert isinstance(result, Dataset)
    assert (result.facts["rows"], result.facts["rows_in"]) == ({"sales": 2}, {"sales": 2})


def test_features_look_back_as_far_as_is_said() -> None:
    """As the product declares, or the task says; without either not at all."""
    given: dict[str, Any] = {"clean": {}, "compute": "a:b", "examples": "a:b", **SHAPE}
    made = [
        FeaturesComputeIntervalOperator(task_id="any", **given, **further)
        for further in ({"product": PRODUCT}, {"product": PRODUCT, "lookback": 3}, {})
    ]
    assert [operator.lookback for operator in made] == [PRODUCT.features.lookback, 3, 0]


def test_any_table_is_clean_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of the DAG file's is read now, and stands for the run's interval."""
    import pandas as pd

    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path / "root"))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "day.parquet")
    day = year(2013)
    context: Any = {"data_interval_start": day.start, "data_interval_end": day.end}
    given: dict[str, Any] = {"product": NAME, "compute": "a:b", "examples": "a:b", **SHAPE}
    operator = FeaturesComputeIntervalOperator(task_id="any", clean=str(tmp_path / "day.parquet"), **given)
    (table,) = operator.inputs(context)["clean"]  # type: ignore[misc]
    assert isinstance(table, Dataset)
    assert (table.interval, table.facts["rows"]) == (day, {"table": 1})


def test_another_server_of_no_product() -> None:
    """The local one listens where the task says."""
    serving = Serving(port=8913)
    assert ModelServerReconcileOperator(task_id="any", product=NAME, serving=serving).sections() == {"serving": serving}
