"""A team's Feast repository, as jobs use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime.arguments import JobSettings
from airflow_mlops_provider.runtime.context import TABLE, AnyContext
from airflow_mlops_provider.runtime.definition import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

#: What a team's repository uses beside these is the team's.
PACKAGES = ("feast", *TABLES)


class RepositorySettings(JobSettings):
    """:param repository: the folder of a ``feature_store.yaml``, or that file, where the job runs."""

    declared: ClassVar[bool] = False
    repository: str

    def open(self) -> FeastRepository:
        """Return the repository; its secrets are in the job's environment."""
        return FeastRepository(Path(self.repository))


def only_table(context: AnyContext, dataset: Dataset) -> pa.Table:
    """Return a dataset's ``table``, or the only one that it has. :raises UnknownNameError: if it has others."""
    import pyarrow.parquet as pq

    files = {file.stem: file for file in sorted(context.open(dataset).glob("*.parquet"))}
    file = files.get(TABLE) or (next(iter(files.values())) if len(files) == 1 else None)
    if file is None:
        raise UnknownNameError(f"table in {dataset.uri}", TABLE, files)
    return pq.read_table(file)
