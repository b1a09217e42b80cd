"""What an operator makes of a reference that a task of one's own hands on: who it was, and that its table counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from airflow.sdk import DAG, task

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.operators import features
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.evaluation import ModelRetuneOperator
from airflow_mlops_provider.operators.features import FeaturesComputeIntervalOperator, RulesCleanIntervalOperator
from airflow_mlops_provider.operators.lineage import handed_on
from airflow_mlops_provider.operators.serving import ModelPredictOperator
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import current
from tests.factories.shop import DAYS, ShopWorld
from tests.factories.tiny import TinyWorld

CONTEXT: Any = {
    "ti": SimpleNamespace(dag_id="mine", run_id="one", task_id="clean", map_index=-1, try_number=1),
    "params": {},
}


def test_who_handed_on_a_reference(make: Callable[..., TinyWorld]) -> None:
    """The task that an input comes from is named with its run, also after its reference has taken its place."""
    world = make()
    with DAG("mine", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):

        @task
        def double(reference: Any) -> Any:
            return reference

        given = double("x")
        clean = RulesCleanIntervalOperator(task_id="clean", product=world.product, raw=given)
        check = GreatExpectationsValidateDatasetOperator(
            task_id="check", product=world.product, dataset={"kind": "dataset"}, what="raw"
        )
    reference = {"kind": "dataset", "uri": "file:///x", "hash": "0"}
    run_of = RunIdentity.of(CONTEXT["ti"])
    assert handed_on(run_of, {"raw": clean.raw}, {"raw": reference}) == {"raw": "mine/one/double"}
    assert handed_on(run_of, {"dataset": check.dataset}, {"dataset": check.dataset}) == {}
    assert handed_on(run_of, {"rows": "{{ ds }}.csv"}, {"rows": "/lake/1.csv"}) == {"rows": "/lake/1.csv"}


def test_the_table_that_was_handed_on_is_computed_from(
    make: Callable[..., TinyWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its interval the table of a task in between counts, not the one that cleaning left; of others the current."""
    world = make()
    monkeypatch.setattr(JobOperator, "artifacts", lambda _: FolderStore(world.root))
    cleaned = run(world.cleaning()).result
    assert isinstance(cleaned, Dataset)
    mine = cleaned.model_copy(update={"uri": f"{world.root.as_uri()}/mine", "hash": "1" * 64})
    for given in (cleaned, mine):
        operator = FeaturesComputeIntervalOperator(task_id="compute", product=world.product, clean=given.to_json())
        assert operator.inputs(CONTEXT) == {"clean": (given,)}


def test_a_table_that_was_handed_on_counts_for_later_days_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that look back on a day see the table that its own features were made of, not the one cleaning left."""
    world = ShopWorld(tmp_path)
    monkeypatch.setattr(JobOperator, "artifacts", lambda _: FolderStore(world.root))
    first, second = (world.job("clean", day, raw=world.job("extract", day)) for day in DAYS)
    (world.root / "mine").mkdir()
    frame = pd.read_parquet(Path(first.uri.removeprefix("file://")) / "sales.parquet")
    frame.assign(amount=1.0).to_parquet(world.root / "mine" / "sales.parquet", index=False)
    mine = first.model_copy(update={"uri": f"{world.root.as_uri()}/mine"})
    looks_back = world.product.features.model_copy(update={"lookback": 1})
    product = world.product.model_copy(update={"features": looks_back})
    operator = FeaturesComputeIntervalOperator(task_id="compute", product=product, clean=second.to_json())
    assert operator.inputs(CONTEXT) == {"clean": (first, second)}
    world.job("compute", DAYS[0], clean=(mine,))
    (before, given) = operator.inputs(CONTEXT)["clean"]
    assert given == second
    assert (before.uri, before.hash != first.hash) == (mine.uri, True)
    world.job("compute", DAYS[0], clean=(first,))
    assert operator.inputs(CONTEXT) == {"clean": (first, second)}
    world.close()


def test_a_table_in_place_of_cleaning_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another task cleans, and nothing is there by that name, what it hands on is computed from."""
    world = ShopWorld(tmp_path)
    monkeypatch.setattr(JobOperator, "artifacts", lambda _: FolderStore(world.root))
    raw = world.job("extract", DAYS[0])
    operator = FeaturesComputeIntervalOperator(task_id="compute", product=world.product, clean=raw.to_json())
    assert operator.inputs(CONTEXT) == {"clean": (raw,)}
    context = {**CONTEXT, "data_interval_start": DAYS[0].start, "data_interval_end": DAYS[0].end}
    operator.clean = raw.model_copy(update={"interval": None}).to_json()
    assert operator.inputs(context) == {"clean": (raw,)}  # of the run's own interval, as it names none
    world.job("compute", DAYS[0], clean=(raw,))
    assert features.own_tables(FolderStore(world.root), current(FolderStore(world.root), world.name, "features")) == {
        DAYS[0]: raw
    }
    world.close()


def test_nobody_decides_by_an_evaluation_without_a_record(
    make: Callable[..., TinyWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation that no job left neither spares nor starts a search."""
    world = make()
    monkeypatch.setattr(JobOperator, "artifacts", lambda _: FolderStore(world.root))
    forged = {"kind": "report", "uri": f"{world.root.as_uri()}/mine", "hash": "1" * 64, "passed": True}
    operator = ModelRetuneOperator(
        task_id="retune", product=world.product, model={}, training_set={}, evaluation={**forged, "facts": {}}
    )
    with pytest.raises(Exception, match="MissingRecordError"):
        operator.execute.__wrapped__(operator, CONTEXT)


def test_a_path_is_not_taken_from_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the DAG file names is read; the same text as a task's output, which anybody may have written, is not."""
    monkeypatch.setattr(JobOperator, "artifacts", lambda _: FolderStore(tmp_path / "artifacts"))
    (tmp_path / "rows.csv").write_text("a\n1\n")
    path = str(tmp_path / "rows.csv")
    with DAG("mine", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):

        @task
        def name_one() -> str:
            return path

        named = ModelPredictOperator(task_id="named", model={"kind": "model", "uri": "u", "hash": "0"}, rows=path)
        given = ModelPredictOperator(task_id="given", model="models:/eta/1", rows=name_one())
    assert named.inputs(CONTEXT)["rows"].facts["rows"] == {"table": 1}  # type: ignore[union-attr]
    running = given.prepare_for_execution()
    running.model, running.rows = {"kind": "model", "uri": "u", "hash": "0"}, path
    with pytest.raises(ConfigurationError, match=r"'rows' was handed on as .*rows\.csv'; a task hands on a reference"):
        running.inputs(CONTEXT)
