"""Records of a ledger's repairs: who had it put right, when and why, and what was done for it."""

from __future__ import annotations

from pydantic import AwareDatetime

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import read_all

RECORD = "repair.json"


class Repair(Frozen):
    """One repair. It is kept before anything is changed, and again at its end.

    :param what: what was found and done, a line for each.
    :param ended: None while it is not: the next call goes on with it.
    """

    at: AwareDatetime
    by: str
    reason: str
    what: tuple[str, ...]
    ended: AwareDatetime | None = None

    @property
    def name(self) -> str:
        """The name under which it is kept."""
        return f"{self.at:%Y%m%dT%H%M%S%f}Z"


def repair_key(product: str, name: str) -> str:
    """Return where the record of a repair lies."""
    return product_key(product, "repairs", name, RECORD)


def aside_key(product: str, name: str, key: str) -> str:
    """Return where a repair puts a file that does not belong where it lies."""
    return product_key(product, "repairs", name, "aside", key.removeprefix(f"{product}/"))


def repair_keys(store: ArtifactStore, product: str) -> list[str]:
    """Return where the records of a product's repairs lie, oldest first."""
    folder = product_key(product, "repairs")
    keys = (key for key in store.list(folder) if key.endswith(f"/{RECORD}"))
    return [key for key in keys if key.count("/") == folder.count("/") + 2]


def repairs(store: ArtifactStore, product: str) -> list[Repair]:
    """Return the repairs of a product's ledger, oldest first."""
    return read_all(store, repair_keys(store, product), Repair)
