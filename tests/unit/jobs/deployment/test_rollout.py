"""How calls of a version are scored where nobody but its training says it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow_mlops_provider.jobs.deployment import rollout
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion
from airflow_mlops_provider.runtime.context import JobContext
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.storage.artifacts import content_hash, open_store
from flight_delay.product import product

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def test_a_version_is_scored_as_it_was_trained(tmp_path: Path) -> None:
    """One that was trained with a product's columns takes these, also from who gives the product's name alone."""
    folder = tmp_path / product.name / "train" / f"{1:032x}" / f"{1:016x}"
    folder.mkdir(parents=True)
    (folder / "model").write_text("any")
    model = Model(uri=folder.as_uri(), hash=content_hash(folder))
    services, store = Services(landing="", mlflow=""), open_store(str(tmp_path))
    settings = {"scoring": product.scoring.to_json(), "trainer": product.training.trainer.to_json()}
    trained = JobSpec(job="train", product=product.name, settings=settings, root=str(tmp_path), services=services)
    manifest = Manifest(state="success", spec=trained, address=f"{1:064x}", result=model, started=NOW, ended=NOW)
    store.write(f"{product.name}/train/{1:032x}/manifest.json", manifest.model_dump_json().encode())
    version = ModelVersion(name=product.name, version=1, uri=model.uri, hash=model.hash)
    spec = JobSpec(job="reconcile", product=product.name, root=str(tmp_path), services=services)
    context = JobContext(spec, tmp_path, find_job(spec.job).read(spec), Inputs(store))
    assert rollout.scored_by(context, version) == product.scoring
