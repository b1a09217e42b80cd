"""``airflow mlops lineage --dataset``: any dataset on record is known, whatever job made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.cli.lineage import uses
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest, Output
from airflow_mlops_provider.storage.records import Records
from flight_delay.product import product
from tests.factories.ui import World


def test_a_dataset_of_any_job_is_known_if_it_has_content(tmp_path: Path) -> None:
    """No list of jobs says what a dataset is: the record does, also that a job left nothing to look for."""
    world = World(tmp_path, product)
    predictions, loaded = (world.job(job, 1, month=1) for job in ("a_job_of_tomorrow", "load"))
    key = f"{predictions.uri.removeprefix(f'{world.store.uri}/').rpartition('/')[0]}/manifest.json"
    manifest = Manifest.model_validate_json(world.store.read(key))
    outputs = (Output(name="predictions.parquet", sha256="0" * 64, bytes=1),)
    world.store.write(key, manifest.model_copy(update={"outputs": outputs}).model_dump_json().encode())
    data, versions = uses(Records(world.store), predictions.hash[:12], None)
    assert [(entry.item.hash, entry.item.kind) for entry in data] == [(predictions.hash, "a job of tomorrow")]
    assert versions == []
    with pytest.raises(UnknownNameError, match="a job of tomorrow"):
        uses(Records(world.store), loaded.hash[:12], None)
