"""A Great Expectations context is read as the files that it is; names are names in it, never paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, SourceError, UnknownNameError
from airflow_mlops_provider.hooks.great_expectations import FileContext

NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "severity": "critical"}


def write(file: Path, value: Any) -> None:
    """Write a JSON file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A context without a configuration: two suites, one below a dot in its name, and a checkpoint of both."""
    write(tmp_path / "gx" / "expectations" / "eta" / "daily.json", {"name": "eta.daily", "expectations": [NOT_NULL]})
    exists = {"type": "expect_column_to_exist", "kwargs": {"column": "b"}}
    write(
        tmp_path / "gx" / "expectations" / "all.json", {"name": "all", "expectations": [{**NOT_NULL, "id": 1}, exists]}
    )
    for name, suite in (("v1", "eta.daily"), ("v2", "all")):
        write(tmp_path / "gx" / "validation_definitions" / f"{name}.json", {"name": name, "suite": {"name": suite}})
    definitions = [{"name": "v1", "id": "1"}, {"name": "v2", "id": "2"}]
    write(
        tmp_path / "gx" / "checkpoints" / "night.json",
        {"validation_definitions": definitions, "result_format": "BASIC"},
    )
    write(tmp_path / "secret.json", {"expectations": []})
    return tmp_path / "gx"


def test_suites_and_checkpoints(folder: Path) -> None:
    """A checkpoint expects what its suites do, what two of them say once."""
    daily = FileContext(str(folder)).suite("eta.daily")
    assert (daily.suites, [expectation.to_json() for expectation in daily.expectations]) == (("eta.daily",), [NOT_NULL])
    night = FileContext(str(folder)).checkpoint("night")
    assert (night.suites, night.result_format) == (("eta.daily", "all"), "BASIC")
    assert [expectation.type for expectation in night.expectations] == [NOT_NULL["type"], "expect_column_to_exist"]


@pytest.mark.parametrize("name", ["../../secret", "eta/daily", "eta", "", "*"])
def test_a_name_is_no_path(folder: Path, name: str) -> None:
    """What is not the name of a suite is told with those that are."""
    with pytest.raises(UnknownNameError, match=r"known: all, eta\.daily$"):
        FileContext(str(folder)).suite(name)
    with pytest.raises(UnknownNameError, match=r"unknown checkpoint in .*; known: night$"):
        FileContext(str(folder)).checkpoint(name)


def test_its_configuration_says_where(folder: Path, tmp_path: Path) -> None:
    """A store by another name in another folder is found; the project's folder does as well as the context's."""
    write(
        folder / "great_expectations.yml",
        "expectations_store_name: mine\n"
        "stores:\n  mine:\n    store_backend:\n"
        "      class_name: TupleFilesystemStoreBackend\n      base_directory: kept/suites/\n",
    )
    (folder / "expectations").rename(folder / "suites")
    (folder / "kept").mkdir()
    (folder / "suites").rename(folder / "kept" / "suites")
    for given in (folder, folder.parent):
        assert FileContext(str(given)).checkpoint("night").suites == ("eta.daily", "all")


@pytest.mark.parametrize(
    ("backend", "error", "said"),
    [
        (
            "class_name: DatabaseStoreBackend",
            ConfigurationError,
            "expectations_store is a DatabaseStoreBackend; read here",
        ),
        ("base_directory: ${SUITES}", ConfigurationError, "a variable; write it out"),
        ("class_name: [", SourceDataError, "is no YAML"),
    ],
)
def test_what_cannot_be_read_is_named(folder: Path, backend: str, error: type[Exception], said: str) -> None:
    """Where a context keeps its suites elsewhere, it is said what is read here."""
    write(folder / "great_expectations.yml", f"stores:\n  expectations_store:\n    store_backend:\n      {backend}\n")
    with pytest.raises(error, match=said):
        FileContext(str(folder)).suite("all")


def test_what_is_not_there_may_come(folder: Path) -> None:
    """A retry helps for a context that is not there yet, and not for one that is broken."""
    with pytest.raises(SourceError, match="no Great Expectations context is there"):
        FileContext(str(folder / "nothing")).suite("all")
    write(folder / "expectations" / "all.json", "{")
    with pytest.raises(SourceDataError, match=r"all\.json is no JSON"):
        FileContext(str(folder)).suite("all")
    write(folder / "expectations" / "all.json", {"expectation_suite_name": "of GX 0"})
    with pytest.raises(SourceDataError, match="no list of expectations, as suites of GX 1 do"):
        FileContext(str(folder)).suite("all")
