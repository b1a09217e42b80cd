"""MLflow's view of a search: one run with a run below it for each trial, all in an experiment beside the trainings'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.backends.tracking.mlflow.formats import dataset_input
from airflow_mlops_provider.backends.tracking.mlflow.server import mlflow_call
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.search.trials import Trial

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
STATE = "mlops.state"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class MlflowSearch(MlflowBackend):
    """One study in MLflow: a run of its own name, and below it one run a slot."""

    def __init__(self, uri: str, artifacts: str | None, product: str, study: str) -> None:
        super().__init__(uri, artifacts)
        self.product = product
        self.study = study

    @mlflow_call
    def open(self, params: Mapping[str, Any], tags: Mapping[str, str], dataset: Dataset) -> str:
        """Make the study's run, and return its id."""
        run = self._run(self.study, self.study, {})
        self._log(run, params, {}, tags)
        self.client.log_inputs(run.info.run_id, datasets=[dataset_input(dataset, "training")])
        return str(run.info.run_id)

    @mlflow_call
    def begin(self, trial: Trial, parent: str, params: Mapping[str, Any]) -> str:
        """Make a trial's run below the study's, and return its id."""
        run = self._run(f"{self.study}/{trial.slot}", f"trial {trial.slot}", {PARENT: parent})
        self._log(run, {"algorithm": trial.algorithm, **trial.params, **params}, {}, {STATE: trial.state})
        return str(run.info.run_id)

    @mlflow_call
    def end(self, trial: Trial, run_id: str, metric: str) -> None:
        """Log how a trial ended: its values by step under ``reported``, the last one under the metric's name."""
        from mlflow.entities import Metric

        run = self.client.get_run(run_id)
        when = run.info.start_time  # a fixed time: logged again, a value is the same entry
        steps = [Metric("reported", value, when, step) for step, value in trial.values.items()]
        for batch in range(0, len(steps), 1000):
            self.client.log_batch(run_id, metrics=steps[batch : batch + 1000])
        metrics = {"train_seconds": trial.seconds, **({} if trial.value is None else {metric: trial.value})}
        self._log(run, {}, metrics, {STATE: trial.state, **({"mlops.reason": trial.reason} if trial.reason else {})})
        if run.info.status != _STATUS[trial.state]:
            self.client.set_terminated(run_id, _STATUS[trial.state])

    @mlflow_call
    def conclude(self, parent: str, tags: Mapping[str, str], best: Mapping[str, float], files: Sequence[Path]) -> None:
        """Keep a search's end with its run: why it stopped, what was best, and the report's files."""
        self._log(self.client.get_run(parent), {}, best, tags)
        for file in files:
            self.client.log_artifact(parent, str(file))
        self.client.set_terminated(parent, "FINISHED")

    def _run(self, address: str, name: str, tags: Mapping[str, str]) -> Any:
        run = self._run_of(self._experiment(f"{self.product}.search"), address)
        wanted = {NAME: name, **tags}
        self._log(run, {}, {}, {key: value for key, value in wanted.items() if run.data.tags.get(key) != value})
        return run
