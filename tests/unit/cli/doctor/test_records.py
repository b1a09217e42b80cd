"""Records are read side by side and for a limited time; what can't be read is named and hides nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from airflow_mlops_provider.backends.model_server.launcher import log_folder
from airflow_mlops_provider.cli.doctor.records import answers_alike, seen_of, together
from airflow_mlops_provider.lifecycle.maturity.verdict import Light
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import publish
from flight_delay.product import product
from tests.factories.record import leave
from tests.factories.tiny import DAY, TinyWorld
from tests.factories.ui import replayed


def test_who_hangs_is_not_waited_for() -> None:
    """What the others gave is there in time."""
    began = time.monotonic()
    given = together({"quick": lambda: 1, "hangs": lambda: time.sleep(60) or 2}, seconds=0.5)
    assert given == {"quick": 1}
    assert time.monotonic() - began < 5


def test_all_records_of_a_product_are_read(tmp_path: Path) -> None:
    """In the order in which they ended, with the ledger."""
    world = replayed(tmp_path, product)
    unread: list[str] = []
    seen = seen_of(world.store, product, unread)
    assert unread == []
    assert len(seen.manifests) == len(list(tmp_path.rglob("manifest.json")))
    ended = [manifest.ended for manifest in seen.manifests]
    assert ended == sorted(ended)
    assert seen.entries == world.ledger.entries()


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It hides no other; nor does a ledger with a gap hide the manifests."""
    world = replayed(tmp_path, product)
    broken = next(tmp_path.rglob("manifest.json"))
    broken.write_text("{")
    (tmp_path / world.ledger.file(2)).unlink()
    unread: list[str] = []
    seen = seen_of(world.store, product, unread)
    assert len(seen.manifests) == len(list(tmp_path.rglob("manifest.json"))) - 1
    assert seen.entries == []
    assert any(broken.relative_to(tmp_path).as_posix() in line for line in unread)
    assert any("IntegrityError" in line for line in unread)


@pytest.mark.parametrize(
    ("answers", "light"),
    [([], "yellow"), ([0.9], "yellow"), ([0.25], "green"), ([0.25, 0.9], "green"), ([0.5], "red")],
)
def test_rest_is_held_against_batch(
    make: Callable[..., TinyWorld], tmp_path: Path, answers: list[float], light: str
) -> None:
    """Of the same inputs, by the same version; other inputs say nothing, and a broken line of the log is left out."""
    world, asked = make(), {0.25: 1.0, 0.5: 1.0, 0.9: 7.0}
    frame = pd.DataFrame({"amount": [1.0, None], "prediction": [0.25, 0.75]})
    frame.to_parquet(tmp_path / "inputs.parquet")
    files = {"inputs.parquet": (tmp_path / "inputs.parquet").read_bytes()}
    store = FolderStore(world.root)
    publish(
        store,
        world.name,
        "predictions",
        leave(world.spec("predict"), Dataset, files, interval=DAY, facts={"version": 1}),
    )
    log = Path(log_folder(str(world.root), world.name)) / "2026-03-01.host-1772323200.000-1.jsonl"
    log.parent.mkdir(parents=True)
    lines = [{"inputs": {"amount": asked[answer]}, "prediction": answer, "version": 1} for answer in answers]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"broken')
    verdict = answers_alike(store, seen_of(store, world.product, []))
    assert verdict.light is Light(light), verdict
