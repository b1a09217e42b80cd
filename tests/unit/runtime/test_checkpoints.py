"""Checkpoints: the last whole one is found, a damaged one is passed over, and nothing is left when work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from tests.factories.tiny import TinyWorld

KEY = "shop/train/abc"


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """The checkpoints of one piece of work in a folder."""
    return Checkpoints(FolderStore(tmp_path), KEY)


def keep(checkpoints: Checkpoints, *epochs: int) -> None:
    """Keep one small file an epoch."""
    for epoch in epochs:
        checkpoints.save(epoch, lambda folder, epoch=epoch: (folder / "state").write_text(f"epoch {epoch}"))


def text(checkpoints: Checkpoints) -> tuple[int, str] | None:
    """Return the last epoch and what its file says."""
    found = checkpoints.latest()
    return (found[0], (found[1] / "state").read_text()) if found else None


def folders(checkpoints: Checkpoints) -> list[Path]:
    """Return where the checkpoints lie, oldest first."""
    return sorted((checkpoints.store.root / checkpoints.prefix).iterdir())


def test_the_last_two_are_kept(checkpoints: Checkpoints) -> None:
    """The newest epoch is found again, by another process too, and only the one before it is kept with it."""
    assert checkpoints.latest() is None
    keep(checkpoints, 1, 2, 11)
    assert text(checkpoints) == text(Checkpoints(checkpoints.store, KEY)) == (11, "epoch 11")
    assert [folder.name[:6] for folder in folders(checkpoints)] == ["000002", "000011"]


@pytest.mark.parametrize("damage", ["cut", "gone", "half", "empty"])
def test_a_damaged_one_is_passed_over(checkpoints: Checkpoints, damage: str) -> None:
    """A checkpoint that a kill or a fault left otherwise than it was gives way to the one before."""
    keep(checkpoints, 4, 5)
    file = folders(checkpoints)[-1] / "state"
    if damage == "gone":
        (file.parent / "other").touch()
        file.unlink()
    else:
        file.write_text({"cut": "epoch", "half": "epoch 4", "empty": ""}[damage])
    assert text(checkpoints) == (4, "epoch 4")
    keep(checkpoints, 5)
    assert text(checkpoints) == (5, "epoch 5")


def test_later_ones_that_were_passed_over_do_not_return(checkpoints: Checkpoints) -> None:
    """When an epoch is done again, later ones of the damaged past are taken away."""
    keep(checkpoints, 7, 8)
    (folders(checkpoints)[-1] / "state").write_text("damaged")
    keep(checkpoints, 3, 4)
    assert [folder.name[:6] for folder in folders(checkpoints)] == ["000003", "000004"]


def test_a_failed_write_leaves_the_one_before(checkpoints: Checkpoints) -> None:
    """A checkpoint whose writing fails is none."""
    keep(checkpoints, 1)

    def write(folder: Path) -> None:
        (folder / "state").write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        checkpoints.save(2, write)
    assert text(checkpoints) == (1, "epoch 1")


def test_other_work_has_others(checkpoints: Checkpoints) -> None:
    """Another address neither sees nor clears them; clearing is harmless where there are none."""
    keep(checkpoints, 1)
    other = Checkpoints(checkpoints.store, "shop/train/def")
    assert other.latest() is None
    other.clear()
    assert text(checkpoints) == (1, "epoch 1")
    checkpoints.clear()
    assert checkpoints.latest() is None


@pytest.mark.parametrize("outcome", ["success", "failed"])
def test_finished_work_leaves_none(tmp_path: Path, outcome: str) -> None:
    """A job that succeeds takes its checkpoints with it; one that fails leaves them to the next try."""
    world = TinyWorld(tmp_path, rules="def clean(raw, interval):\n    assert FAIL\n    return dict(raw)\n")
    world.write("rules.py", f"def clean(raw, interval):\n    assert {outcome == 'success'}\n    return dict(raw)\n")
    spec = world.cleaning()
    first = run(spec)
    assert first.state == outcome
    left = Checkpoints(FolderStore(world.root), f"{world.name}/clean/{first.address[:32]}")
    keep(left, 3)
    assert run(spec).state == outcome
    world.close()
    assert left.latest() is None if outcome == "success" else text(left) == (3, "epoch 3")
