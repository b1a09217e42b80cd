"""Feast repositories of teams: the one that ``feast init`` makes, and a small one with a service and fixed days."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import chdir, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from airflow_mlops_provider.backends.feature_store.feast.user_code import importable
from airflow_mlops_provider.backends.telemetry import disable_telemetry, without_typeguard

YAML = """
project: shops
registry: data/registry.db
provider: local
online_store: {type: sqlite, path: data/online.db}
offline_store: {type: dask}
entity_key_serialization_version: 3
"""
DEFINITIONS = """
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

shop = Entity(name="shop", join_keys=["shop_id"])
files = FileSource(
    name="sales_files", path="data/sales.parquet", timestamp_field="at", created_timestamp_column="created"
)
tills = PushSource(name="tills", batch_source=files)
sales = FeatureView(
    name="sales",
    entities=[shop],
    ttl=timedelta(days=2),
    schema=[Field(name="sales", dtype=Float64), Field(name="visits", dtype=Int64)],
    source=tills,
)
staff = FeatureView(
    name="staff",
    entities=[shop],
    schema=[Field(name="staff", dtype=Int64)],
    source=FileSource(name="staff_files", path="data/staff.parquet", timestamp_field="at"),
)
request = RequestSource(name="request", schema=[Field(name="rate", dtype=Float64)])


@on_demand_feature_view(sources=[sales, request], schema=[Field(name="per_visit", dtype=Float64)])
def money(inputs: pd.DataFrame) -> pd.DataFrame:
    from shares import share

    return pd.DataFrame({"per_visit": share(inputs["sales"], inputs["visits"]) * inputs["rate"]})


shop_v1 = FeatureService(name="shop_v1", features=[sales, staff, money])
"""
SHARES = "def share(part, whole):\n    return part / whole\n"
#: Tables beside the repository, as a script of SQL: SQLite has no type for moments.
WAREHOUSE = """
create table visits (shop_id integer, rate real, at text);
insert into visits values (1, 1.0, '2026-01-02 12:00:00'), (9, 2.0, '2026-01-02 13:00:00');
create table sold (shop_id integer, sales real, visits integer, at text, created text);
insert into sold values (1, 3.5, 2, '2026-01-04 12:00:00', '2026-01-05 00:00:00');
"""


def at(day: int, hour: int = 0) -> datetime:
    """Return a moment of January 2026."""
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def shops(folder: Path) -> Path:
    """Make a repository of three shops' sales, with a time to live of two days, and staff, with none."""
    (folder / "data").mkdir(parents=True)
    sales = {"shop_id": [1, 1, 2, 3], "sales": [10.0, 20.0, 5.0, 7.0], "visits": [3, 4, 1, 9]}
    days = [at(1), at(3), at(1), at(2)]
    _write({**sales, "at": days, "created": days}, folder / "data" / "sales.parquet")
    staff = {"shop_id": [1, 2, 3], "staff": [2, 4, 6], "at": [at(1)] * 3}
    _write(staff, folder / "data" / "staff.parquet")
    (folder / "feature_store.yaml").write_text(YAML)
    (folder / "features.py").write_text(DEFINITIONS)
    (folder / "shares.py").write_text(SHARES)
    return folder


def refresh(folder: Path) -> None:
    """Add a row of now to the staff of those shops."""
    file = folder / "data" / "staff.parquet"
    now = {"shop_id": [4], "staff": [1], "at": [datetime.now(UTC)]}
    rows = pd.concat([pd.read_parquet(file), pd.DataFrame(now).astype({"at": "datetime64[us, UTC]"})])
    _write({name: rows[name].tolist() for name in rows}, file)


def _write(columns: Mapping[str, Any], file: Path) -> None:
    # DuckDB can't compare moments in nanoseconds, which pandas would write.
    pd.DataFrame(columns).to_parquet(file, coerce_timestamps="us")


def initial(folder: Path, name: str = "rides") -> Path:
    """Make a repository by ``feast init``, and return its folder: hourly rows of five drivers, of the last 15 days."""
    disable_telemetry()
    with without_typeguard():
        from feast.repo_operations import init_repo

    with importable(folder), chdir(folder), redirect_stdout(io.StringIO()):
        init_repo(name, "local")
    return folder / name / "feature_repo"


def context(operator: Any, start: datetime | None = None, end: datetime | None = None) -> Any:
    """Return what a task is given that runs without an Airflow; ``pushed`` holds its XComs."""
    pushed: dict[str, Any] = {}

    def push(key: str, value: Any) -> None:
        pushed[key] = value

    ids = {"dag_id": "Shops", "run_id": "r", "task_id": operator.task_id, "try_number": 1, "map_index": -1}
    dag_run: Mapping[str, Any] = {"team_name": None}
    return {
        "ti": SimpleNamespace(**ids, xcom_push=push),
        "params": {},
        "dag_run": SimpleNamespace(**dag_run),
        "data_interval_start": start,
        "data_interval_end": end,
        "pushed": pushed,
    }
