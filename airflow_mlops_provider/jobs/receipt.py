"""A job whose asker cannot see where its manifest will lie leaves a copy where the asker looks."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow_mlops_provider.backends.artifacts import MANIFEST, open_store
from airflow_mlops_provider.jobs import runner
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.spec import JobSpec

log = logging.getLogger("mlops.receipt")


def run(spec: JobSpec, key: str) -> Manifest:
    """Run a job to its very end, then leave a copy of its manifest, and return it.

    What fails before there could be a manifest (the product is not in the image, a package is missing) is told, too.

    :param key: folder below the artifact root for the copy.
    """
    began = datetime.now(UTC)
    try:
        manifest = runner.run(spec)
    except Exception as error:  # whatever keeps a job from its work, whoever asked must learn of it
        log.exception("%s could not begin", spec.job)
        failure = runner.describe(error)
        manifest = Manifest(
            state="failed", spec=spec, address="", failure=failure, started=began, ended=datetime.now(UTC)
        )
    open_store(spec.root).write(f"{key}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
    return manifest
