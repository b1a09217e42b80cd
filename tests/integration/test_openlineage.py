"""What OpenLineage's own listener sends of tasks that Airflow really ran, as its file transport writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_mlops_provider.backends.lineage import openlineage
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.storage.artifacts import file_hash
from tests.factories.tiny import TinyWorld, manifests

REPO = Path(__file__).parents[2]
RULES = """
def clean(raw, interval):
    if interval.start.day == 2:
        raise ValueError("no second day")
    return dict(raw)
"""
DAG = """
from datetime import UTC, datetime, timedelta
from airflow.sdk import DAG, task
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.operators.features import RulesCleanIntervalOperator, SourceExtractIntervalOperator
from airflow_mlops_provider.places.deferral import Deferred
from airflow_mlops_provider.places.local_process import LocalProcess

product = load_product("NAME")


class OnOneDay(SourceExtractIntervalOperator):
    day = 1

    def interval(self, context):
        return Interval(start=datetime(2024, 1, self.day, tzinfo=UTC), end=datetime(2024, 1, self.day + 1, tzinfo=UTC))


class OnTheNext(OnOneDay):
    day = 2


class AfterAWait(LocalProcess):
    def run(self, spec, secrets, log, context=None, event=None):
        if event is None:
            raise Deferred("airflow.providers.standard.triggers.temporal.TimeDeltaTrigger", {"delta": timedelta(0)})
        return super().run(spec, secrets, log)


with DAG("shop", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
    raw = OnOneDay(task_id="extract", product=product)
    RulesCleanIntervalOperator(task_id="clean", product=product, raw=raw.output)
    again = RulesCleanIntervalOperator(task_id="clean_again", product=product, raw=raw.output, place=AfterAWait())
    again.set_upstream(dag.task_dict["clean"])
    other = OnTheNext(task_id="extract_next", product=product)
    RulesCleanIntervalOperator(task_id="clean_next", product=product, raw=other.output)

    @task
    def afterwards():
        return "ours is not the only kind of task"

    afterwards()

if __name__ == "__main__":
    run = dag.test()
    print("ENDED", run.state)
"""


class Events:
    """A DAG's run, and what was sent of it."""

    def __init__(self, world: TinyWorld, file: Path, output: str) -> None:
        self.world, self.output = world, output
        self.all = [json.loads(line) for line in file.read_text().splitlines()]

    def last(self, task: str) -> dict[str, Any]:
        """Return the last event of a task."""
        return [event for event in self.all if event["job"]["name"] == f"shop.{task}"][-1]


@pytest.fixture(scope="module")
def sent(prepared_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Events]:
    """Run a DAG in an Airflow with OpenLineage's provider, and return what that sent."""
    folder, home = tmp_path_factory.mktemp("openlineage"), prepared_home()
    world = TinyWorld(folder, RULES)
    world.deliver("shop,amount,at\nnorth,1.5,2024-01-01T08:00:00Z\n")
    (world.landing / "sales" / "2024-01-02.csv").write_text("shop,amount,at\nnorth,1.5,2024-01-02T08:00:00Z\n")
    file = folder / "dags" / "shop.py"
    file.parent.mkdir()
    file.write_text(textwrap.dedent(DAG).replace("NAME", world.name))
    events = folder / "events.jsonl"
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__DAGS_FOLDER": str(file.parent),
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str(world.root),
        "AIRFLOW__MLOPS__LANDING_ROOT": str(world.landing),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(events), "append": True}),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests",
        "PYTHONPATH": os.pathsep.join([str(REPO), str(world.products)]),
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run([sys.executable, str(file)], env=env, capture_output=True, text=True, check=False)
    assert "ENDED failed" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    yield Events(world, events, done.stdout + done.stderr)
    world.close()


def only(datasets: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Return namespace, name and version of the one dataset."""
    (one,) = datasets
    return one["namespace"], one["name"], one["facets"]["version"]["datasetVersion"]


def test_each_task_names_what_it_read_and_wrote(sent: Events) -> None:
    """From the delivered file to the clean data, one task's output is the next one's input, in name and version."""
    extracted, cleaned = sent.last("extract"), sent.last("clean")
    assert (extracted["eventType"], cleaned["eventType"]) == ("COMPLETE", "COMPLETE")
    delivery = sent.world.landing / "sales" / "2024-01-01.csv"
    assert only(extracted["inputs"]) == ("file", str(delivery), file_hash(delivery))
    raw = only(extracted["outputs"])
    assert raw[:2] == ("file", f"{sent.world.root}/{sent.world.name}/extract")
    assert only(cleaned["inputs"]) == raw
    (clean,) = [one for one in manifests(sent.world, "clean") if one.state == "success"]
    assert clean.result is not None
    assert only(cleaned["outputs"])[2] == clean.result.hash
    (output,) = cleaned["outputs"]
    assert output["facets"]["dataSource"]["uri"] == clean.result.uri
    statistics = output["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["fileCount"]) == (1, 1)
    (table,) = extracted["outputs"][0]["facets"]["schema"]["fields"]
    assert {one["name"]: one["type"] for one in table["fields"]} == {
        "shop": "string",
        "amount": "float64",
        "at": "timestamp",
    }


def test_the_facet_says_how_a_result_was_made(sent: Events) -> None:
    """Code, commit and environment are those of the manifest, and the facet is as its published schema wants it."""
    facet = sent.last("clean")["run"]["facets"]["mlops"]
    Draft202012Validator(schema()).validate(facet)
    (made,) = [one for one in manifests(sent.world, "clean") if one.state == "success"]
    assert facet["address"] == made.address
    assert facet["code"][f"{sent.world.name}.rules:clean"] == made.code_hashes[f"{sent.world.name}.rules"]
    assert facet["packages"] == len(made.packages)
    assert facet["_schemaURL"] == openlineage.SCHEMA
    assert openlineage.SCHEMA.endswith("#airflow_mlops_provider/backends/lineage/openlineage.schema.json")
    assert "reused" not in facet


def test_a_task_that_found_its_work_finished_says_whose_it_is(sent: Events) -> None:
    """It has the same output, and names the task that made it; here after a deferral, which is nothing to tell of."""
    again = sent.last("clean_again")
    assert "Trigger completed" in sent.output
    assert only(again["outputs"]) == only(sent.last("clean")["outputs"])
    assert again["run"]["facets"]["mlops"]["reused"].endswith("/clean")


def test_a_failed_task_says_what_is_known(sent: Events) -> None:
    """What it read, and with what code; no output; and the error, from Airflow's own part."""
    failed = sent.last("clean_next")
    assert failed["eventType"] == "FAIL"
    assert only(failed["inputs"]) == only(sent.last("extract_next")["outputs"])
    assert failed["outputs"] == []
    facet = failed["run"]["facets"]["mlops"]
    Draft202012Validator(schema()).validate(facet)
    assert f"{sent.world.name}.rules:clean" in facet["code"]
    assert "no second day" in failed["run"]["facets"]["errorMessage"]["message"]


def test_other_tasks_are_left_alone(sent: Events) -> None:
    """A task that is none of ours is told of as ever."""
    assert sent.last("afterwards")["eventType"] == "COMPLETE"
    assert "mlops" not in sent.last("afterwards")["run"]["facets"]
    assert "expired" not in sent.output


def test_a_job_without_a_manifest_and_a_version_in_a_bucket() -> None:
    """A killed job is told of by what it was asked; a registered version by its number, apart from its model."""
    version = ModelVersion(uri="s3://lake/a/shop/train/1/2", hash="3" * 64, name="shop", version=7)
    services = Services(landing="s3://lake/landing", mlflow="sqlite://")
    spec = JobSpec(job="deploy", product="shop", root="s3://lake/a", services=services, inputs={"version": version})
    found = openlineage.facets(spec, None)
    (given,) = found.inputs
    assert (given.namespace, given.name) == ("s3://lake", "a/shop/versions")
    assert given.facets["version"].datasetVersion == "7"
    assert given.facets["datasetType"].datasetType == "MODEL"
    assert found.outputs == []
    assert found.run["mlops"].job == "deploy"


def schema() -> dict[str, Any]:
    """Return the facet's schema, from where its address says that it is."""
    file = openlineage.SCHEMA.partition("#")[2]
    found: dict[str, Any] = json.loads((REPO / file).read_text())
    return found
