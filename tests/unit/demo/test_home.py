"""The demo's home: emptied only if a demo has made it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlops_provider.demo import home as demo_home
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.source import SourceHook
from flight_delay.product import product
from tests.factories.forge import git


def test_a_strangers_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder with files that no demo has made is refused, and every file is still there."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match=r"no demo has made it.*--home"):
        demo_home.make_anew(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_experiments_branch_goes_to_the_demos_own_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is configured, the demo commits to a repository in its home, which holds the product's code."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as inside a hook
    settings = demo_home.own_repository(tmp_path / "home", product)
    monkeypatch.setenv(
        "AIRFLOW_CONN_MLOPS_SOURCE", json.dumps({"conn_type": "mlops_source", "extra": {"remote": "/x"}})
    )
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    kept = SourceHook.of_product(product.name).repository(product.name)
    assert kept.remote == (tmp_path / "home" / demo_home.SOURCE).as_uri()
    monkeypatch.delenv("GIT_DIR")
    files = git(tmp_path / "home" / demo_home.SOURCE, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert {f"{kept.path}/product.py", f"{kept.path}/settings.json"} <= set(files)
    assert all(name.startswith("flight_delay/") and "__pycache__" not in name for name in files)


def test_a_demos_folder_is_made_anew(tmp_path: Path) -> None:
    """What an earlier demo left is gone, and the folder is known as a demo's; a missing one is made."""
    home = tmp_path / "var" / "demo"
    demo_home.make_anew(home)
    (home / "summary.json").write_text("{}")
    demo_home.make_anew(home)
    assert [file.name for file in home.iterdir()] == [demo_home.MARKER]
