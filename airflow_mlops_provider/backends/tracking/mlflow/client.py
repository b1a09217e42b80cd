"""MLflow: the metadata store (runs, datasets, logged models) and the model registry."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.tracking.mlflow.formats import can_keep, dataset_input
from airflow_mlops_provider.backends.tracking.mlflow.packing import MODEL, pack_model
from airflow_mlops_provider.backends.tracking.mlflow.server import Allowing, MlflowServer, mlflow_call
from airflow_mlops_provider.exceptions import ConfigurationError, OtherRegistryError
from airflow_mlops_provider.lifecycle.references import Dataset, Model

ADDRESS = "mlops.address"
MODEL_HASH = "mlops.model_hash"


class MlflowBackend(MlflowServer):
    """What the loop writes to and reads from an MLflow tracking server and registry.

    Every call is idempotent: after a kill or a failed call, making it again finishes what was begun.

    :param uri: as for :class:`MlflowServer`; credentials come from the environment (``MLFLOW_TRACKING_USERNAME``, …).
    :param artifacts: folder URI below which experiments made here keep files. By default a folder beside an SQLite
        file; not for a server, which keeps them where it was told to.
    """

    def __init__(self, uri: str, artifacts: str | None = None) -> None:
        super().__init__(uri)
        self.artifacts = artifacts

    @mlflow_call
    def log_training(
        self,
        *,
        product: str,
        address: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        dataset: Dataset,
        tags: Mapping[str, str],
        model_folder: Path,
        flavor: str,
    ) -> str:
        """Record one training with its dataset and its model, and return the run's id.

        One address has one run and one model, however often this is called.

        :param product: the experiment's name.
        :param address: where the job's output lies; derived from what went in, so the same for the same work.
        :param params: plain values; nested ones are kept as JSON, cut at MLflow's 6,000 characters.
        :param dataset: the training set; what of it was learned from is logged as an input, with its hash as digest.
        :param model_folder: the model's files as :mod:`airflow_mlops_provider.backends.models.lightgbm` saves them.
        """
        run = self._run_of(self._experiment(product), address)
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        # A retry measures other durations: what a killed try has told already stays, else there would be two.
        missing = {name: value for name, value in metrics.items() if _key(name) not in run.data.metrics}
        self._log(run, params, missing, {**tags, ADDRESS: address})
        self.client.log_inputs(run.info.run_id, datasets=[dataset_input(dataset, "training")])
        self._log_model(run, model_folder, flavor)
        self.client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id)

    @mlflow_call
    def log_evaluation(self, run_id: str, metrics: Mapping[str, float], dataset: Dataset) -> None:
        """Add how well a run's model did on the later part of its training set. The same again changes nothing.

        That part becomes an input of the run, and the numbers are those of the model on that dataset.

        :raises OtherRegistryError: if there is no such run.
        """
        from mlflow.entities import Metric

        run, given = self._get_run(run_id), dataset_input(dataset, "evaluation")
        self.client.log_inputs(run_id, datasets=[given])
        model, when = self._logged_model(run), run.info.start_time
        on = {"dataset_name": given.dataset.name, "dataset_digest": given.dataset.digest}
        of = {"model_id": model.model_id if model else None, "run_id": run_id}
        numbers = [Metric(_key(name), float(value), when, 0, **of, **on) for name, value in metrics.items()]
        self.client.log_batch(run_id, metrics=numbers)

    @mlflow_call
    def register(
        self, *, name: str, model: Model, run_id: str, tags: Mapping[str, str], taken: Collection[int] = ()
    ) -> int:
        """Make a run's model a version of a registered model, and return its number.

        The same model of the same run is always the same version.

        :param taken: numbers of other models, which MLflow may give once more after it was set back.
        :raises ConfigurationError: if the run has logged no model.
        """
        import mlflow

        run = self._get_run(run_id)
        logged = self._logged_model(run)
        if logged is None:
            raise ConfigurationError(f"MLflow run {run_id} has logged no model to register as {name!r}")
        with Allowing("RESOURCE_ALREADY_EXISTS"):
            self.client.create_registered_model(name)
        known = self._same(name, model, run_id)
        if known:
            return known[0]
        # MLflow looks the model up through the process's own tracking URI, whatever the client was given.
        mlflow.set_tracking_uri(self.uri)
        labels = {**tags, MODEL_HASH: model.hash, "mlops.model_uri": model.uri}

        def make() -> Any:
            source = f"models:/{logged.model_id}"
            return self.client.create_model_version(name, source, run_id, tags=labels, model_id=logged.model_id)

        made = make()
        while int(made.version) in taken:
            self.client.delete_model_version(name, made.version)  # a number is never given twice, also if deleted
            made = make()
        first = self._same(name, model, run_id)[0]
        if first != int(made.version):  # somebody else registered it between the look and the making
            self.client.delete_model_version(name, made.version)
        return first

    @mlflow_call
    def versions(self, name: str) -> dict[int, str]:
        """Return a registered model's versions by number, with the hash of each model; empty where none is kept."""
        versions = self._versions(f"name = '{name}'")
        return {int(version.version): version.tags.get(MODEL_HASH, "") for version in versions}

    @mlflow_call
    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """Let an alias point at a version, or at none any more."""
        if version is None:
            self.client.delete_registered_model_alias(name, alias)
        else:
            self.client.set_registered_model_alias(name, alias, str(version))

    @mlflow_call
    def url(self, run_id: str) -> str | None:
        """Return the page on which a person sees a run; None where MLflow has no server."""
        if not self.is_http:
            return None
        run = self._get_run(run_id)
        return f"{self.shown}/#/experiments/{run.info.experiment_id}/runs/{run_id}"

    def _get_run(self, run_id: str) -> Any:
        with Allowing("RESOURCE_DOES_NOT_EXIST"):
            return self.client.get_run(run_id)
        raise OtherRegistryError(
            f"MLflow at {self.shown} has no run {run_id}: the model was trained with another MLflow. Point the "
            "connection mlops_mlflow, or [mlops] mlflow_uri, back to that, or train again with Force"
        )

    def _experiment(self, product: str) -> str:
        experiment = self.client.get_experiment_by_name(product)
        if experiment is None:
            with Allowing("RESOURCE_ALREADY_EXISTS"):  # somebody else made it between the look and the making
                return str(self.client.create_experiment(product, artifact_location=self._artifact_folder(product)))
            experiment = self.client.get_experiment_by_name(product)
        if experiment.lifecycle_stage != "active":
            raise ConfigurationError(f"experiment {product!r} was deleted in MLflow; restore it there, or rename it")
        return str(experiment.experiment_id)

    def _artifact_folder(self, product: str) -> str | None:
        if self.is_http:  # a folder of this machine means nothing to a server, which has a place of its own
            return None
        beside = (self.database.absolute().parent / "mlflow").as_uri() if self.database else None
        root = self.artifacts if self.artifacts and can_keep(self.artifacts) else beside
        return f"{root.rstrip('/')}/{product}" if root else None

    def _run_of(self, experiment: str, address: str) -> Any:
        run = self._oldest_run(experiment, address)
        if run is not None:
            return run
        made = self.client.create_run(experiment, tags={ADDRESS: address}, run_name=address[:16])
        oldest = self._oldest_run(experiment, address)
        if oldest.info.run_id != made.info.run_id:  # somebody else made one between the look and the making
            self.client.delete_run(made.info.run_id)
        return oldest

    def _oldest_run(self, experiment: str, address: str) -> Any:
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        runs = self.client.search_runs([experiment], f"tags.`{ADDRESS}` = '{address}'", max_results=1, order_by=order)
        return runs[0] if runs else None

    def _log(self, run: Any, params: Mapping[str, Any], metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        # The run's own start as time stamp: logged again, a number is the same entry and not a second one.
        when = run.info.start_time
        numbers = [Metric(_key(name), float(value), when, 0) for name, value in metrics.items()]
        values = [Param(_key(name), _text(value)) for name, value in params.items()]
        labels = [RunTag(name, str(value)) for name, value in tags.items()]
        for batch in range(0, max(len(numbers), len(values), len(labels)), 100):
            cut = slice(batch, batch + 100)
            self.client.log_batch(run.info.run_id, metrics=numbers[cut], params=values[cut], tags=labels[cut])

    def _log_model(self, run: Any, folder: Path, flavor: str) -> None:
        from mlflow.entities import LoggedModelOutput

        run_id, logged = run.info.run_id, self._logged_model(run)
        if logged is None:
            logged = self.client.create_logged_model(
                run.info.experiment_id, name=MODEL, source_run_id=run_id, tags=dict(run.data.tags), model_type=flavor
            )
        if logged.status.value == "READY":
            return
        if not (run.outputs and run.outputs.model_outputs):
            self.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        with tempfile.TemporaryDirectory(prefix="mlops-mlflow-") as packed:
            pack_model(folder, Path(packed), flavor, logged.model_id, run_id)
            self.client.log_model_artifacts(logged.model_id, packed)
        self.client.finalize_logged_model(logged.model_id, "READY")

    def _logged_model(self, run: Any) -> Any:
        models = self.client.search_logged_models(
            [run.info.experiment_id], f"source_run_id = '{run.info.run_id}' AND name = '{MODEL}'", max_results=1
        )
        return models[0] if models else None

    def _same(self, name: str, model: Model, run_id: str) -> list[int]:
        """Return the versions that are this model of this run, the first one first."""
        versions = self._versions(f"name = '{name}' AND run_id = '{run_id}'")
        return sorted(int(version.version) for version in versions if version.tags.get(MODEL_HASH) == model.hash)

    def _versions(self, query: str) -> list[Any]:
        page = self.client.search_model_versions(query)
        versions = list(page)
        while page.token:
            page = self.client.search_model_versions(query, page_token=page.token)
            versions.extend(page)
        return versions


def _key(name: str) -> str:
    return re.sub(r"[^\w\-. /]", "_", name)[:250]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return text[:6000]
