"""What is installed is known as Python's own look-up has it, and at once when it changes."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.environment import all_versions, versions


def install(folder: Path, name: str, number: str) -> None:
    """Leave what an installer leaves, in place of another version."""
    for old in folder.glob(f"{name}-*.dist-info"):
        (old / "METADATA").unlink()
        old.rmdir()
    (folder / f"{name}-{number}.dist-info").mkdir()
    (folder / f"{name}-{number}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {number}\n\nVersion: 0")


def test_every_distribution_is_as_python_knows_it() -> None:
    """However its name is spelt."""
    for name, number in all_versions().items():
        assert version(name) == number
    assert versions(["Scikit_Learn", "nobodys"]) == {"Scikit_Learn": version("scikit-learn"), "nobodys": "absent"}


def test_an_upgrade_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same process; of two folders on the path the first counts, as for an import."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (second, first):
        folder.mkdir()
        monkeypatch.syspath_prepend(folder)
    install(second, "any_thing", "1")
    assert versions(["any.thing"]) == {"any.thing": "1"}
    install(second, "any_thing", "2")
    assert versions(["any.thing"]) == {"any.thing": "2"}
    install(first, "any_thing", "0.9")
    assert versions(["any.thing"]) == {"any.thing": "0.9"}
