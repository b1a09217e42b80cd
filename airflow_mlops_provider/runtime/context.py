"""What a job is given and what it gives back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import BeforeValidator

from airflow_mlops_provider.exceptions import ConfigurationError, ResultError, UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import Frozen, finite, plain
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion, Reference
from airflow_mlops_provider.lifecycle.trainer import Function
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.layout import result_key

if TYPE_CHECKING:
    import pandas as pd

#: What the one table of a dataset is called that has no name.
TABLE = "table"

InputsT = TypeVar("InputsT", bound=JobInputs)
SettingsT = TypeVar("SettingsT", bound=JobSettings)
ParamsT = TypeVar("ParamsT", bound=JobParams)


def kept(check: Callable[..., Any], value: Any, *name: str) -> Any:
    """Return what code handed back, made plain. :raises ResultError: naming what can't be kept."""
    try:
        return check(value, *name)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{error}; change the code that hands it back") from None


class JobResult(Frozen):
    """What a job hands back: what is worth saying about its result.

    :param facts: small JSON values for the reference.
    :param metrics: numbers for the manifest.
    :param seed: the seed that all randomness was drawn from, where there was any.
    :param passed, broken, page: a report's verdict, its reasons, and the file that a person reads.
    :param version: a model version's number.
    :param of: the model whose ``uri`` and ``hash`` the reference has instead of this job's own.
    :param makes: what was made, in a reader's words, where the job's definition can't tell.
    """

    facts: Annotated[dict[str, Any], BeforeValidator(lambda value: kept(plain, value, "facts"))] = {}
    metrics: Annotated[dict[str, float], BeforeValidator(lambda value: kept(finite, value))] = {}
    seed: int | None = None
    passed: bool | None = None
    broken: tuple[str, ...] = ()
    page: str | None = None
    version: int | None = None
    of: Model | ModelVersion | None = None
    makes: str | None = None


class JobContext(Generic[InputsT, SettingsT, ParamsT]):
    """A job's surroundings: what it is to do, its inputs, and a folder for its outputs.

    :ivar inputs, settings, params: what the specification gives, in the job's own types.
    :ivar folder: empty local folder; whatever lies in it at the end is the job's output.
    :ivar store: the artifact root.
    :ivar records: what jobs left in the artifact root, for a job that decides by it.
    :ivar product: the name under which results, records and versions are kept.
    :ivar by: on whose behalf this runs, as the ledger names it.
    :param given: the job's inputs as they have been looked at already.
    """

    def __init__(
        self, spec: JobSpec, folder: Path, takes: tuple[InputsT, SettingsT, ParamsT], given: Inputs, address: str = ""
    ) -> None:
        self.spec, self.folder, self.address = spec, folder, address
        self.inputs, self.settings, self.params = takes
        self.store, self.records = given.store, given.records
        self.product = spec.product
        self.by = spec.run.path or "a job outside Airflow"
        self.log = logging.getLogger(f"mlops.{spec.name}")
        self._given = given

    @property
    def interval(self) -> Interval:
        """The data interval. :raises ConfigurationError: if this job was given none."""
        if self.spec.interval is None:
            raise ConfigurationError(f"job {self.spec.job!r} needs a data interval")
        return self.spec.interval

    def call(self, code: str | Function) -> Callable[..., Any]:
        """Return the user's function that ``package.module:function`` names, or that goes by its source."""
        return load(code)

    def open(self, reference: Reference) -> Path:
        """Return a local folder with a reference's files, read-only by agreement. See :meth:`.Inputs.open`."""
        return self._given.open(reference)

    def read(self, reference: Reference, table: str) -> pd.DataFrame:
        """Return one table (``table.parquet``) of a reference. Columns and types as written. Raises as :meth:`file`."""
        import pandas as pd

        return pd.read_parquet(self.file(reference, table))

    def file(self, reference: Reference, table: str) -> Path:
        """Return the file of one table of a reference.

        A dataset that was made of one table without a name, of a file or by a function, has it under every name.

        :raises UnknownNameError: if there is none of that name; the message lists those that there are.
        """
        files = self.tables(reference)
        if table not in files and [*files] != [TABLE]:
            raise UnknownNameError(f"table in {reference.uri}", table, files)
        return files.get(table) or files[TABLE]

    def tables(self, reference: Reference) -> dict[str, Path]:
        """Return the files of a reference's tables, by name."""
        return {file.stem: file for file in sorted(self.open(reference).glob("*.parquet"))}

    def write(self, frame: pd.DataFrame, table: str) -> None:
        """Add a table to the outputs as ``table.parquet``, bytes the same for the same rows."""
        target = self.folder / f"{table}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(target, index=False)

    def checkpoints(self, of: str = "") -> Checkpoints:
        """Return how far this job's work has come; with ``force`` the first try begins anew.

        :param of: the address of one piece of the work, where it has several.
        """
        checkpoints = Checkpoints(self.store, result_key(self.spec, of or self.address))
        if self.spec.force and self.spec.run.try_number <= 1:
            checkpoints.clear()
        return checkpoints

    def local(self, *parts: str) -> Path:
        """Return a folder below the artifact root for what lives in place (Feast's stores, the server's state).

        :raises ConfigurationError: if the artifact root is no folder.
        """
        if not isinstance(self.store, FolderStore):
            raise ConfigurationError(f"{'/'.join(parts)} needs a folder as artifact root, not {self.spec.root}")
        folder = self.store.path("/".join((self.spec.product, *parts)))
        folder.mkdir(parents=True, exist_ok=True)
        return folder


AnyContext = JobContext[Any, Any, Any]
