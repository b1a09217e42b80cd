"""The release pointer: one small file that names the version that should serve, and a candidate that may beside it.

The ledger says which ones may.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import AwareDatetime, Field

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.frozen import Frozen, canonical
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import parse_record

NONE = b"null"


class Wanted(Frozen):
    """A model version that a server is to load.

    :param model_uri: the folder that holds the model's files.
    :param model_hash: SHA-256 over their names and contents.
    :param version: the registry's number.
    :param requested_at: when it was requested; another request for the same version is a new release.
    """

    product: str
    model_uri: str
    model_hash: str
    version: int
    requested_at: AwareDatetime

    @classmethod
    def of(cls, version: ModelVersion, **fields: Any) -> Self:
        """Return what asks for a version, now if ``fields`` name no other time."""
        named = {"product": version.name, "version": version.version}
        files = {"model_uri": version.uri, "model_hash": version.hash}
        return cls(**{**named, **files, "requested_at": datetime.now(UTC), **fields})

    @property
    def model(self) -> ModelVersion:
        return ModelVersion(name=self.product, version=self.version, uri=self.model_uri, hash=self.model_hash)

    def same_model(self, other: Wanted | None) -> bool:
        """Say whether the other names the same version with the same bytes at the same place."""
        return other is not None and self.model == other.model


class CandidateRelease(Wanted):
    """A version that is to predict beside the one that serves.

    :param mode: in shadow, or as a canary.
    :param share: of calls that a canary answers, from 0 to 1.
    """

    mode: Status
    share: float = Field(ge=0, le=1)


class Release(Wanted):
    """The version that is to serve. :param candidate: the one that is to be judged beside it, if there is one."""

    candidate: CandidateRelease | None = None


def request(store: ArtifactStore, product: str, release: Release | None) -> None:
    """Point the server at a release, or at none any more, in one step."""
    store.write(_key(product), canonical(release.to_json()) if release else NONE)


def read_desired(store: ArtifactStore, product: str) -> Release | None:
    """Return the release that should serve; None if none should. :raises IntegrityError: if the file is no release."""
    key = _key(product)
    try:
        data = store.read(key)
    except FileNotFoundError:
        return None
    if data == NONE:
        return None
    release = parse_record(key, data, Release)
    if release.product != product:
        raise IntegrityError(f"{key} names product {release.product!r}, not {product!r}")
    return release


def _key(product: str) -> str:
    return product_key(product, "serving", "desired.json")
