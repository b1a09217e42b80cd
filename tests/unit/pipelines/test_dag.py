"""A whole pipeline in one line: the same as spelled out, with steps inserted, replaced and left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup, XComArg, task
from airflow.serialization.serialized_objects import DagSerialization

from airflow_mlops_provider import LocalProcess, MLOpsDag, MLOpsTaskGroup
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.release.deployment import Deployment, Rollout
from airflow_mlops_provider.operators.features import (
    FeastLoadIntervalOperator,
    FeaturesComputeIntervalOperator,
    RulesCleanIntervalOperator,
    SourceExtractIntervalOperator,
)
from airflow_mlops_provider.operators.maintenance import FeaturesRemakeStaleOperator
from airflow_mlops_provider.operators.serving import ModelPredictIntervalOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.pipelines import defaults, last_start
from airflow_mlops_provider.sensors.features import SourceDeliverySensor
from flight_delay.product import product
from tests.factories import rain

DAGS = Path(__file__).parents[3] / "dags"
#: Each task with those that wait for it.
SHAPES = {
    "feature_engineering": """
    sources.wait_for_delivery: sources.extract
    sources.extract: features.clean validation.validate_raw
    validation.validate_raw: features.load
    features.clean: features.compute
    features.compute: features.load
    features.load: features.remake_stale
    features.remake_stale:
    """,
    "training": """
    features.plan: features.build_training_set registry.register
    features.build_training_set: validation.validate_training_set training.train evaluation.retune evaluation.evaluate
    validation.validate_training_set: registry.promote training.train
    training.train: evaluation.evaluate evaluation.retune
    evaluation.evaluate: evaluation.retune
    evaluation.retune: registry.promote registry.register
    registry.register: registry.promote
    registry.promote:
    """,
    "deployment": """
    deployment.approve: deployment.deploy
    deployment.deploy:
    """,
    "batch_inference": """
    serving.find_live_version: serving.predict
    serving.list_new_features: serving.predict
    serving.predict:
    """,
    "monitoring": """
    list_new_predictions: monitoring.drift monitoring.feedback monitoring.performance
    monitoring.drift: monitoring.feedback
    monitoring.performance: monitoring.feedback
    monitoring.feedback:
    list_served: collect
    collect: list_collected
    list_collected: served.served_drift served.served_performance served.served_feedback
    served.served_drift: served.served_feedback
    served.served_performance: served.served_feedback
    served.served_feedback:
    """,
    "experimentation": """
    features.plan: features.build_training_set
    features.build_training_set: experimentation.open_search
    experimentation.plan_trials: experimentation.trial
    experimentation.open_search: experimentation.conclude experimentation.trial
    experimentation.trial: experimentation.conclude
    experimentation.conclude: experimentation.export_settings feedback.ask_for_data
    experimentation.export_settings:
    feedback.ask_for_data:
    """,
}


@task
def changed(tables: Any) -> Any:
    """Hand on a table of one's own."""
    return tables


def shape(dag: DAG) -> dict[str, set[str]]:
    """Return each task with those that wait for it."""
    return {one.task_id: set(one.downstream_task_ids) for one in dag.tasks}


def expected(pipeline: str) -> dict[str, set[str]]:
    """Return the same as it is written above."""
    lines = (line.strip().partition(":") for line in SHAPES[pipeline].strip().splitlines())
    return {name: set(after.split()) for name, _, after in lines}


def serialized(dag: DAG) -> Any:
    """Return a DAG as Airflow keeps it; the page's text and the file that it lies in do not count."""
    told = DagSerialization.to_dict(dag)["dag"]
    return {key: value for key, value in told.items() if key not in {"doc_md", "fileloc", "relative_fileloc"}}


def given(name: str, of: Any) -> list[str]:
    """Return which tasks an input comes from."""
    return [operator.task_id for operator, _ in XComArg.iter_xcom_references(getattr(of, name))]


# --- the same


def test_one_line_is_what_is_spelled_out() -> None:
    """A pipeline that is written with operators, one after another, serializes to the same DAG."""
    with DAG(
        dag_id="flight_delay_feature_engineering",
        schedule=CronDataIntervalTimetable(product.schedule.cron, timezone="UTC"),
        start_date=product.schedule.start,
        end_date=last_start(product),
        catchup=True,
        max_active_runs=64,
        **defaults(product, ""),
    ) as spelled_out:
        with TaskGroup("sources"):
            delivered = SourceDeliverySensor(task_id="wait_for_delivery", product=product)
            raw = SourceExtractIntervalOperator(task_id="extract", product=product)
        with TaskGroup("validation"):
            valid = GreatExpectationsValidateDatasetOperator(
                task_id="validate_raw", product=product, dataset=raw.output, what="raw"
            )
        with TaskGroup("features"):
            clean = RulesCleanIntervalOperator(task_id="clean", product=product, raw=raw.output)
            features = FeaturesComputeIntervalOperator(task_id="compute", product=product, clean=clean.output)
            loaded = FeastLoadIntervalOperator(task_id="load", product=product, features=features.output)
            loaded >> FeaturesRemakeStaleOperator(task_id="remake_stale", product=product)
        delivered >> raw
        valid >> loaded
    assert serialized(MLOpsDag(product, "feature_engineering")) == serialized(spelled_out)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """The reference DAGs, read as Airflow reads them."""
    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    return bag


@pytest.mark.parametrize("pipeline", SHAPES)
def test_the_reference_dags(bag: DagBag, pipeline: str) -> None:
    """Each reference DAG is there, has these tasks in this order, and is the same as in one line elsewhere."""
    dag = bag.dags[f"flight_delay_{pipeline}"]
    assert shape(dag) == expected(pipeline)
    assert dag.fileloc == str(DAGS / f"{pipeline}.py")
    assert serialized(dag) == serialized(MLOpsDag(product, pipeline))
    assert dag.doc_md and dag.doc_md.startswith(f"**{product.goal}**\n\n")


def test_schedules_and_forms(bag: DagBag) -> None:
    """What starts each reference DAG, what its form has, and that only feature engineering catches up."""
    dags = {name: bag.dags[f"flight_delay_{name}"] for name in SHAPES}
    starts = {name: json.dumps(serialized(dag)["timetable"]) for name, dag in dags.items()}
    seen = {
        name: re.findall(r'"expression": "(.+?)"|"uri": "mlops://flight_delay/(.+?)"', start)
        for name, start in starts.items()
    }
    assert {name: {cron or asset for cron, asset in found} for name, found in seen.items()} == {
        "feature_engineering": {"0 0 1 * *"},
        "training": {"0 3 * * 0", "features", "drift"},
        "deployment": {"production_ready"},
        "batch_inference": {"5 * * * *", "features"},
        "monitoring": {"35 * * * *", "predictions"},
        "experimentation": set(),
    }
    forms = {name: {*dag.params} - {"force"} for name, dag in dags.items() if "force" in dag.params}
    assert {name: form for name, form in forms.items() if name != "experimentation"} == {
        "feature_engineering": set(),
        "training": {"trainer", "place", "window"},
        "batch_inference": set(),
        "monitoring": set(),
        "deployment": {"version", "rollback", "reason", "share"},
    }
    assert "trials" in forms["experimentation"]
    assert {name for name, dag in dags.items() if dag.catchup} == {"feature_engineering"}


def test_one_s_own_file_is_read(tmp_path: Path) -> None:
    """A file with nothing but the import and the lines is taken for a DAG file, and all of its DAGs are there."""
    (tmp_path / "mine.py").write_text(
        "from airflow_mlops_provider import MLOpsDag\nfrom flight_delay.product import product\n"
        'MLOpsDag(product, "training", dag_id="team_a_training")\n'
        'for name in ("deployment", "monitoring"):\n    MLOpsDag(product, name)\n'
        'with MLOpsDag(product, "feature_engineering") as dag:\n    dag["validate_raw"] >> dag["clean"]\n'
    )
    mine = DagBag(tmp_path)
    assert mine.import_errors == {}
    assert {*mine.dags} == {
        "team_a_training",
        *(f"flight_delay_{name}" for name in ("deployment", "monitoring", "feature_engineering")),
    }
    assert "features.clean" in mine.dags["flight_delay_feature_engineering"]["validate_raw"].downstream_task_ids


def test_a_dag_s_own_arguments() -> None:
    """Each takes the place of the pipeline's; tags, parameters and default arguments are added to it."""
    dag = MLOpsDag(
        product,
        "training",
        dag_id="team_a.eta",
        schedule=None,
        tags=["team a"],
        params={"note": ""},
        default_args={"retries": 5, "queue": "gpu"},
    )
    assert (dag.dag_id, dag.schedule, dag.max_active_runs) == ("team_a.eta", None, 1)
    assert {*dag.tags} == {"mlops", "flight_delay", "team a"}
    assert {*dag.params} == {"force", "note", "trainer", "place", "window"}
    train = dag["train"]
    assert (train.retries, train.queue, train.owner) == (5, "gpu", product.business.owners.ml_engineer)
    assert train.retry_policy is not None


# --- inserted


def test_a_task_between_two_by_hand() -> None:
    """Order and inputs are Airflow's own: what is assigned to an input is waited for, and nothing else changes."""
    with MLOpsDag(product, "feature_engineering") as dag:
        check = changed.override(task_id="check")(dag["clean"].output)
        dag["clean"] >> check >> dag["compute"]
        tables = changed(dag["clean"].output)
        dag["compute"].clean = tables
    assert given("clean", dag["compute"]) == ["changed"]
    edges = shape(dag)
    assert edges.pop("check") == edges.pop("changed") == {"features.compute"}
    assert edges["features.clean"] == {"features.compute", "check", "changed"}
    edges["features.clean"] -= {"check", "changed"}
    assert edges == expected("feature_engineering")


def test_a_task_behind_a_stage_hands_on_to_all_that_follow() -> None:
    """Whoever takes the training set takes the inserted task's; what a step waits for, it still waits for."""
    picked = changed.override(task_id="picked")
    dag = MLOpsDag(product, "training", insert={"build_training_set": changed, "train": changed, "plan": picked})
    assert given("training_set", dag["train"]) == given("dataset", dag["validate_training_set"]) == ["features.changed"]
    assert given("model", dag["evaluate"]) == ["training.changed"]
    assert given("cause", dag["register"]) == ["features.plan"]  # of it, not of what was inserted behind it
    edges = shape(dag)
    assert edges["features.build_training_set"] == {"features.changed"}
    assert "training.train" in edges["validation.validate_training_set"]
    assert {*edges} - {*expected("training")} == {"features.picked", "features.changed", "training.changed"}


# --- replaced


def test_a_stage_replaced_by_a_function() -> None:
    """A task of one's own has the step's name, the inputs that it names, and stands where the step stood."""

    @task
    def fit(training_set: Any) -> Any:
        return training_set

    @task
    def anything(ti: Any = None) -> Any:
        return ti

    dag = MLOpsDag(product, "training", replace={"train": fit, "evaluate": anything})
    assert shape(dag) == expected("training")
    assert [dag[name].task_type for name in ("train", "evaluate")] == ["_PythonDecoratedOperator"] * 2
    assert dag["train"].op_kwargs.keys() == {"training_set"}
    assert given("evaluation", dag["retune"]) == ["evaluation.evaluate"]
    assert dag["train"].retry_policy is not None


def test_a_stage_replaced_by_an_operator() -> None:
    """A class, or a part of one, gets all that the pipeline's own gets: here the place is another."""
    place = LocalProcess()

    class OwnPredict(ModelPredictIntervalOperator):
        pass

    dag = MLOpsDag(product, "training", replace={"train": partial(ModelTrainOperator, place=place)})
    assert dag["train"].place is place
    assert shape(dag) == expected("training")
    for own in (OwnPredict, partial(OwnPredict, place=place)):
        dag = MLOpsDag(product, "batch_inference", replace={"predict": own})
        assert shape(dag) == expected("batch_inference")
        assert dag["predict"].task_type == "OwnPredict"
        assert (
            serialized(dag)["dag_dependencies"] == serialized(MLOpsDag(product, "batch_inference"))["dag_dependencies"]
        )


def test_a_stage_replaced_by_a_mapped_function() -> None:
    """Where a step is mapped, so is the function in its place."""

    @task
    def predict(features: Any, version: Any) -> Any:
        return features, version

    dag = MLOpsDag(product, "batch_inference", replace={"predict": predict})
    assert dag["predict"].is_mapped
    assert shape(dag) == expected("batch_inference")


def test_a_replaced_stage_pushes_only_its_result() -> None:
    """What registration takes beside a result comes from the pipeline's own operators, or from nobody."""

    @task
    def retune(evaluation: Any) -> Any:
        return evaluation

    dag = MLOpsDag(product, "training", replace={"plan": lambda: changed(1), "retune": retune})
    assert dag["register"].cause is None and dag["register"].reason is None
    assert given("model", dag["register"]) == ["training.train"]
    assert given("evaluation", dag["register"]) == ["evaluation.retune"]
    assert given("features", dag["build_training_set"]) == ["features.changed"]


# --- left out


def test_a_stage_left_out() -> None:
    """Without retuning the first evaluation counts; without a check, and a group, nobody waits for them."""
    dag = MLOpsDag(product, "training", without=["retune"])
    assert given("model", dag["register"]) == ["training.train"]
    assert given("evaluation", dag["register"]) == given("evaluation", dag["promote"]) == ["evaluation.evaluate"]
    dag = MLOpsDag(product, "feature_engineering", without=["validate_raw", "wait_for_delivery"])
    assert {*dag.task_group.children} == {"sources", "features"}
    assert dag["extract"].upstream_task_ids == set()


@pytest.mark.parametrize(
    ("pipeline", "hooks", "message"),
    [
        ("training", {"without": ["train"]}, "step 'evaluate' takes its model from step 'train', which is left out"),
        ("training", {"without": ["plan"]}, "step 'build_training_set' takes its features from step 'plan'"),
        ("training", {"without": ["evaluate", "retune"]}, "a product's model is registered with its evaluation"),
        ("training", {"without": ["validate_training_set"]}, "a product's version is promoted with its validation"),
        ("batch_inference", {"without": ["list_new_features"]}, "'predict' takes its features from"),
        ("monitoring", {"without": ["list_new_predictions"]}, "'list_new_predictions' can't be left out"),
        ("training", {"without": "retune"}, r"without='retune': give a list of steps, such as \['retune'\]"),
        ("training", {"without": ["train"], "replace": {"train": changed}}, "train: left out, and replaced"),
        (
            "training",
            {"replace": {"train": changed}},
            "'train', which offers training_set, trainer, place: missing a required argument: 'tables'",
        ),
        ("training", {"replace": {"train": 5}}, "step 'train': give what makes a task when it is called, not 5"),
        ("training", {"replace": {"train": lambda: 5}}, "what replaces step 'train' must be a task, not 5"),
        (
            "training",
            {"insert": {"train": lambda model: None}},
            "inserted after step 'train' must be a task, not None",
        ),
        ("training", {"insert": {"train": ModelTrainOperator}}, "inserted after step 'train', called with its result"),
        ("batch_inference", {"replace": {"predict": lambda **_: None}}, "'predict' is mapped over features: .* @task"),
    ],
)
def test_what_cannot_be_is_said(pipeline: str, hooks: dict[str, Any], message: str) -> None:
    """An input that nobody makes any more, and what is no task, are refused where the DAG is made."""
    with pytest.raises(ConfigurationError, match=message):
        MLOpsDag(product, pipeline, **hooks)


@pytest.mark.parametrize("hook", ["replace", "insert", "without"])
def test_an_unknown_stage_names_those_there_are(hook: str) -> None:
    """A misspelled step changes nothing unseen."""
    with pytest.raises(UnknownNameError, match="unknown step 'tain'; known: build_training_set, evaluate, plan"):
        MLOpsDag(product, "training", **{hook: {"tain": changed}})


def test_an_unknown_pipeline_or_task_names_those_there_are() -> None:
    """So do pipelines, and tasks that are looked up."""
    known = ", ".join(sorted(SHAPES))
    with pytest.raises(UnknownNameError, match=f"unknown pipeline 'trainin'; known: {known}"):
        MLOpsDag(product, "trainin")
    with pytest.raises(UnknownNameError, match="unknown task 'clear'; known: clean, compute, extract"):
        MLOpsDag(product, "feature_engineering")["clear"]
    with pytest.raises(ConfigurationError, match=r"names <class 'pathlib\.Path'>, which is no Pipeline"):
        MLOpsDag(product, "pathlib:Path")


def test_no_search_no_experimentation() -> None:
    """A product that declares no search is told so."""
    with pytest.raises(ConfigurationError, match="'rain_tomorrow' declares no search"):
        MLOpsDag(rain.product(), "experimentation")


# --- in a DAG of one's own


@pytest.fixture
def own() -> Iterator[DAG]:
    """A DAG of somebody's."""
    with DAG(
        "mine", schedule="@daily", start_date=datetime(2024, 1, 1, tzinfo=UTC), default_args={"owner": "me"}
    ) as dag:
        yield dag


def test_as_a_task_group(own: DAG) -> None:
    """Pipelines of several products stand side by side in one DAG, between tasks of its own."""
    before, after = changed.override(task_id="before")(1), changed.override(task_id="after")(2)
    ours = MLOpsTaskGroup(product, "training", replace={"train": partial(ModelTrainOperator, force=True)})
    other = MLOpsTaskGroup(rain.product(), "training", group_id="rain", without=["retune"])
    before >> ours >> other >> after
    edges = shape(own)
    inside = {
        name.removeprefix("flight_delay_training."): {one.removeprefix("flight_delay_training.") for one in following}
        for name, following in edges.items()
        if name.startswith("flight_delay_training.")
    }
    assert inside.pop("registry.promote") == {"rain.features.plan"}
    assert {**inside, "registry.promote": set()} == expected("training")
    assert edges["rain.registry.promote"] == {"after"}
    assert ours["train"].force and ours["train"].task_id == "flight_delay_training.training.train"
    assert other["train"].product.name == "rain_tomorrow"
    assert DagSerialization.to_dict(own)


def test_what_a_task_group_brings_along(own: DAG) -> None:
    """Retries and parameters are the pipeline's, unless the DAG has its own."""
    own.params["force"] = True
    group = MLOpsTaskGroup(product, "deployment", default_args={"retry_delay": timedelta(seconds=7)})
    deploy = group["deploy"]
    assert (deploy.owner, deploy.retries, deploy.retry_delay) == ("me", 2, timedelta(seconds=7))
    assert dict(deploy.params) == {"version": None, "rollback": False, "reason": "", "share": None, "force": True}
    assert {*own.params} == {"force"}


@pytest.mark.parametrize("pipeline", SHAPES)
def test_each_pipeline_is_a_task_group_too(own: DAG, pipeline: str) -> None:
    """Whatever is mapped inside, the group's tasks are the pipeline's."""
    group = MLOpsTaskGroup(product, pipeline, group_id="ours")
    assert {one.task_id.removeprefix("ours.") for one in group.iter_tasks()} == {*expected(pipeline)}
    assert DagSerialization.to_dict(own)


def test_a_pipeline_of_one_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another's pipeline is named by its import path, and has the same hooks."""
    (tmp_path / "our_pipelines.py").write_text(
        "from airflow_mlops_provider.operators.training import TrainingPlanRunOperator\n"
        "from airflow_mlops_provider.pipelines.base import Pipeline\n\n\n"
        "def build(step):\n    step('plan', TrainingPlanRunOperator)\n\n\n"
        "look = Pipeline('Only looks.', lambda product: {'schedule': '@daily'}, build)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    dag = MLOpsDag(product, "our_pipelines:look", insert={"plan": changed})
    assert dag.dag_id == "flight_delay_look"
    assert shape(dag) == {"plan": {"changed"}, "changed": set()}


def test_a_rollout_adds_a_share_to_the_form_and_nothing_else() -> None:
    """With a rollout the deployment has the same task, whose canary's share the form may set; nobody is asked by it."""
    plain, stepwise = (
        MLOpsDag(product.model_copy(update={"deployment": deployment}), "deployment")
        for deployment in (Deployment(), Deployment(rollout=Rollout()))
    )
    assert shape(plain) == shape(stepwise) == {"deployment.deploy": set()}
    assert "share" not in plain.params and stepwise["deploy"].share == "{{ params.share }}"
    assert {*stepwise.params} - {*plain.params} == {"share"}
