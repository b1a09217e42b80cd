"""The user's code is found where it lies, also in a package without an ``__init__.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.runtime.code import is_importable, own_modules, roots, source_hashes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the path with a module, a package, and a folder of modules that says nothing of itself."""
    for name in ("flat_code.py", "whole_code/__init__.py", "bare_code/product.py", "bare_code/below/rules.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("import json\n")
    (tmp_path / "bare_code" / "clean.py").write_text("from bare_code.below import rules\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("module", ["flat_code", "whole_code", "bare_code.clean"])
def test_a_job_finds_what_the_dag_file_found(folder: Path, module: str) -> None:
    """The folder from which a module is imported goes to the job's path."""
    assert roots([module, "is_not_there"]) == [folder]


def test_a_package_needs_no_init(folder: Path) -> None:
    """It is the users' own, it is importable, and each of its modules counts in the address."""
    assert is_importable("bare_code")
    assert own_modules("import json\nimport pandas\nfrom bare_code import clean\n") == ["bare_code.clean"]
    assert set(source_hashes(["bare_code.clean"])) == {"bare_code.clean", "bare_code.below.rules"}
