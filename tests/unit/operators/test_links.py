"""Links lead to what the task's own record names; what others may write is not asked."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.operators.deployment import ModelServerDeployVersionOperator
from airflow_mlops_provider.operators.links import (
    DataReportLink,
    ManifestLink,
    MlflowRunLink,
    PodLogLink,
    RunAgainLink,
    ServedModelLink,
)
from airflow_mlops_provider.operators.maintenance import FeaturesRemakeStaleOperator
from airflow_mlops_provider.operators.registry import MlflowRegisterModelOperator, ModelPromoteVersionOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator

NOW = datetime(2024, 1, 1, tzinfo=UTC)
KEY: Any = None  # no link looks at it: that would be an XCom


class Mlflow(http.server.BaseHTTPRequestHandler):
    """Answers as MLflow does when it knows the run."""

    def do_GET(self) -> None:
        known = self.path.endswith("run_id=r1")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"run": {"info": {"experiment_id": "7"}}}).encode())

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of that server, which is the product's own."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mlflow)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    uri = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_MLFLOW_ETA", json.dumps({"conn_type": "mlflow", "host": uri}))
    yield uri
    running.shutdown()
    running.server_close()


def task(
    result: AnyReference | None, log_file: str | None = None, mlflow: str = "http://m", **inputs: AnyReference
) -> Any:
    """Return an operator whose job left that record."""
    services = Services(landing="/landing", mlflow=mlflow)
    spec = JobSpec(job="any", product="eta", inputs=inputs, root="/root", services=services)
    record = Manifest(state="success", spec=spec, address="a", result=result, started=NOW, ended=NOW)
    return SimpleNamespace(spec=spec, manifest=record, log_file=log_file)


def model(**facts: Any) -> Model:
    """Return a model of which that is known."""
    return Model(uri="file:///m", hash="0", facts=facts)


def test_the_run_in_mlflow(mlflow: str) -> None:
    """Its page, on the server of the product; none where the run is not known, or there is none."""
    link = MlflowRunLink()
    assert link.get_link(task(model(run_id="r1")), ti_key=KEY) == f"{mlflow}/#/experiments/7/runs/r1"
    assert link.get_link(task(model(mlflow_run="r1")), ti_key=KEY).endswith("/runs/r1")
    assert link.get_link(task(model(run_id="gone")), ti_key=KEY) == ""
    assert link.get_link(task(model()), ti_key=KEY) == ""
    assert link.get_link(SimpleNamespace(), ti_key=KEY) == ""  # type: ignore[arg-type]  # any operator


def test_a_run_in_a_file_has_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server there is nothing to see, and no connection is looked up."""
    monkeypatch.setattr(MlflowHook, "named", None)
    assert MlflowRunLink().get_link(task(model(run_id="r1"), mlflow="sqlite:///x"), ti_key=KEY) == ""


def test_the_manifest() -> None:
    """That of the task's own run, which its operator knows; none of an operator whose job left none."""
    left = SimpleNamespace(record="file:///r/one")
    assert ManifestLink().get_link(left, ti_key=KEY).endswith("?uri=file%3A%2F%2F%2Fr%2Fone&file=manifest.json")  # type: ignore[arg-type]
    assert ManifestLink().get_link(SimpleNamespace(record=None), ti_key=KEY) == ""  # type: ignore[arg-type]


def test_the_report_on_the_data() -> None:
    """That on expectations among the job's inputs, and no other one."""
    about = {"hash": "0", "passed": True, "page": "page.html"}
    data = Report(uri="file:///data", about="expectations", **about)
    other = Report(uri="file:///other", about="evaluation", **about)
    link = DataReportLink().get_link(task(None, evaluation=other, validation=data), ti_key=KEY)
    assert link.endswith("?uri=file%3A%2F%2F%2Fdata&file=page.html")
    assert DataReportLink().get_link(task(None, evaluation=other), ti_key=KEY) == ""
    assert DataReportLink().get_link(task(None, dataset=Dataset(uri="file:///d", hash="0")), ti_key=KEY) == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [("http://serving:8900", "http://serving:8900/"), ("", ""), ("javascript:alert(1)", ""), (None, "")],
)
def test_the_served_model(url: str | None, shown: str) -> None:
    """The address at which the server answered; nothing that is no page."""
    version = ModelVersion(uri="file:///m", hash="0", name="eta", version=3, facts={"url": url})
    assert ServedModelLink().get_link(task(version), ti_key=KEY) == shown


def test_the_pods_log() -> None:
    """Where the place has kept it."""
    link = PodLogLink().get_link(task(None, "s3://root/eta/pods/train-1/log.txt"), ti_key=KEY)
    assert link.endswith("?uri=s3%3A%2F%2Froot%2Feta%2Fpods%2Ftrain-1&file=log.txt")
    assert PodLogLink().get_link(task(None), ti_key=KEY) == ""


def test_a_run_made_again() -> None:
    operator = FeaturesRemakeStaleOperator(task_id="remake_stale")
    assert RunAgainLink().get_link(operator, ti_key=KEY) == ""
    operator.run_again = RunIdentity(dag_id="eta", run_id="scheduled__2026-01-01T00:00:00+00:00")
    link = RunAgainLink().get_link(operator, ti_key=KEY)
    assert link.endswith("/dags/eta/runs/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00")


def test_who_has_which() -> None:
    """Each task has the links that its record can fill."""
    links = {
        ModelTrainOperator: MlflowRunLink,
        MlflowRegisterModelOperator: MlflowRunLink,
        ModelPromoteVersionOperator: DataReportLink,
        ModelServerDeployVersionOperator: ServedModelLink,
    }
    for operator, link in links.items():
        assert {link, PodLogLink} <= {type(given) for given in operator.operator_extra_links}
