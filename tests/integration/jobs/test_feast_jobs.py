"""The operators of a Feast repository run real jobs of their own processes, without a product."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider import Files
from airflow_mlops_provider.datasets import read_dataset
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.lifecycle.references import parse_reference
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.feast import (
    FeastApplyOperator,
    FeastMaterializeOperator,
    FeastPushOperator,
    FeastRetrieveOperator,
)
from airflow_mlops_provider.operators.functions import FunctionRunOperator
from airflow_mlops_provider.storage.records import Records
from tests.factories.feast_repository import at, context, shops

SECRET = "open sesame"

Do = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shops' repository, in the connection ``feast_team``, whose configuration names its password."""
    folder = shops(tmp_path / "shops")
    yaml = folder / "feature_store.yaml"
    yaml.write_text(yaml.read_text().replace("online.db", "${MLOPS_ONLINE_STORE_PASSWORD}-${REGISTRY_TOKEN}.db"))
    feast = {"conn_type": "feast", "password": SECRET, "extra": {"repository": str(folder)}}
    feast["extra"]["secrets"] = json.dumps({"REGISTRY_TOKEN": "another secret"})  # type: ignore[index]
    monkeypatch.setenv("AIRFLOW_CONN_FEAST_TEAM", json.dumps(feast))
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path / "artifacts"))
    return folder


def done(kind: type[JobOperator], **arguments: Any) -> dict[str, Any]:
    """Run an operator in the run of the second of January, and return what it hands on."""
    own = {} if kind is FunctionRunOperator else {"conn_id": "feast_team"}
    operator = kind(task_id="step", **own, **arguments)
    return operator.execute(context(operator, at(1), at(2)))


def rows(tmp_path: Path, **columns: Any) -> Path:
    """Write three shops' rows as a file."""
    file = tmp_path / "rows.csv"
    given = {"shop_id": [1, 2, 9], "when": ["2026-01-03T12:00:00"] * 3, "rate": [1.0] * 3, **columns}
    pd.DataFrame(given).to_csv(file, index=False)
    return file


def test_from_definitions_to_features(tmp_path: Path, folder: Path) -> None:
    """Apply, materialize and retrieve; the rows come from a file; what was done lies in facts and record, no secret."""
    applied = done(FeastApplyOperator)
    assert "feature view sales" in applied["facts"]["added"]
    assert (folder / "data" / f"{SECRET}-another secret.db").exists()
    materialized = done(FeastMaterializeOperator, views=["sales"])
    assert materialized["facts"]["views"] == {"sales": f"{at(1).isoformat()}/{at(2).isoformat()}"}
    assert FeastHook("feast_team").open().materialized_until("sales") == at(2)
    retrieved = done(FeastRetrieveOperator, service="shop_v1", entities=Files(str(rows(tmp_path))), event_time="when")
    assert retrieved["facts"]["unmatched"] == {"sales": 2, "staff": 1, "money": 2}
    (table,) = read_dataset(retrieved).values()
    assert [*table.columns] == ["shop_id", "event_timestamp", "rate", "sales", "visits", "staff", "per_visit"]
    assert table["staff"].tolist()[:2] == [2, 4]
    manifest = Records(ArtifactStoreHook().store()).manifest_of(parse_reference(retrieved))
    assert manifest.spec.settings["repository"] == str(folder)
    assert manifest.spec.upstream == {"entities": str(tmp_path / "rows.csv")}
    files = [file.read_text("utf-8", "replace") for file in (tmp_path / "artifacts").rglob("*.json")]
    assert files
    assert not [text for text in files if SECRET in text or "another secret" in text]


def test_what_is_made_of_features_is_found_again(tmp_path: Path, folder: Path) -> None:
    """A retrieval is never taken for an earlier one; the same features have the same hash, others another."""

    def count(rows: pa.Table) -> int:
        return len(rows)

    done(FeastApplyOperator)
    wanted = {"features": ["staff:staff"], "entities": str(rows(tmp_path)), "event_time": "when"}
    first, again = done(FeastRetrieveOperator, **wanted), done(FeastRetrieveOperator, **wanted)
    assert (first["hash"], first["facts"]) == (again["hash"], again["facts"])
    made = done(FunctionRunOperator, python_callable=count, op_kwargs={"rows": first})
    assert done(FunctionRunOperator, python_callable=count, op_kwargs={"rows": again}) == made
    file = folder / "data" / "staff.parquet"
    pd.read_parquet(file).assign(staff=[3, 4, 6]).to_parquet(file)
    assert done(FeastRetrieveOperator, **wanted)["hash"] != first["hash"]


def test_rows_of_another_task_are_pushed(tmp_path: Path) -> None:
    """What a task hands on goes to both stores."""

    def sold() -> pd.DataFrame:
        day = pd.Timestamp("2026-01-09", tz="UTC")
        return pd.DataFrame({"shop_id": [1], "sales": [3.5], "visits": [2], "at": [day], "created": [day]})

    done(FeastApplyOperator)
    reference = done(FunctionRunOperator, python_callable=sold)
    pushed = done(FeastPushOperator, source="tills", rows=reference, to="online_and_offline")
    assert pushed["facts"] == {"rows": {"table": 1}, "views": ["sales"], "online": 1, "offline": 1}


def test_what_no_retry_mends_fails_at_once(tmp_path: Path, folder: Path) -> None:
    """An unknown view, and a repository that is not there: the job's error is the task's."""
    done(FeastApplyOperator)
    with pytest.raises(AirflowFailException, match="unknown feature view 'nothing'; known: money, sales, staff"):
        done(FeastMaterializeOperator, views=["nothing"])
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(AirflowFailException, match=r"feature_store\.yaml is not there"):
        done(FeastApplyOperator)
