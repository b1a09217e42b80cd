"""A job whose asker cannot see where its manifest will lie leaves a copy where the asker looks."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.failures import failed
from airflow_mlops_provider.storage.artifacts import MANIFEST, open_store
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.manifests import read_manifest

log = logging.getLogger("mlops.manifest_copy")


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
        manifest = failed(spec, "", error, began)
    keys = [key]
    if manifest.image and manifest.image == os.environ.get(runner.IMAGE_VARIABLE):  # else found: made in another one
        keys.append(image_key(spec, manifest.image))
    for folder in reversed(keys):
        open_store(spec.root).write(f"{folder}/{MANIFEST}", manifest.to_file())
    return manifest


def find(spec: JobSpec, image: str, environment: Mapping[str, str]) -> Manifest | None:
    """Return the manifest of finished work, if an earlier job of this kind tells what the image holds; else None.

    :param image: the image's digest.
    :param environment: credentials of the artifact root.
    """
    before = read_manifest(open_store(spec.root, environment), image_key(spec, image))
    return runner.look(spec, environment, before)[0] if before else None


def image_key(spec: JobSpec, image: str) -> str:
    """Return the folder, below the artifact root, of the last manifest that a job of this kind left in an image."""
    return product_key(spec.product, "images", digest(image)[:32], spec.job)
