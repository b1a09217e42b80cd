"""Functions of a DAG file as jobs, in a real Airflow: without a product, found again, and edited."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.lifecycle.references import parse_reference
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.records import Records
from tests.factories.attack import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
DAG_FILE = """
import pandas as pd
import pyarrow as pa
from airflow.sdk import dag, task
from airflow_mlops_provider.hooks.tables import Files

RATE = 2


@dag(schedule=None, default_args={"retries": 0})
def Shop_Totals():
    @task.mlops
    def sales(tills: pd.DataFrame, word: str) -> pd.DataFrame:
        print("selling", word)
        return tills.assign(word=word)

    @task.mlops(product="shop")
    def totals(sales: pa.Table, rate: int = RATE) -> pa.Table:
        return sales.group_by("shop").aggregate([("amount", "sum")]).sort_by("shop")

    @task.mlops
    def largest(tables: dict[str, pd.DataFrame], number: int) -> float:
        return float(tables["table"]["amount_sum"].nlargest(number).iloc[-1])

    @task.mlops
    def wrong(sales: pd.DataFrame) -> pd.DataFrame:
        return sales

    sold = sales(Files("LAKE/{{ dag.dag_id }}/*.csv"), "{{ dag.dag_id }}")
    largest.partial(tables=totals(sold)).expand(number=[1, 2])
    wrong("a text")


Shop_Totals()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, stack_factory: Callable[..., Stack]) -> Stack:
    """An Airflow with one DAG, whose functions stand in its file."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "dags").mkdir()
    (folder / "dags" / "totals.py").write_text(DAG_FILE.replace("LAKE", str(folder)))
    (folder / "Shop_Totals").mkdir()
    (folder / "Shop_Totals" / "1.csv").write_text("shop,amount\na,1\nb,2\n")
    (folder / "Shop_Totals" / "2.csv").write_text("shop,amount\na,3\n")
    stack = stack_factory(folder / "dags", env={"AIRFLOW__MLOPS__ARTIFACT_ROOT": str(folder / "artifacts")})
    until(lambda: [dag for dag in stack.api.get("dags")["dags"] if dag["dag_id"] == "Shop_Totals"])
    return stack


def run(stack: Stack) -> dict[str, Any]:
    """Run the DAG and return its tasks by name, those that are mapped with their number."""
    run_id = stack.api.trigger("Shop_Totals")
    path = f"dags/Shop_Totals/dagRuns/{run_id}"
    until(lambda: stack.api.get(path)["state"] in {"success", "failed"}, 180)
    tasks = stack.api.task_instances("Shop_Totals", run_id)
    return {task["task_id"] + (f" {task['map_index']}" if task["map_index"] >= 0 else ""): task for task in tasks}


def given(stack: Stack, task: dict[str, Any]) -> Any:
    """Return what a task handed on."""
    path = f"dags/Shop_Totals/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/xcomEntries/return_value"
    value = stack.api.get(path, map_index=task["map_index"])["value"]
    return json.loads(value) if isinstance(value, str) else value


def test_functions_of_a_dag_file_are_jobs(stack: Stack) -> None:
    """They take tables as annotated, leave manifests with lineage, and a second run finds their work."""
    first = run(stack)
    states = {name: task["state"] for name, task in first.items()}
    good = {"sales", "totals", "largest 0", "largest 1"}
    assert states == {**dict.fromkeys(good, "success"), "wrong": "failed"}
    root = Path(stack.env["AIRFLOW__MLOPS__ARTIFACT_ROOT"])
    totals = given(stack, first["totals"])
    table = pd.read_parquet(Path(totals["uri"].removeprefix("file://")) / "table.parquet")
    assert dict(zip(table["shop"], table["amount_sum"], strict=True)) == {"a": 4.0, "b": 2.0}
    values = [given(stack, first[f"largest {number}"])["facts"]["value"] for number in (0, 1)]
    assert values == [4.0, 2.0]
    assert {folder.parent.name for folder in root.glob("*/function")} == {"shop", "dag_shop_totals"}
    again = run(stack)
    assert {name: task["rendered_map_index"] for name, task in again.items() if name in good} == {
        name: f"reused from Shop_Totals {first[name]['dag_run_id']}" for name in good
    }
    assert given(stack, again["totals"]) == totals


def test_what_they_are_made_of_is_recorded(stack: Stack) -> None:
    """A result leads back through the tables to the first function, by name; nothing was handed on by a stranger."""
    tasks = run(stack)
    store = open_store(stack.env["AIRFLOW__MLOPS__ARTIFACT_ROOT"])
    last = Records(store).manifest_of(parse_reference(given(stack, tasks["largest 0"])))
    totals, sales, tills = Records(store).ancestors(last)
    assert totals.manifest
    assert sales.manifest
    assert [manifest.makes for manifest in (last, totals.manifest, sales.manifest)] == ["largest", "totals", "sales"]
    files = str(stack.dags.parent / "Shop_Totals" / "*.csv")
    assert (tills.manifest, tills.missing) == (None, f"made by no job of ours; handed on by {files}")
    assert [Path(name).name for name in tills.reference.facts["files"]] == ["1.csv", "2.csv"]
    assert last.external == {}
    assert last.spec.upstream == {"tables": f"Shop_Totals/{last.spec.run.run_id}/totals"}
    assert last.packages["pandas"] == pd.__version__


def test_an_edit_reruns_what_it_concerns(stack: Stack) -> None:
    """A comment, or a change elsewhere in the file, reruns nothing; a value that one function uses reruns that."""
    run(stack)
    file = stack.dags / "totals.py"
    edited = file.read_text().replace("    sold =", "    # Now for something else.\n    sold =")
    file.write_text(edited.replace("RATE = 2", "RATE = 3"))
    stack.api.call("PUT", f"parseDagFile/{stack.api.get('dags/Shop_Totals')['file_token']}")
    until(lambda: "something else" in str(stack.api.get("dagSources/Shop_Totals")))
    tasks = run(stack)
    reused = {name: (task["rendered_map_index"] or "").startswith("reused") for name, task in tasks.items()}
    assert reused == {"sales": True, "totals": False, "largest 0": True, "largest 1": True, "wrong": False}


def test_a_text_is_no_table(stack: Stack) -> None:
    """What the function takes, and what it was given, is in the error."""
    task = run(stack)["wrong"]
    path = f"dags/Shop_Totals/dagRuns/{task['dag_run_id']}/taskInstances/wrong/logs/1"
    said = str(stack.api.get(path, full_content="true"))
    assert "'wrong' takes a table as sales, not 'a text'; hand it the output of a task that makes one" in said
