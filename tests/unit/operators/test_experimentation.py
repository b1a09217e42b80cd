"""The shells of a search: the form, what is skipped and why, and when a task fails rather than hides something."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError
from airflow_mlops_provider.jobs.experimentation.study import save_stop
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.search.trials import Stop
from airflow_mlops_provider.lifecycle.sections import Windows
from airflow_mlops_provider.operators import experimentation
from airflow_mlops_provider.operators.experimentation import (
    ExperimentConcludeSearchOperator,
    ExperimentExportSettingsOperator,
    ExperimentOpenSearchOperator,
    ExperimentPlanDataOperator,
    ExperimentPlanTrialsOperator,
    ExperimentRunTrialOperator,
    form,
)
from airflow_mlops_provider.storage.artifacts import FolderStore
from flight_delay.product import product

SPLIT = Dataset(uri="file:///split", hash="0" * 64, facts={"study": "flight_delay-1"}).to_json()
STOP = Stop(kind="target", reason="trial 3 reached 0.9000, the target is 0.8", after=4)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    """The artifact root of these tests' Airflow."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path))
    return FolderStore(tmp_path)


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tells which operators came to run their job."""
    seen: list[str] = []
    monkeypatch.setattr(
        experimentation.JobOperator, "execute", lambda self, context: seen.append(type(self).__name__) or {}
    )
    return seen


def context(try_number: int = 1, **params: Any) -> Any:
    """Return what Airflow hands a task, as far as these need it."""
    return {"params": params, "ti": SimpleNamespace(try_number=try_number)}


def trial(slot: int = 5) -> ExperimentRunTrialOperator:
    """Return the task of one trial."""
    return ExperimentRunTrialOperator(task_id="trial", product=product, split=SPLIT, slot=slot)


def stopped(store: FolderStore, **criteria: Any) -> None:
    """Keep that the search has stopped."""
    assert product.search
    save_stop(store, product.name, "flight_delay-1", product.search.criteria(**criteria), STOP)


def test_the_form_is_what_the_product_declares() -> None:
    """Every criterion is in the form with its declared value; what is typed in counts, what is left does not."""
    assert product.search
    fields = form(product)
    assert {name: fields[name].value for name in experimentation.FORM} == product.search.criteria().to_json()
    assert fields["needs_data_change"].value is None
    slots = ExperimentPlanTrialsOperator(task_id="plan", product=product)
    assert slots.execute(context(trials=3, target=None)) == [0, 1, 2]
    assert len(slots.execute(context())) == product.search.trials
    with pytest.raises(AirflowFailException, match="patience"):
        slots.execute(context(patience=0))
    none = product.model_copy(update={"search": None})
    with pytest.raises(AirflowFailException, match="declares no search"):
        ExperimentPlanTrialsOperator(task_id="plan", product=none).execute(context())


def test_too_few_features_fail_with_their_number(store: FolderStore) -> None:
    """Who asks by hand for what cannot be is told what is missing, rather than shown a run that was skipped."""
    with pytest.raises(AirflowFailException, match="0 of the 3 feature intervals"):
        ExperimentPlanDataOperator(task_id="plan", product=product).execute(context())


def test_a_slot_after_the_stop_is_skipped_with_the_reason(store: FolderStore, began: list[str]) -> None:
    """No job is started for it; under other criteria, or before the stop, one is."""
    trial().execute(context(target=0.8))
    stopped(store, target=0.8)
    with pytest.raises(AirflowSkipException, match=r"trial 3 reached 0\.9000, the target is 0\.8"):
        trial().execute(context(target=0.8))
    trial().execute(context(target=0.95))
    assert began == ["ExperimentRunTrialOperator"] * 2


def test_a_slot_that_had_begun_is_finished(store: FolderStore, began: list[str]) -> None:
    """After the stop, a trial that was killed, or that was waited for without a worker, is not abandoned."""
    stopped(store, target=0.8)
    trial().execute(context(try_number=2, target=0.8))
    waited = trial()
    waited._event = {"pod": "done"}
    waited.execute(context(target=0.8))
    assert len(began) == 2


def test_what_the_job_left_out_is_skipped() -> None:
    """A job that found the search stopped makes its task skipped, with the same words."""
    left = report(passed=True, slot=5, skipped=STOP.reason)
    with pytest.raises(AirflowSkipException, match=r"the search has stopped: trial 3 reached"):
        trial().finish(manifest(left), context())
    done = report(passed=True, slot=5, state="complete")
    assert trial().finish(manifest(done), context()) == done.to_json()


def test_a_search_without_any_result_fails(began: list[str]) -> None:
    """Where no search was opened, or no trial was complete, the task that concludes does not hide it."""
    with pytest.raises(AirflowFailException, match="no search was opened"):
        ExperimentConcludeSearchOperator(task_id="conclude", product=product, split=None).execute(context())
    conclude = ExperimentConcludeSearchOperator(task_id="conclude", product=product, split=SPLIT)
    with pytest.raises(AirflowFailException, match="no trial was complete: all 3 trials have ended"):
        conclude.finish(manifest(report(passed=False, best=None, stopped="all 3 trials have ended")), context())
    assert began == []


def test_only_a_winner_is_exported(began: list[str]) -> None:
    """A search whose best trial is not worth it exports nothing, and says why."""
    why = ("no trial beats the current settings, which reached 0.7900",)
    lost = ExperimentExportSettingsOperator(
        task_id="export", product=product, search=report(passed=False).model_copy(update={"broken": why}).to_json()
    )
    with pytest.raises(AirflowSkipException, match="no trial beats the current settings"):
        lost.execute(context())
    other = report(passed=True).model_copy(update={"about": "drift"}).to_json()
    with pytest.raises(IntegrityError, match="a report about drift, not about search"):
        ExperimentExportSettingsOperator(task_id="export", product=product, search=other).execute(context())
    won = ExperimentExportSettingsOperator(task_id="export", product=product, search=report(passed=True).to_json())
    won.execute(context())
    assert began == ["ExperimentExportSettingsOperator"]


def report(passed: bool, **facts: Any) -> Report:
    """Return a report with some facts."""
    return Report(uri="file:///report", hash="1" * 64, passed=passed, facts=facts)


def manifest(result: Report) -> Manifest:
    """Return the manifest of a job that succeeded, as far as an operator looks at it."""
    return Manifest.model_construct(state="success", result=result)


KIND: dict[str, Any] = {"search": product.search, "problem": product.problem, "metric": product.evaluation.metric}
TABLE: dict[str, Any] = {**KIND, "label": "late", "leave_out": ["trip", "at"], "time": "at"}
MADE: dict[str, Callable[..., Any]] = {
    "search": partial(ExperimentOpenSearchOperator, task_id="any", training_set={}),
    "trial": partial(ExperimentRunTrialOperator, task_id="any", split=SPLIT, slot=1),
    "conclude": partial(ExperimentConcludeSearchOperator, task_id="any", split=SPLIT),
    "export_settings": partial(ExperimentExportSettingsOperator, task_id="any", search={}),
}
GIVEN: dict[str, dict[str, Any]] = {
    "search": {**TABLE, "trainer": product.training.trainer},
    "trial": TABLE,
    "conclude": KIND,
    "export_settings": {name: getattr(product.business.owners, name) for name in ("data_scientist", "ml_engineer")},
}


@pytest.mark.parametrize("job", MADE)
def test_without_a_product_the_settings_are_those_given(job: str, tmp_path: Path) -> None:
    """By value those of a product that declares the same, but for what a model learns, and its naive baseline."""
    store, kept = FolderStore(tmp_path), {"ti": SimpleNamespace(dag_id="Mine"), "params": {}}
    alone, whole = MADE[job](**GIVEN[job]), MADE[job](product=product)
    parts, declared = alone.parts(store, kept), whole.parts(store, kept)
    scoring = {"problem": product.problem, "column": "late", "weight": None, "leave_out": ["trip", "at"], "time": "at"}
    learned = {"scoring": scoring, "baseline": None}
    expected = {name: learned.get(name, value) for name, value in declared["settings"].items()}
    assert parts["settings"] == expected
    assert parts["params"] == {**declared["params"], **({"any_folder": True} if job == "export_settings" else {})}
    assert alone.kept_under(kept) == "dag_mine"


def test_single_fields_take_the_place_of_a_product_s(tmp_path: Path) -> None:
    """Another search of the product's own data, with no pruning; all else stays as declared."""
    assert product.search
    other = product.search.model_copy(update={"seed": 99, "pruning": None, "trials": 2})
    kept: Any = {"ti": SimpleNamespace(dag_id="Mine"), "params": {}}
    parts = MADE["search"](product=product, search=other).parts(FolderStore(tmp_path), kept)
    declared = MADE["search"](product=product).parts(FolderStore(tmp_path), kept)
    assert parts["settings"] == {**declared["settings"], "seed": 99, "pruning": None}
    assert parts["params"]["criteria"]["trials"] == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (ExperimentPlanTrialsOperator, "needs search=, problem=, or a whole product="),
        (ExperimentPlanDataOperator, "needs windows=, or a whole product="),
        (MADE["search"], "needs search=, problem="),
        (partial(MADE["trial"], **KIND), "needs label=, time="),
        (partial(MADE["search"], **{**TABLE, "time": None}), "needs time="),
        (partial(MADE["conclude"], search=product.search), "needs problem="),
        (partial(MADE["export_settings"], data_scientist="ada"), "needs ml_engineer="),
        (partial(MADE["trial"], product=product, time="at"), "label= names the truth in a table, time= the column"),
    ],
)
def test_what_is_missing_is_named_while_the_dag_is_parsed(make: Callable[..., Any], said: str) -> None:
    """Each argument that a product would have given."""
    with pytest.raises(ConfigurationError, match=said):
        make(**{"task_id": "any", **getattr(make, "keywords", {})})


def test_the_latest_features_of_a_name(store: FolderStore) -> None:
    """The windows are the operator's own where there is no product, and a form may change one."""
    plan = ExperimentPlanDataOperator(task_id="plan", product="eta", windows=Windows(train=4, evaluate=2), window="6")
    with pytest.raises(AirflowFailException, match="0 of the 8 feature intervals"):
        plan.execute(context())
    assert "conn_id" in plan.template_fields
