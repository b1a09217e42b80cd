"""What a job is given and what it gives back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from airflow_mlops_provider.exceptions import ConfigurationError, ResultError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.plain import finite, plain
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Reference, Report
from airflow_mlops_provider.runtime.code import load, load_product
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.runtime.trainer_override import with_trainer_override
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore, open_store
from airflow_mlops_provider.storage.records import Records

if TYPE_CHECKING:
    import pandas as pd


def kept(check: Callable[..., Any], value: Any, *name: str) -> Any:
    """Return what code handed back, made plain. :raises ResultError: naming what can't be kept."""
    try:
        return check(value, *name)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{error}; change the code that hands it back") from None


class JobResult(Frozen):
    """What a job hands back: the kind of its result, and what is worth saying about it.

    :param kind: the class of the reference to make of the job's folder.
    :param facts: small JSON values for the reference.
    :param metrics: numbers for the manifest.
    :param fields: further fields of the reference class (``passed``, ``name``, …).
    :param of: the model whose ``uri`` and ``hash`` the reference bears instead of this job's own.
    :param seed: the seed that all randomness was drawn from, where there was any.
    """

    kind: type[Dataset | Model | ModelVersion | Report] = Dataset
    facts: Annotated[dict[str, Any], BeforeValidator(lambda value: kept(plain, value, "facts"))] = {}
    metrics: Annotated[dict[str, float], BeforeValidator(lambda value: kept(finite, value))] = {}
    fields: dict[str, Any] = {}
    of: Model | ModelVersion | None = None
    seed: int | None = None


class JobContext:
    """A job's workplace: what was asked, the product, its inputs, and a folder for its outputs.

    :param folder: empty local folder; whatever lies in it at the end is the job's output.
    :param given: the job's inputs as they have been looked at already.
    """

    def __init__(self, spec: JobSpec, folder: Path, address: str = "", given: Inputs | None = None) -> None:
        self.spec = spec
        self.folder = folder
        self.address = address
        self.log = logging.getLogger(f"mlops.{spec.job}")
        self._given = given or Inputs(open_store(spec.root))

    @cached_property
    def product(self) -> MLProduct:
        """The product's declaration, with the trainer that this job is to use."""
        return with_trainer_override(load_product(self.spec.product), self.spec)

    @property
    def store(self) -> FolderStore | BucketStore:
        """The artifact root."""
        return self._given.store

    @property
    def records(self) -> Records:
        """What jobs left in the artifact root, for a job that decides by it."""
        return self._given.records

    @property
    def interval(self) -> Interval:
        """The data interval. :raises ConfigurationError: if this job was given none."""
        if self.spec.interval is None:
            raise ConfigurationError(f"job {self.spec.job!r} needs a data interval")
        return self.spec.interval

    @property
    def by(self) -> str:
        """On whose behalf this runs, as the ledger names it."""
        return self.spec.run.path or "a job outside Airflow"

    def call(self, code: str) -> Callable[..., Any]:
        """Return the user's function that ``package.module:function`` names."""
        return load(code)

    def input(self, role: str) -> Any:
        """Return the one reference given for a role. :raises ConfigurationError: if it is not exactly one."""
        given = self.inputs(role)
        if len(given) != 1:
            raise ConfigurationError(f"job {self.spec.job!r} takes one {role!r}, not {len(given)}")
        return given[0]

    def inputs(self, role: str) -> tuple[Any, ...]:
        """Return the references given for a role; none at all is an empty tuple."""
        given = self.spec.inputs.get(role, ())
        return given if isinstance(given, tuple) else (given,)

    def open(self, reference: Reference) -> Path:
        """Return a local folder with a reference's files, read-only by agreement, and checked against its hash.

        :raises IntegrityError: if the bytes are not those that were recorded, or are gone.
        """
        return self._given.open(reference)

    def read(self, reference: Reference, table: str) -> pd.DataFrame:
        """Return one table (``table.parquet``) of a reference. Columns and types as written."""
        import pandas as pd

        return pd.read_parquet(self.open(reference) / f"{table}.parquet")

    def write(self, frame: pd.DataFrame, table: str) -> None:
        """Add a table to the outputs as ``table.parquet``, bytes the same for the same rows."""
        target = self.folder / f"{table}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(target, index=False)

    def local(self, *parts: str) -> Path:
        """Return a folder below the artifact root for what lives in place (Feast's stores, the server's state).

        :raises ConfigurationError: if the artifact root is no folder.
        """
        if not isinstance(self.store, FolderStore):
            raise ConfigurationError(f"{'/'.join(parts)} needs a folder as artifact root, not {self.spec.root}")
        folder = self.store.path("/".join((self.spec.product, *parts)))
        folder.mkdir(parents=True, exist_ok=True)
        return folder
