"""Secrets are planted in every connection, a job prints all it knows, and nothing that stays behind holds one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pandas as pd
import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from tests.factories.bucket import s3_server
from tests.factories.kube.api import TOKEN
from tests.factories.kube.world import KubeWorld
from tests.factories.tiny import TinyWorld

pytestmark = pytest.mark.system

BUCKET = "secrets"
# What reaches the jobs, by the variable that bears it.
PLANTED = {
    "AWS_ACCESS_KEY_ID": "PLANTED0ACCESS0KEY",
    "AWS_SECRET_ACCESS_KEY": "planted/bucket+key=1",
    "MLFLOW_TRACKING_PASSWORD": "planted mlflow p@ss:2",
    "MLOPS_ONLINE_STORE_PASSWORD": "planted-feast-3",
    "MLOPS_SERVING_TOKEN": "planted-server-4",
}
# What does not: these jobs neither export settings nor ask the cluster, nor are they Airflow.
KEPT = {
    "the forge's token": "planted-forge-5",
    "the cluster's token": TOKEN,
    "Airflow's variable": "planted-variable-6",
}
DAG = """
from datetime import datetime, timedelta, UTC
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow_mlops_provider.discovery import products
from airflow_mlops_provider.operators.features import SourceExtractIntervalOperator
from airflow_mlops_provider.operators.functions import FunctionRunOperator
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import SecretKey
from pathlib import Path
import pandas as pd

(product,) = products([Path({products!r})], [])


def knew(raw: dict[str, pd.DataFrame], names: list[str]) -> pd.DataFrame:
    import hashlib, os

    print(dict(os.environ))
    print("see", os.environ["MLOPS_SERVING_TOKEN"], flush=True)
    known = "|".join(os.environ[name] for name in names)
    return raw["sales"].assign(knew=hashlib.sha256(known.encode()).hexdigest())


pod = KubernetesPod(
    image="registry.example/jobs:1", memory="1Gi", poll_seconds=0.2, secrets={{
        name: SecretKey(name="planted", key=name) for name in {names!r}
    }}, env={{"MLFLOW_TRACKING_USERNAME": "somebody"}},
)
with DAG("secrets", schedule=CronDataIntervalTimetable("0 0 * * *", "UTC"), start_date=datetime(2024, 1, 1, tzinfo=UTC),
         end_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=True,
         default_args={{"retries": 2, "retry_delay": timedelta(seconds=1)}}):
    raw = SourceExtractIntervalOperator(task_id="extract", product=product)
    given = {{"product": product, "python_callable": knew, "op_kwargs": {{"raw": raw.output, "names": {names!r}}}}}
    here, found = (FunctionRunOperator(task_id=name, **given) for name in ("here", "found"))
    there = FunctionRunOperator(task_id="there", **given, place=pod, force=True)
    here >> found >> there
"""


@dataclass
class Left:
    """What one run has left behind: everywhere that a secret could lie, with its bytes."""

    tasks: dict[str, dict[str, Any]]
    pods: list[dict[str, Any]]
    tables: list[pd.DataFrame]
    places: dict[str, bytes] = field(default_factory=dict)


def connections(endpoint: str, config: dict[str, Any]) -> dict[str, str]:
    """Return the connections, as the environment defines them."""
    given = {
        "mlops_artifact_store": {
            "conn_type": "mlops_artifact_store", "login": PLANTED["AWS_ACCESS_KEY_ID"],
            "password": PLANTED["AWS_SECRET_ACCESS_KEY"],
            "extra": {"root": f"s3://{BUCKET}/mlops", "endpoint_url": endpoint, "region": "us-east-1"},
        },
        "mlops_mlflow": {"conn_type": "mlflow", "host": "http://127.0.0.1:9", "login": "somebody",
                         "password": PLANTED["MLFLOW_TRACKING_PASSWORD"]},
        "mlops_feast": {"conn_type": "feast", "host": "127.0.0.1", "port": 9, "extra": {"online_store": "redis"},
                        "password": PLANTED["MLOPS_ONLINE_STORE_PASSWORD"]},
        "mlops_model_server": {"conn_type": "mlops_model_server", "host": "http://127.0.0.1:9",
                               "password": PLANTED["MLOPS_SERVING_TOKEN"]},
        "mlops_source": {"conn_type": "mlops_source", "host": "https://forge.example/team/models.git",
                         "password": KEPT["the forge's token"]},
        "kubernetes_default": {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(config)}},
    }  # fmt: skip
    defined = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in given.items()}
    return {**defined, "AIRFLOW_VAR_ANY": KEPT["Airflow's variable"]}


@pytest.fixture(scope="module")
def left(
    stack_factory: Callable[..., Stack], prepared_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Left:
    """Run the jobs in a real Airflow, here and in a pod, and gather what they leave."""
    folder, home = tmp_path_factory.mktemp("secrets"), prepared_home()
    world, dags = TinyWorld(folder), folder / "dags"
    dags.mkdir()
    (dags / "secrets.py").write_text(textwrap.dedent(DAG).format(products=str(world.products), names=sorted(PLANTED)))
    kube = KubeWorld(folder, {"PYTHONPATH": str(world.products)})
    kube.secrets |= {("planted", name): value for name, value in PLANTED.items()}
    with s3_server() as server:
        endpoint = server["AWS_ENDPOINT_URL"]
        s3 = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
        )
        s3.create_bucket(Bucket=BUCKET)
        env = connections(endpoint, kube.config) | {"AIRFLOW__MLOPS__LANDING_ROOT": str(world.landing)}
        stack = stack_factory(dags, home=home, env=env)
        tasks = finished(stack)
        stack.stop()
        objects = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
        bodies = {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in objects}
    kube.close()
    world.close()
    files = {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    pods = {f"pod {number}": json.dumps(pod).encode() for number, pod in enumerate(kube.created)}
    tables = [pd.read_parquet(io.BytesIO(body)) for key, body in bodies.items()
              if "/function/" in key and key.endswith(".parquet")]  # fmt: skip
    return Left(tasks, kube.created, tables, {**files, **bodies, **pods})


def finished(stack: Stack, seconds: float = 150) -> dict[str, dict[str, Any]]:
    """Wait until the run has ended, and return its task instances by name."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        runs = stack.api.call("GET", "dags/~/dagRuns")["dag_runs"]
        if runs and runs[0]["state"] in {"success", "failed"}:
            path = f"dags/secrets/dagRuns/{runs[0]['dag_run_id']}/taskInstances"
            return {task["task_id"]: task for task in stack.api.call("GET", path)["task_instances"]}
        time.sleep(0.5)
    raise AssertionError("the run did not end")


def test_the_jobs_knew_them_all(left: Left) -> None:
    """The secrets did reach the job in the local process and the one in the pod, or the search would prove nothing."""
    assert {name: task["state"] for name, task in left.tasks.items()} == dict.fromkeys(
        ("extract", "here", "found", "there"), "success"
    )
    known = hashlib.sha256("|".join(PLANTED[name] for name in sorted(PLANTED)).encode()).hexdigest()
    assert len(left.pods) == 1
    assert [set(table["knew"]) for table in left.tables] == [{known}]
    assert sum(b"MLOPS_SERVING_TOKEN" in data for name, data in left.places.items() if "task_id=" in name) >= 2


@pytest.mark.parametrize("name", sorted(PLANTED | KEPT))
def test_none_is_left_behind(left: Left, name: str) -> None:
    """Neither specs, manifests, kept logs nor Airflow's database, logs and settings, nor the pod hold a secret."""
    secret = (PLANTED | KEPT)[name]
    forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode()}
    assert len(left.places) > 10
    assert [place for place, data in left.places.items() for form in forms if form.encode() in data] == []


def test_the_pod_gets_them_by_reference(left: Left) -> None:
    """Each is a reference into a Kubernetes secret, and no variable bears a value but addresses and a user's name."""
    (pod,) = left.pods
    env = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
    assert {name for name, one in env.items() if "secretKeyRef" in one.get("valueFrom", {})} == set(PLANTED)
    assert {name for name, one in env.items() if "value" in one} == {
        "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_TRACKING_USERNAME",
    }  # fmt: skip


def test_airflow_shows_what_was_reused(left: Left) -> None:
    """The list of the run's tasks says of one that its work was found, and whose it was; the others say nothing."""
    shown = {name: task["rendered_map_index"] for name, task in left.tasks.items()}
    run = left.tasks["here"]["dag_run_id"]
    assert shown == {
        "extract": None,
        "here": None,
        "there": None,
        "found": f"reused from secrets {run}",
    }
