"""Tables that no job of ours made, as what an operator takes them: files, or what a query gives.

They are read when the task runs, kept below the artifact root under the hash of what was read, and recorded with where
they come from: whoever goes on from them goes on from these bytes, whatever lies there later.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, SourceError
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset, Model, Reference
from airflow_mlops_provider.runtime.context import TABLE
from airflow_mlops_provider.runtime.custom_data import write
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash
from airflow_mlops_provider.storage.layout import key_below, product_key

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.sdk import ObjectStoragePath

#: Rows that a database gives at once.
FETCHED = 50_000
MLFLOW_URIS = ("models:/", "runs:/")
_WILD = re.compile(r"[*?\[]")


@dataclass
class Files:
    """Parquet, CSV or JSON-lines files as one table; packed ones end in ``.gz`` beside that.

    :param path: a file, a pattern with ``*`` or ``**``, or a folder, in a file system or a bucket:
        ``s3://lake/events/{{ ds }}/*.parquet``. A folder ends in ``/`` and means all files directly in it, which are of
        one format; as elsewhere, names that begin with ``.`` or ``_`` are markers and what is still being written.
    :param conn_id: the Airflow connection to the bucket.
    """

    template_fields: ClassVar[Sequence[str]] = ("path",)
    path: str
    conn_id: str | None = None

    def __str__(self) -> str:
        return self.path

    def read(self) -> tuple[pa.Table, dict[str, Any]]:
        """Return the rows of all files in the order of their names, and each file's SHA-256.

        :raises SourceError: if there is no file.
        :raises SourceDataError: for a file that can't be read as what its name says, or that has other columns; for a
            folder of several formats.
        """
        import pyarrow as pa

        files = {file.path: file.read_bytes() for file in self._files()}
        if not files:
            hint = f": none directly in that folder; {self.path}**/*.parquet looks below it" if self.is_folder else ""
            raise SourceError(f"no file is there for {self.path}{hint}")
        tables = [_parsed(name, data) for name, data in files.items()]
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise SourceDataError(f"the files of {self.path} do not fit together: {error}") from None
        return table, {"files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}}

    def copies(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Yield each file by its path, where it lies on this machine: one of a bucket is copied to a folder meanwhile.

        :raises SourceError: if there is no file.
        """
        files = self._files()
        if not files:
            raise SourceError(f"no file is there for {self.path}")
        for file in files:
            if file.protocol in ("file", ""):
                yield file.path, Path(file.path)
                continue
            copy = folder / "copy"
            with file.open("rb") as data, copy.open("wb") as target:
                shutil.copyfileobj(data, target, 1 << 20)
            yield str(file), copy
            copy.unlink()

    @property
    def is_folder(self) -> bool:
        """Whether all that lies directly in a folder is meant."""
        return self.path.endswith("/")

    def _files(self) -> list[ObjectStoragePath]:
        if not self.is_folder:
            return self._matching(self.path)
        files = [file for file in self._matching(f"{self.path}*") if not file.name.startswith((".", "_"))]
        names = {file.suffix.lower(): file.name for file in reversed(files)}
        if len(names) > 1:
            raise SourceDataError(
                f"the folder {self.path} holds files of several formats, such as {', '.join(sorted(names.values()))}; "
                f"say which are meant: {self.path}*.parquet"
            )
        return files

    def _matching(self, path: str) -> list[ObjectStoragePath]:
        from airflow.sdk import ObjectStoragePath

        parts = path.split("/")
        wild = next((number for number, part in enumerate(parts) if _WILD.search(part)), len(parts))
        base, pattern = "/".join(parts[:wild]), "/".join(parts[wild:])
        try:
            root = ObjectStoragePath(base or ("/" if path.startswith("/") else "."), conn_id=self.conn_id)
            return sorted(file for file in (root.glob(pattern) if pattern else [root]) if file.is_file())
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"{self.path} can't be read here: {error}; for s3:// install apache-airflow-providers-amazon[s3fs]"
            ) from None


@dataclass
class Sql:
    """What a query gives, by any Airflow connection to a database.

    :param query: one statement; a template.
    :param parameters: its values, in the way of the database's driver: never put them into the text.
    """

    template_fields: ClassVar[Sequence[str]] = ("query", "parameters")
    conn_id: str
    query: str
    parameters: Any = field(default=None)

    def __str__(self) -> str:
        return f"{self.conn_id}: {' '.join(self.query.split())}"

    def read(self) -> tuple[pa.Table, dict[str, Any]]:
        """Return the rows, each column of the type that its values have, and the query.

        :raises SourceDataError: for a statement that gives no table, or a column of mixed values.
        """
        import pyarrow as pa
        from airflow.sdk import BaseHook

        with closing(BaseHook.get_connection(self.conn_id).get_hook().get_conn()) as connection:
            cursor = _executed(connection, self.query, self.parameters, str(self))
            names, rows = [column[0] for column in cursor.description], cursor.fetchall()
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
        try:
            return pa.table(dict(zip(names, map(pa.array, columns), strict=True))), {"query": str(self)}
        except pa.ArrowException as error:
            raise SourceDataError(f"{self}: a column's values are not of one kind: {error}") from None


def fetched(connection: Any, query: str, what: str) -> Iterator[pa.Table]:
    """Yield the rows of a query by a driver's connection, some at a time; values of no common kind as text.

    :param what: what messages call it.
    """
    import pyarrow as pa

    cursor = _executed(connection, query, None, what)
    names = [column[0] for column in cursor.description]
    yield pa.table({name: pa.nulls(0) for name in names})
    while rows := cursor.fetchmany(FETCHED):
        yield pa.table(dict(zip(names, map(_array, zip(*rows, strict=True)), strict=True)))


def _executed(connection: Any, query: str, parameters: Any, what: str) -> Any:
    cursor = connection.cursor()
    cursor.execute(query, *(() if parameters is None else (parameters,)))
    if cursor.description is None:
        raise SourceDataError(f"{what} gives no table; write a select")
    return cursor


def _array(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        array = pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return array.cast(pa.float64()) if pa.types.is_decimal(array.type) else array


def snapshot(source: Files | Sql, store: ArtifactStore, product: str, interval: Interval | None = None) -> Dataset:
    """Keep what a source holds now, and return the reference to it. The same content lies in the same place.

    Rows of entities that are to be forgotten are left out.
    """
    from airflow_mlops_provider.backends.tables.entities import ForgottenEntities

    table, facts = source.read()
    table = ForgottenEntities.of(store, product, interval).left(table, interval)
    with tempfile.TemporaryDirectory(prefix="mlops-snapshot-") as folder:
        write(table, TABLE, Path(folder))
        content = content_hash(Path(folder))
        key = product_key(product, "external", content)
        store.upload(Path(folder), key)
    return Dataset(
        uri=f"{store.uri}/{key}", hash=content, interval=interval, facts={"rows": {TABLE: len(table)}, **facts}
    )


def taken(value: Any, store: ArtifactStore, product: str, conn_id: str | None = None) -> Dataset | Model | None:
    """Keep what somebody has, and return the reference to it; None for what is no such thing.

    :param value: ``Files``, ``Sql``, the path of a table, or what MLflow calls a model.
    :param conn_id: the connection to that MLflow.
    """
    if isinstance(value, str) and value.startswith(MLFLOW_URIS):
        return MlflowHook.named(conn_id, product).model(value, store, product)
    source = Files(value) if isinstance(value, str) else value
    return snapshot(source, store, product) if isinstance(source, Files | Sql) else None


def write_to(target: Files, store: ArtifactStore, result: Reference, table: str) -> None:
    """Copy a table of a result to a file, whole or not at all; a path that ends in ``/`` is a folder.

    :raises SourceError: if that can't be written.
    """
    from airflow.sdk import ObjectStoragePath

    name = f"{target.path}{table}.parquet" if target.is_folder else target.path
    with tempfile.TemporaryDirectory(prefix="mlops-copy-") as scratch:
        data = (store.download(key_below(store, result.uri), Path(scratch)) / f"{table}.parquet").read_bytes()
    file = ObjectStoragePath(name, conn_id=target.conn_id)
    partial = file.parent / f".{file.name}.partial"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.protocol in ("file", ""):
            partial.write_bytes(data)
            partial.rename(file)
        else:  # a bucket shows an object only once it is whole
            file.write_bytes(data)
    except OSError as error:
        raise SourceError(f"{name} can't be written: {error}") from None


def _parsed(name: str, data: bytes) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv, json, parquet

    readers = {
        ".parquet": parquet.read_table,
        ".csv": csv.read_csv,
        ".jsonl": json.read_json,
        ".ndjson": json.read_json,
    }
    plain = name.lower().removesuffix(".gz")
    read = next((reader for suffix, reader in readers.items() if plain.endswith(suffix)), None)
    if read is None:
        raise ConfigurationError(f"{name} has none of the endings that tell how to read it: {', '.join(readers)}")
    try:
        return read(pa.BufferReader(data if plain == name.lower() else gzip.decompress(data)))
    except (pa.ArrowException, OSError, EOFError) as error:
        raise SourceDataError(f"{name} can't be read: {error}") from None
