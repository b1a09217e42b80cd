"""The demo's home: emptied only if a demo has made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.cli import demo
from airflow_mlops_provider.exceptions import ConfigurationError


def test_a_strangers_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder with files that no demo has made is refused, and every file is still there."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match=r"no demo has made it.*--home"):
        demo.make_anew(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_demos_folder_is_made_anew(tmp_path: Path) -> None:
    """What an earlier demo left is gone, and the folder is known as a demo's; a missing one is made."""
    home = tmp_path / "var" / "demo"
    demo.make_anew(home)
    (home / "summary.json").write_text("{}")
    demo.make_anew(home)
    assert [file.name for file in home.iterdir()] == [demo.MARK]
