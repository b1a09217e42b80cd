"""An existing Great Expectations file context, as what an operator takes expectations from: its JSON files, read only.

They are read when the task runs, without Great Expectations. What they say, not where they lie, goes into the job's
specification: an edited suite is validated again, a moved one is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, SourceError, UnknownNameError
from airflow_mlops_provider.lifecycle.expectation import Expectation

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

CONFIGURATION = "great_expectations.yml"
#: A context's own folder, in the folder that a team gives as the project's.
_BELOW = ("gx", "great_expectations")
#: In which store a context keeps what, and where that is unless its configuration says otherwise.
_STORES = {
    "suite": ("expectations_store", "expectations"),
    "checkpoint": ("checkpoint_store", "checkpoints"),
    "validation definition": ("validation_definition_store", "validation_definitions"),
}
#: By the class of a store in a bucket, its scheme.
_BUCKETS = {"TupleS3StoreBackend": "s3", "TupleGCSStoreBackend": "gs"}
_FILES = "TupleFilesystemStoreBackend"


@dataclass(frozen=True)
class Expected:
    """What a context expects of a table: the suites by name, all that they expect, and how results are to look."""

    suites: tuple[str, ...]
    expectations: tuple[Expectation, ...]
    result_format: Any = None


@dataclass(frozen=True)
class FileContext:
    """A Great Expectations file context.

    :param folder: its folder, that of the project around it, or a URI such as ``s3://quality/gx``; with or without
        ``great_expectations.yml``.
    :param conn_id: the Airflow connection to the object store.
    """

    folder: str
    conn_id: str | None = None

    def suite(self, name: str) -> Expected:
        """Return what a suite expects. :raises UnknownNameError: if there is none of that name; lists those known."""
        return Expected((name,), self._expectations(name))

    def checkpoint(self, name: str) -> Expected:
        """Return what the suites of a checkpoint's validation definitions expect. Its actions are not run.

        :raises UnknownNameError: if there is none of that name, or it names what is not there; lists those known.
        """
        checkpoint = self._read("checkpoint", name)
        definitions = [
            self._read("validation definition", named) for named in _names(checkpoint, "validation_definitions")
        ]
        suites = tuple(dict.fromkeys(suite for definition in definitions for suite in _names(definition, "suite")))
        every = [expectation for suite in suites for expectation in self._expectations(suite)]
        once = {expectation.model_dump_json(): expectation for expectation in every}
        return Expected(suites, tuple(once.values()), checkpoint.get("result_format"))

    def _expectations(self, name: str) -> tuple[Expectation, ...]:
        listed = self._read("suite", name).get("expectations")
        if not isinstance(listed, list):
            raise SourceDataError(f"suite {name!r} in {self.folder} has no list of expectations, as suites of GX 1 do")
        return tuple(map(Expectation.of, listed))

    def _read(self, kind: str, name: str) -> dict[str, Any]:
        folder = self._store(*_STORES[kind])
        files = {_name(file, folder): file for file in folder.glob("**/*.json")} if folder.is_dir() else {}
        if name not in files:
            raise UnknownNameError(f"{kind} in {folder}", name, files)
        try:
            value = json.loads(files[name].read_bytes())
        except ValueError as error:
            raise SourceDataError(f"{files[name]} is no JSON: {error}") from None
        if not isinstance(value, dict):
            raise SourceDataError(f"{files[name]} holds no {kind}")
        return value

    def _store(self, store: str, usual: str) -> ObjectStoragePath:
        """Return where the context keeps things of a kind."""
        root, configuration = self._configuration()
        named = (configuration.get("stores") or {}).get(configuration.get(f"{store}_name", store)) or {}
        backend = named.get("store_backend") or {}
        kind = backend.get("class_name", _FILES)
        if kind in _BUCKETS:
            path = f"{_BUCKETS[kind]}://{backend.get('bucket')}/{backend.get('prefix') or ''}"
            return self._path(path)
        if kind != _FILES:
            known = ", ".join([_FILES, *_BUCKETS])
            raise ConfigurationError(f"{root / CONFIGURATION}: {store} is a {kind}; read here are {known}")
        folder = str(backend.get("base_directory") or usual)
        if "$" in folder:
            raise ConfigurationError(f"{root / CONFIGURATION}: {store} lies in {folder!r}, a variable; write it out")
        return self._path(folder) if folder.startswith("/") else root / folder.rstrip("/")

    def _configuration(self) -> tuple[ObjectStoragePath, Mapping[str, Any]]:
        """Return the context's own folder, and what its configuration says; nothing where there is none."""
        import yaml

        given = self._path(self.folder)
        for folder in (given, *(given / name for name in _BELOW)):
            if (folder / CONFIGURATION).is_file():
                try:
                    return folder, yaml.safe_load((folder / CONFIGURATION).read_text()) or {}
                except yaml.YAMLError as error:
                    raise SourceDataError(f"{folder / CONFIGURATION} is no YAML: {error}") from None
        if not given.is_dir():
            raise SourceError(f"no Great Expectations context is there: {self.folder}")
        return given, {}

    def _path(self, path: str) -> ObjectStoragePath:
        from airflow.sdk import ObjectStoragePath

        try:
            return ObjectStoragePath(path.rstrip("/") or path, conn_id=self.conn_id)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"{path} can't be read here: {error}; for s3:// install apache-airflow-providers-amazon[s3fs]"
            ) from None


def _name(file: ObjectStoragePath, folder: ObjectStoragePath) -> str:
    """Return the name of what a file holds: Great Expectations makes folders of the dots in it."""
    return file.path.removeprefix(folder.path).strip("/").removesuffix(".json").replace("/", ".")


def _names(value: Mapping[str, Any], field: str) -> list[str]:
    """Return the names that a field points to: it holds one or several, each with name and identity."""
    given = value.get(field) or []
    pointers = given if isinstance(given, list) else [given]
    return [str(pointer["name"]) for pointer in pointers if isinstance(pointer, dict) and "name" in pointer]
