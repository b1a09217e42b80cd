"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_mlops_provider.storage.atomic import Remembered, atomic_create, atomic_write


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """The new content takes the old one's place, missing folders are made, and nothing else is left."""
    file = tmp_path / "a" / "b" / "state.json"
    atomic_write(file, b"old")
    atomic_write(file, b"new")
    assert file.read_bytes() == b"new"
    assert [*file.parent.iterdir()] == [file]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while the new content is flushed costs neither the old one nor room."""
    file = tmp_path / "state.json"
    atomic_write(file, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(file, b"new")
    assert file.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [file]


def test_what_exists_is_not_created(tmp_path: Path) -> None:
    """A file that is there is refused and keeps its content."""
    file = tmp_path / "0.json"
    atomic_create(file, b"first")
    with pytest.raises(FileExistsError):
        atomic_create(file, b"second")
    assert file.read_bytes() == b"first"
    assert [*tmp_path.iterdir()] == [file]


def test_a_file_is_read_when_it_changed_and_not_otherwise(tmp_path: Path) -> None:
    """A value is as of now: of a file that comes, is replaced and goes; without a change nothing is read."""
    file, read = tmp_path / "one.txt", list[str]()
    remembered = Remembered(file, lambda text: read.append(text) or text.upper())
    assert remembered.value() is None
    for text in ("one", "two", "six"):  # of one size each
        atomic_write(file, text.encode())
        assert [remembered.value() for _ in range(3)] == [text.upper()] * 3
    assert read == ["one", "two", "six"]
    file.unlink()
    assert remembered.value() is None
