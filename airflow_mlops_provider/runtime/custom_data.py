"""Tables of tasks that are none of our jobs: kept by their content, with a record like a job's."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.exceptions import ConfigurationError, ResultError, UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Manifest, Output
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset, Reference
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.runtime.runner import IMAGE_VARIABLE
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash, file_hash, files_of
from airflow_mlops_provider.storage.layout import content_key, result_key
from airflow_mlops_provider.storage.manifests import write_manifest

if TYPE_CHECKING:
    import pandas as pd

#: The folder of such results, and what a reader calls them.
CUSTOM, MAKES = "custom_task", "custom data"
#: What the tables take the place of, by its role; it gives facts, interval and the tables that are left as they are.
LIKE = "like"
#: Facts of delivered files and of rows are not true of changed tables any more.
_OUTDATED = {"files", "rows"}
_TABLE = re.compile(r"\w[\w-]{0,62}", re.ASCII)


def keep(store: ArtifactStore, spec: JobSpec, tables: Mapping[str, Any]) -> Dataset:
    """Keep tables as what a custom task made, and return their reference.

    The address follows from their content and what they were made of: the same again is the same result.

    :param spec: whose they are: what they were made of, and which task made them.
    :param tables: by name; with an input ``like``, only what that has.
    :raises ConfigurationError, UnknownNameError, ResultError: for a table that can't be kept.
    :raises IntegrityError: if an input is not what it claims to be.
    """
    began, given = datetime.now(UTC), Inputs(store)
    checked = given.resolved(spec, lambda role: (Dataset,) if role == LIKE else (Reference,))
    assert checked is not None  # here everything can be looked at
    given.check(checked)
    with tempfile.TemporaryDirectory(prefix="mlops-custom-") as scratch:
        folder = Path(scratch)
        like = next(iter(checked.given(LIKE)), None)
        if like is not None:
            shutil.copytree(given.open(like), folder, dirs_exist_ok=True)
            _check_names(tables, folder)
        rows = {name: write(table, name, folder) for name, table in tables.items()}
        content = content_hash(folder)
        address = digest({**checked.identity(), "content": content})
        key = result_key(checked, address)
        where = content_key(key, content)
        store.upload(folder, where)
        outputs = tuple(
            Output(name=file.relative_to(folder).as_posix(), sha256=file_hash(file), bytes=file.stat().st_size)
            for file in files_of(folder)
        )
    facts = {name: value for name, value in like.facts.items() if name not in _OUTDATED} if like else {}
    known = like.facts.get("rows") if like else None
    facts["rows"] = {**(known if isinstance(known, dict) else {}), **rows}
    result = Dataset(uri=f"{store.uri}/{where}", hash=content, facts=facts, interval=spec.interval)
    manifest = Manifest(
        state="success",
        spec=checked,
        address=address,
        makes=MAKES,
        result=result,
        outputs=outputs,
        packages=environment.all_versions(),
        image=os.environ.get(IMAGE_VARIABLE),
        hardware=environment.hardware(),
        external=given.external,
        started=began,
        ended=datetime.now(UTC),
    )
    write_manifest(store, key, manifest)
    return result


def read(store: ArtifactStore, reference: Reference) -> dict[str, pd.DataFrame]:
    """Return a dataset's tables by name.

    :raises ConfigurationError: if it is no dataset, or lies outside of the artifact root.
    :raises IntegrityError: if its bytes have not the hash that it claims.
    """
    import pandas as pd

    if not isinstance(reference, Dataset):
        raise ConfigurationError(f"{reference.uri} is a {reference.kind}, and has no tables to read; give a dataset")
    given = Inputs(store)  # keeps what it downloads as long as it is there itself
    folder = given.open(reference)
    return {file.stem: pd.read_parquet(file) for file in sorted(folder.glob("*.parquet"))}


def write(table: Any, name: str, folder: Path) -> int:
    """Write one table as ``name.parquet``, the same bytes for the same rows, and return how many those are."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not _TABLE.fullmatch(str(name)):
        raise ConfigurationError(f"{name!r} is no name for a table: letters, digits, _ and -, at most 63")
    if isinstance(table, pd.DataFrame):
        _check_index(table, name)
        arrow = pa.Table.from_pandas(table, preserve_index=False)
    elif hasattr(table, "__arrow_c_stream__"):
        arrow = pa.table(table)
    else:
        raise ResultError(f"table {name!r} is a {type(table).__name__}; give one of pandas, PyArrow, Polars or Arrow")
    pq.write_table(arrow, folder / f"{name}.parquet")
    return int(arrow.num_rows)


def _check_index(table: Any, name: str) -> None:
    named = [level for level in table.index.names if level is not None]
    if named:
        raise ResultError(
            f"table {name!r} has the index {', '.join(map(str, named))}, which would be lost: reset_index()"
        )


def _check_names(tables: Mapping[str, Any], folder: Path) -> None:
    known = [file.stem for file in folder.glob("*.parquet")]
    for name in tables:
        if name not in known:
            raise UnknownNameError("table", str(name), known)
