"""A job is one file: beside a product, it runs at both places, is found again, and stands in lineage and pages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.records.lineage import Made, item_of
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.runner import look
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.ui.reading import record
from airflow_mlops_provider.ui.record import ProductRecord
from tests.factories.kube.pod_world import LOG, Task, connect, place_of
from tests.factories.kube.world import KubeWorld
from tests.factories.tiny import TinyWorld

ROOT = Path(__file__).parents[2]
SESSIONS = '''
"""Counts the sales of each shop."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job
from PACKAGE.least import LEAST


class Inputs(JobInputs):
    raw: Dataset


class Params(JobParams):
    above: float = LEAST


@job(stage=Stage.FEATURES, makes="counted sales", packages=("pandas",), publishes="sessions")
def sessions(context: JobContext[Inputs, JobSettings, Params]) -> JobResult:
    sales = context.read(context.inputs.raw, "sales")
    counts = sales[sales["amount"] > context.params.above].groupby("shop").size().rename("sales").reset_index()
    context.write(counts, "sessions")
    context.log.info("counted %d shops", len(counts))
    return JobResult(facts={"rows": len(counts)}, metrics={"shops": len(counts)})
'''


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TinyWorld]:
    """A product, and beside its code a job that no file of ours knows."""
    one = TinyWorld(tmp_path)
    one.write("least.py", "LEAST = 2.0\n")
    one.write("sessions.py", SESSIONS)
    yield one
    one.close()


def counting(world: TinyWorld, attempt: int = 1, **fields: Any) -> JobSpec:
    """Return what asks for the job."""
    return world.spec(f"{world.name}.sessions:sessions", attempt=attempt, inputs={"raw": world.extracted()}, **fields)


def test_it_runs_at_both_places(world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process and a pod give the same bytes, and each leaves the whole record."""
    here = LocalProcess().run(counting(world), {}, logging.getLogger("here"))
    (tmp_path / "kube").mkdir()
    kube = KubeWorld(tmp_path / "kube", {"PYTHONPATH": f"{ROOT}:{world.products}"})
    connect(monkeypatch, kube.kubeconfig)
    there = place_of(world, deferrable=False).run(counting(world, force=True), {}, LOG, Task().next_try())
    kube.close()
    assert there.result == here.result
    assert here.result is not None
    assert (here.stage, here.makes, here.metrics) == ("features", "counted sales", {"shops": 1.0})
    assert {f"{world.name}.sessions", f"{world.name}.least"} <= here.code_hashes.keys()


def test_it_is_found_again_until_its_code_changes(world: TinyWorld) -> None:
    """Finished work is reused; an edit to what the job imports, or another parameter, is other work."""
    done = LocalProcess().run(counting(world), {}, logging.getLogger("here"))
    again = look(counting(world, attempt=2))[0]
    assert again is not None
    assert (again.result, again.spec.run) == (done.result, done.spec.run)
    assert look(counting(world, params={"above": 1.0}))[0] is None
    world.write("least.py", "LEAST = 1.0\n")
    assert look(counting(world, attempt=3))[0] is None


def test_lineage_and_pages_know_it(world: TinyWorld) -> None:
    """Its result goes by what it makes, leads back to the delivery, and its stage shows the run."""
    done = LocalProcess().run(counting(world), {}, logging.getLogger("here"))
    assert done.result is not None
    records = Records(counting_store(world))
    made = records.made(done.result)
    assert item_of(made).kind == "counted sales"
    assert [item_of(Made(one.reference, one.manifest)).kind for one in records.ancestors(done)] == ["raw data"]
    shown = record(counting_store(world), world.name, lambda dag_id: True)
    assert isinstance(shown, ProductRecord)
    features = next(stage for stage in shown.stages() if stage.stage == "features")
    assert (features.state, features.text) == ("done", "sessions")


def test_what_it_does_not_take_is_refused(world: TinyWorld) -> None:
    """An input, or a parameter, that the job does not know is refused with what it takes."""
    for fields, said in (
        ({"params": {"abov": 1.0}}, "parameter 'abov': Extra inputs are not permitted; it takes the parameters above"),
        ({"inputs": {}}, "input 'raw': Field required; it takes the inputs raw"),
    ):
        spec = counting(world).model_copy(update=fields)
        with pytest.raises(Exception, match="sessions") as refused:
            LocalProcess().run(spec, {}, logging.getLogger("here"))
        assert said in str(refused.value)


def counting_store(world: TinyWorld) -> Any:
    """Return the artifact root."""
    from airflow_mlops_provider.storage.artifacts import open_store

    return open_store(str(world.root))
