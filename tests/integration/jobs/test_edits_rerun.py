"""Real runs after an edit to our own code: what depends on it is done again, all else is found finished."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from tests.factories.code_copy import CodeCopy
from tests.factories.shop import ShopWorld
from tests.factories.shop_chain import STEPS, place, worked

EVERY = {f"{job} {number:02}" if times == 2 else job for job, times in STEPS.items() for number in range(1, times + 1)}
COMPUTED = {"compute 01", "compute 02"}
MODELLED = {"train", "evaluate", "predict", "performance"}


class Shop:
    """A small product whose steps are run by code that may be edited."""

    def __init__(self, folder: Path) -> None:
        self.world, self.runs = ShopWorld(folder / "shop"), 0
        (folder / "code").mkdir()
        self.code = CodeCopy(folder / "code")

    def rerun(self) -> dict[str, set[str]]:
        """Run every step in fresh processes, and return which did their work and which found it done."""
        self.runs += 1
        process = self.code.start("tests.factories.shop_chain")
        process.communicate(place(self.world, f"run {self.runs}"))
        assert process.returncode == 0
        files = (self.world.root / self.world.name).rglob("manifest.json")
        return worked((Manifest.from_file(file.read_bytes()) for file in files), f"run {self.runs}")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose steps ran once."""
    made = Shop(tmp_path_factory.mktemp("edits"))
    assert made.rerun() == {"worked": EVERY, "reused": set()}
    yield made
    made.world.close()


@pytest.mark.parametrize(
    ("module", "old", "new", "again"),
    [
        # The probe decides of features; as they come out the same, nothing that is made of them begins anew.
        ("jobs/features/leakage", "_TOLERANCE = 1e-9", "_TOLERANCE = 1e-8", COMPUTED),
        # Another seed is another model, and all that it says is said anew.
        ("jobs/training/fit", "trainer.seed, **given", "trainer.seed + 1, **given", MODELLED),
        # An upgrade that changes nothing.
        ("__init__", '__version__ = "', '__version__ = "99.', set()),
    ],
    ids=["leakage", "fit", "version"],
)  # fmt: skip
def test_an_edit_runs_again_what_depends_on_it(shop: Shop, module: str, old: str, new: str, again: set[str]) -> None:
    """By their manifests, exactly the dependent steps work; the others point to what was done before."""
    shop.code.edit(module, old, new)
    assert shop.rerun() == {"worked": again, "reused": EVERY - again}
