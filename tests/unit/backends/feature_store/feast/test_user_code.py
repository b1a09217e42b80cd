"""Code of a repository is imported as it stands there, and nothing of it is left in the process."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.feature_store.feast.user_code import importable


@pytest.fixture
def repositories(tmp_path: Path) -> list[Path]:
    """Two folders whose modules have the same names, one of them that of a module of Python's own."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        (folder / "rules").mkdir(parents=True)
        (folder / "rules" / "names.py").write_text(f"NAME = {folder.name!r}\n")
        (folder / "definitions.py").write_text("from rules.names import NAME\n")
        (folder / "json.py").write_text("WRONG = True\n")
    return folders


def test_two_repositories_with_the_same_names(repositories: list[Path]) -> None:
    """Each gets its own modules, its folder is the working directory, and Python's own modules stay."""
    before = (Path.cwd(), [*sys.path], sys.dont_write_bytecode, {*sys.modules})
    for folder in (*repositories, repositories[0]):
        with importable(folder):
            assert folder.name == importlib.import_module("definitions").NAME
            assert Path.cwd() == folder
            assert not hasattr(importlib.import_module("json"), "WRONG")
    assert (Path.cwd(), sys.path, sys.dont_write_bytecode) == before[:3]
    assert {*sys.modules} - before[3] == set()
    assert not list(repositories[0].rglob("*.pyc"))


def test_modules_of_others_come_back(repositories: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the same name that a DAG file has imported is the same one afterwards, also if the code fails."""
    (tmp_path / "definitions.py").write_text("NAME = 'the DAG'\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("definitions")
    (repositories[0] / "definitions.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError), importable(repositories[0]):
        importlib.import_module("definitions")
    assert importlib.import_module("definitions") is mine
    sys.modules.pop("definitions")
