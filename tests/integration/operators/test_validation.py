"""Great Expectations without a product, in a real Airflow: suites that GX alone has written, on anybody's table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pytest

from tests.factories.dag_runs import DagRuns, dag_runs

pytestmark = pytest.mark.timeout(900)


def write_context(folder: Path) -> None:
    """Write a file context as its users do: two suites, a checkpoint of both, one suite of a table of its own."""
    context = gx.get_context(mode="file", project_root_dir=folder)
    good = [
        gxe.ExpectColumnValuesToNotBeNull(column="driver", mostly=0.5),
        gxe.ExpectColumnMaxToBeBetween(column="minutes", max_value={"$PARAMETER": "limit"}),
    ]
    bad = [
        gxe.ExpectColumnValuesToNotBeNull(column="driver"),
        gxe.ExpectColumnValuesToBeBetween(column="minutes", min_value=2, severity="warning"),
        gxe.ExpectColumnMeanToBeBetween(column="speed", max_value=100),
    ]
    suites = [
        context.suites.add(gx.ExpectationSuite(name=name, expectations=expected))
        for name, expected in (("eta.daily", good), ("strict", bad))
    ]
    batch = (
        context.data_sources.add_pandas("any").add_dataframe_asset("any").add_batch_definition_whole_dataframe("any")
    )
    definitions = [
        context.validation_definitions.add(gx.ValidationDefinition(name=suite.name, data=batch, suite=suite))
        for suite in suites
    ]
    context.checkpoints.add(
        gx.Checkpoint(name="nightly", validation_definitions=definitions, result_format="BOOLEAN_ONLY")
    )


@pytest.fixture(scope="module")
def runs(prepared_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagRuns]:
    """An Airflow beside a table and a context; the table has a decimal, a time with a zone, and a missing driver."""
    folder = tmp_path_factory.mktemp("validation")
    write_context(folder)
    trips = pd.DataFrame(
        {
            "driver": ["a", None, "c"],
            "minutes": [1.5, 2.5, 30.0],
            "at": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"]).tz_localize("Europe/Berlin"),
        }
    )
    trips.to_parquet(folder / "trips.parquet", index=False)
    with dag_runs(prepared_home(), folder) as given:
        yield given


DAG = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator as Validate

with DAG("{name}", schedule=None, default_args=DEFAULTS, params={{"limit": 30}}):
    {tasks}
"""


def dag(folder: Path, name: str, *tasks: str) -> str:
    """Return the file of a DAG of some validations of the trips."""
    lines = [f"Validate(dataset={str(folder / 'trips.parquet')!r}, {task})" for task in tasks]
    return DAG.format(name=name, tasks="\n    ".join(lines)).replace("CONTEXT", repr(str(folder)))


def test_a_suite_of_gx_s_own(runs: DagRuns) -> None:
    """Its parameter takes a template; a second run finds the work, an edited suite is validated again."""
    text = dag(
        runs.folder,
        "suites",
        "task_id='good', suite='eta.daily', context=CONTEXT, parameters={'limit': '{{ params.limit }}'}",
        "task_id='bad', suite='strict', context=CONTEXT",
        "task_id='soft', suite='strict', context=CONTEXT, fail=False",
        "task_id='none', suite='eta', context=CONTEXT",
        "task_id='unset', suite='eta.daily', context=CONTEXT",
    )
    first = runs.run("suites", text)
    states = {name: outcome.state for name, outcome in first.items()}
    assert states == {"good": "success", "bad": "failed", "soft": "success", "none": "failed", "unset": "failed"}
    assert first["good"].report.passed
    assert first["good"].report.facts["suites"] == ["eta.daily"]
    broken = first["bad"].report.broken
    assert first["bad"].report == first["soft"].report
    assert [line.split(": ")[1] for line in broken] == ["dag_suites.table.driver", "dag_suites.table.speed"]
    assert "1 of 3 are not" in broken[0]
    assert 'could not be evaluated: The column "speed" in BatchData does not exist' in broken[1]
    assert all(line in first["bad"].error for line in broken)
    assert len(first["bad"].report.facts["warnings"]) == 1
    assert "2 of 3 expectations broken, 1 to be looked at" in first["bad"].page
    assert "known: eta.daily, strict" in first["none"].error
    assert "No value found for $PARAMETER limit; the task's parameters: none" in first["unset"].error
    again = runs.run("suites", text)
    assert [again[name].label[:6] for name in ("good", "bad")] == ["reused", "reused"]
    assert again["bad"].state == "failed"
    file = runs.folder / "gx" / "expectations" / "eta" / "daily.json"
    whole = file.read_text()
    file.write_text(whole.replace("0.5", "0.9"))
    edited = runs.run("suites", text)
    file.write_text(whole)
    assert (edited["good"].state, edited["good"].label, edited["soft"].label[:6]) == ("failed", "", "reused")


def test_a_checkpoint_of_gx_s_own(runs: DagRuns) -> None:
    """All suites of its validation definitions count, each expectation once, in the result format that it names."""
    text = dag(
        runs.folder,
        "checkpoints",
        "task_id='all', checkpoint='nightly', context=CONTEXT + '/gx', parameters={'limit': 30}, fail=False",
        "task_id='none', checkpoint='hourly', context=CONTEXT",
    )
    outcomes = runs.run("checkpoints", text)
    report = outcomes["all"].report
    assert report.facts["suites"] == ["eta.daily", "strict"]
    assert (report.facts["checked"], len(report.broken)) == (5, 2)
    details = json.loads(outcomes["all"].file("table/validation.json").read_text())
    assert not any(result["result"] for result in details["results"])
    assert "known: nightly" in outcomes["none"].error


def test_expectations_in_the_dag_file(runs: DagRuns) -> None:
    """As JSON with a template in it, as GX's objects, and as a function that stands in the file."""
    text = """
import great_expectations.expectations as gxe

def expected(table):
    import great_expectations.expectations as gxe

    class ExpectFewMinutes(gxe.ExpectColumnMaxToBeBetween):
        max_value: float = 10

    return [ExpectFewMinutes(column="minutes"), gxe.ExpectColumnToExist(column=table)]
""" + dag(
        runs.folder,
        "listed",
        "task_id='json', expectations=[{'type': 'expect_column_max_to_be_between',"
        " 'kwargs': {'column': 'minutes', 'max_value': '{{ params.limit }}'}}]",
        "task_id='objects', expectations=[gxe.ExpectColumnValuesToBeUnique(column='at')]",
        "task_id='function', expectations=expected, fail=False",
        "task_id='typo', expectations=[{'type': 'expect_colum_to_exist', 'kwargs': {'column': 'at'}}]",
        "task_id='argument', expectations=[{'type': 'expect_column_to_exist', 'kwargs': {'colum': 'at'}}]",
    )
    outcomes = runs.run("listed", text)
    assert {name: outcome.state for name, outcome in outcomes.items() if outcome.state == "failed"} == {
        "typo": "failed",
        "argument": "failed",
    }
    assert outcomes["json"].report.passed
    assert outcomes["objects"].report.passed
    assert [line.partition("; ")[2] for line in outcomes["function"].report.broken] == ["observed 30", "it is not so"]
    assert "expectation 1 (expect_colum_to_exist): expect_colum_to_exist not found" in outcomes["typo"].error
    assert "expectation 1 (expect_column_to_exist): column field required; colum extra" in outcomes["argument"].error


def test_mapped_over_datasets(runs: DagRuns) -> None:
    """A task for each table, among them one that another task has made and handed on."""
    text = (
        dag(runs.folder, "mapped", "task_id='alone', expectations=[], fail=True")
        + """
    from airflow.sdk import task

    EXPECTED = [{"type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}}]

    @task.mlops
    def made() -> "pd.DataFrame":
        import pandas as pd
        return pd.DataFrame({"a": [1]})

    tables = [FILE, FILE]
    Validate.partial(task_id="each", expectations=EXPECTED, fail=False).expand(dataset=tables)
    Validate(task_id="handed", dataset=made(), expectations=EXPECTED, fail=False)
""".replace("FILE", repr(str(runs.folder / "trips.parquet")))
    )
    outcomes = runs.run("mapped", text)
    assert {outcome.state for outcome in outcomes.values()} == {"success"}
    assert [outcomes[name].report.passed for name in ("each 0", "each 1", "handed")] == [True, True, False]
    assert (outcomes["alone"].report.passed, outcomes["alone"].report.facts["checked"]) == (True, 0)
