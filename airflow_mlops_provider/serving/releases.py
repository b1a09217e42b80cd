"""Release pointers: one small file that says which version ought to serve, and one that says which one does."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import AwareDatetime, ValidationError

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.frozen import Frozen, canonical

Which = Literal["desired", "live"]


class Release(Frozen):
    """A model version that is to serve.

    :param model_uri: the folder that holds the model's files.
    :param model_hash: SHA-256 over their names and contents.
    :param version: the registry's number.
    :param requested_at: when it was asked for; asking again for the same version is a new release.
    """

    product: str
    model_uri: str
    model_hash: str
    version: int
    requested_at: AwareDatetime

    def same_model(self, other: Release | None) -> bool:
        """Say whether the other release names the same version with the same bytes."""
        return other is not None and (self.version, self.model_hash) == (other.version, other.model_hash)


class Store(Protocol):
    """The part of an artifact store that a pointer needs."""

    def read(self, key: str) -> bytes:
        """Return the bytes under a key. :raises FileNotFoundError: if there are none."""

    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key, replacing what was there in one step."""


def release_key(product: str, which: Which) -> str:
    """Return where a product's pointer lies below the artifact root."""
    return f"{product}/serving/{which}.json"


def request(store: Store, release: Release) -> None:
    """Ask the server for a release, in one step."""
    store.write(release_key(release.product, "desired"), canonical(release.to_json()))


def confirm(store: Store, release: Release) -> None:
    """Record that a release serves: what a server that starts anew falls back to."""
    store.write(release_key(release.product, "live"), canonical(release.to_json()))


def read_desired(store: Store, product: str) -> Release | None:
    """Return what the server is asked for; None if nothing yet. :raises IntegrityError: if the file is no release."""
    return _read(store, product, "desired")


def read_live(store: Store, product: str) -> Release | None:
    """Return what was confirmed last; None if nothing yet. :raises IntegrityError: if the file is no release."""
    return _read(store, product, "live")


def _read(store: Store, product: str, which: Which) -> Release | None:
    key = release_key(product, which)
    try:
        data = store.read(key)
    except FileNotFoundError:
        return None
    try:
        release = Release.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"{key} is no release: {str(error)[:300]}") from None
    if release.product != product:
        raise IntegrityError(f"{key} names product {release.product!r}, not {product!r}")
    return release
