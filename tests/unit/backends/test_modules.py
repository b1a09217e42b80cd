"""What a module imports is traced without running any of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.backends.modules import imported_by, source_file
from airflow_mlops_provider.exceptions import ConfigurationError

CODE = {
    "near_traced.py": "import json, far_traced.deep\nfrom airflow_mlops_provider import exceptions\n1 / 0\n",
    "far_traced/__init__.py": "",
    "far_traced/deep.py": "def late():\n    from near_traced import x\n    from . import beside\n",
    "far_traced/beside.py": "",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in CODE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_it_stays_in_the_packages_that_are_named() -> None:
    """Whether the import is at the top or inside of a function, and with the packages around it."""
    assert imported_by(["near_traced"], "near_traced".__eq__) == {"near_traced"}
    far = {"far_traced", "far_traced.deep", "far_traced.beside"}
    assert imported_by(["near_traced"], {"near_traced", "far_traced"}.__contains__) == {"near_traced", *far}
    ours = {"airflow_mlops_provider", "airflow_mlops_provider.exceptions"}
    assert imported_by(["near_traced"], "airflow_mlops_provider".__eq__) == {"near_traced", *ours}


def test_what_does_not_count_is_not_followed() -> None:
    """Nor what it would import."""
    packages = frozenset({"near_traced", "far_traced"}).__contains__
    found = imported_by(["near_traced"], packages, lambda name: name != "far_traced.deep")
    assert found == {"near_traced", "far_traced"}


def test_a_module_that_is_not_there_is_named() -> None:
    """With where it was looked for."""
    with pytest.raises(ConfigurationError, match="module 'nowhere_traced' is not to be found"):
        source_file("nowhere_traced")
