"""Evidently without a product, in a real Airflow: two tables, whoever's they are."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.references import parse_reference
from tests.factories.dag_runs import DagRuns, dag_runs

pytestmark = pytest.mark.timeout(900)
pytest.importorskip("airflow.providers.sqlite", reason="pip install apache-airflow-providers-sqlite")

DAG = """
from airflow.sdk import DAG, task
from airflow_mlops_provider import DriftLimits, Files, Sql
from airflow_mlops_provider.operators.monitoring import EvidentlyReportOperator as Compare

LAKE = {lake!r}

with DAG("drifting", schedule=None, default_args=DEFAULTS, params={{"day": "2026-02-01"}}):

    @task.mlops
    def learned(shift: float) -> "pd.DataFrame":
        import numpy as np, pandas as pd
        random = np.random.default_rng(3)
        return pd.DataFrame({{"fare": random.normal(10 + shift, 2, 1200), "city": random.choice(["a", "b"], 1200)}})

    BEFORE = LAKE + "/reference.parquet"
    same = Compare(task_id="same", reference=BEFORE, current=LAKE + "/same/*.csv")
    moved = Compare(task_id="moved", reference=BEFORE, current=LAKE + "/{{{{ params.day }}}}/*.parquet")
    Compare(task_id="failing", reference=BEFORE, current=LAKE + "/2026-02-01/*.parquet", fail=True)
    Compare(task_id="database", reference=Sql("warehouse", "select * from trips"), current=learned(5.0))
    Compare(task_id="one", reference=BEFORE, current=learned(5.0), columns=["city"], limits=DriftLimits(share=0.1))
    Compare(task_id="typo", reference=BEFORE, current=BEFORE, columns=["citty"])
"""


def trips(seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Return trips; ``shift`` moves their fares."""
    random = np.random.default_rng(seed)
    return pd.DataFrame({"fare": random.normal(10 + shift, 2, 1200), "city": random.choice(["a", "b"], 1200)})


@pytest.fixture(scope="module")
def runs(prepared_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagRuns]:
    """An Airflow beside a lake and a warehouse."""
    folder = tmp_path_factory.mktemp("drift")
    lake = folder / "lake"
    for name in ("same", "2026-02-01"):
        (lake / name).mkdir(parents=True)
    trips(0).to_parquet(lake / "reference.parquet", index=False)
    trips(1).to_csv(lake / "same" / "1.csv", index=False)
    trips(2, shift=5.0).to_parquet(lake / "2026-02-01" / "1.parquet", index=False)
    with sqlite3.connect(folder / "trips.db") as database:
        database.execute("create table trips (fare real, city text)")
        database.executemany("insert into trips values (?, ?)", trips(0).values.tolist())
    connection = json.dumps({"conn_type": "sqlite", "host": str(folder / "trips.db")})
    with dag_runs(prepared_home(), folder, AIRFLOW_CONN_WAREHOUSE=connection) as given:
        yield given


def test_two_tables_of_any_kind(runs: DagRuns) -> None:
    """Files of any format, a query, what another task made: compared, handed on, failed on request; found again."""
    text = DAG.format(lake=str(runs.folder / "lake"))
    first = runs.run("drifting", text)
    failed = {name for name, outcome in first.items() if outcome.state != "success"}
    assert failed == {"failing", "typo"}, {name: first[name].error for name in failed}
    reports = {name: first[name].report for name in ("same", "moved", "failing", "database", "one")}
    passed = {name for name, report in reports.items() if report.passed}
    assert passed == {"same", "one"}
    assert reports["moved"].broken == ("50% of 2 columns drifted, limit 50%",)
    assert reports["failing"] == reports["moved"]
    assert "50% of 2 columns drifted" in first["failing"].error
    assert (reports["database"].facts["drifted"], reports["one"].facts["compared"]) == (["fare"], 1)
    assert "2 columns compared" in first["moved"].page
    assert "unknown column 'citty'; known: city, fare" in first["typo"].error
    again = runs.run("drifting", text)
    assert {again[name].label[:6] for name in reports} == {"reused"}
    assert parse_reference(again["moved"].value) == reports["moved"]
