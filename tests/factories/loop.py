"""A product's jobs, run here and now, one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.records.spec import RunIdentity, Services
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.code import load_product
from tests.factories.declared import specify


class Loop:
    """Runs a product's jobs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.root, self.landing = name, str(folder / "artifacts"), folder / "landing"
        self.services = Services(landing=str(self.landing), mlflow=f"sqlite:///{self.root}/mlflow.db")

    def __call__(self, job: str, interval: Any = None, params: Any = None, **inputs: Any) -> Any:
        identity = RunIdentity(dag_id="by_hand", run_id=str(interval), task_id=job)
        given: dict[str, Any] = {"interval": interval, "inputs": inputs, "run": identity}
        spec = specify(job, load_product(self.name), params, root=self.root, services=self.services, **given)
        manifest = runner.run(spec)
        assert manifest.state == "success", manifest.failure
        return manifest.result
