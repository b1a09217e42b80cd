"""Probes look at a real product's records and services, and say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.cli.doctor import probes
from airflow_mlops_provider.cli.doctor.airflow_state import AirflowState
from airflow_mlops_provider.cli.doctor.probes import Installation
from airflow_mlops_provider.cli.doctor.records import seen_of
from airflow_mlops_provider.lifecycle.maturity.verdict import Light, Verdict, guarded
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.ports import free_port
from tests.factories.shop import ShopWorld

WELL = {"metadatabase": "healthy", "scheduler": "healthy", "triggerer": None, "dag_processor": "healthy"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopWorld]:
    """Two days, and a version that learned from them and is live, as the ledger says."""
    world = ShopWorld(tmp_path_factory.mktemp("shop"))
    version = world.learn()
    for status in (Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
        Ledger(FolderStore(world.root), world.name).move(version, status, reason="test", by="test")
    yield world
    world.close()


@pytest.fixture(autouse=True)
def settings(shop: ShopWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's artifact root, and a port at which nobody listens."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(shop.root))
    monkeypatch.setenv("AIRFLOW__MLOPS__SERVING_PORT", str(free_port()))


@pytest.fixture
def look(shop: ShopWorld) -> Callable[..., Verdict]:
    """Return a function that looks at the shop as it is now."""

    def probe(name: str, state: AirflowState | None = None) -> Verdict:
        store, unread = FolderStore(shop.root), list[str]()
        seen = seen_of(store, shop.product, unread)
        installation = Installation(store, state or AirflowState(WELL), unread)
        return guarded(lambda: probes.PROBES[name](seen, installation))

    return probe


@pytest.mark.parametrize("name", ["C2", "C4", "C5", "C6", "C7", "loaded", "chain"])
def test_what_is_there_is_green(look: Callable[..., Verdict], name: str) -> None:
    """With what was seen of it; the ledger's moves were made past MLflow, which is behind."""
    wanted = Light.YELLOW if name == "C6" else Light.GREEN
    assert look(name).light is wanted, look(name)


@pytest.mark.parametrize(
    ("name", "pattern", "why"),
    [
        ("C7", "{shop}/extract/*/manifest.json", "no record"),
        ("C7", "{shop}/train/*/manifest.json", "no record"),
        ("C6", "mlflow.db", "is gone"),
        ("loaded", "{shop}/feast/offline/takings/20240101*.parquet", "No such file"),
        ("C4", "{shop}/feast/online.db", "is gone"),
        ("chain", "{shop}/ledger/00000001.json", "ledger"),
    ],
)
def test_what_is_gone_is_off(shop: ShopWorld, look: Callable[..., Verdict], name: str, pattern: str, why: str) -> None:
    """Each says what it misses, and is well again once that is back."""
    gone = next(shop.root.glob(pattern.format(shop=shop.name)))
    gone.rename(gone.with_name("away"))
    verdict = look(name)
    gone.with_name("away").rename(gone)
    assert verdict.off
    assert why in verdict.evidence, verdict.evidence
    assert not look(name).off


def test_rows_that_are_there_twice_are_noticed(shop: ShopWorld, look: Callable[..., Verdict]) -> None:
    """Loading again must not add a row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = next((shop.root / shop.name / "feast" / "offline" / "takings").glob("*.parquet"))
    before = file.read_bytes()
    rows = pq.read_table(file)
    pq.write_table(pa.concat_tables([rows, rows]), file)
    verdict = look("loaded")
    file.write_bytes(before)
    assert verdict.off
    assert f"has {2 * len(rows)} rows" in verdict.evidence


def test_a_server_that_does_not_answer_is_off(look: Callable[..., Verdict]) -> None:
    """The ledger says that a version is live."""
    verdict = look("C8")
    assert verdict.off
    assert "v1 is live" in verdict.evidence
    assert look("latency").off


@pytest.mark.parametrize(
    ("state", "light", "why"),
    [
        (AirflowState(WELL), "yellow", "a run that succeeded"),
        (AirflowState({**WELL, "scheduler": "unhealthy"}), "red", "scheduler is unhealthy"),
        (AirflowState(WELL, ["dags/broken.py: No module named 'nowhere'"]), "red", "broken.py"),
        (AirflowState(WELL, runs={("{shop}_training", "asset_triggered", "success"): 2}), "green", "2 runs"),
        (AirflowState(WELL, runs={("{shop}_training", "asset_triggered", "failed"): 2}), "yellow", "0 runs"),
    ],
)
def test_airflow_is_well_or_not(
    shop: ShopWorld, look: Callable[..., Verdict], state: AirflowState, light: str, why: str
) -> None:
    """By its components, its DAG files, and the product's runs."""
    runs = {(dag_id.format(shop=shop.name), *key): count for (dag_id, *key), count in state.runs.items()}
    verdict = look("C3", AirflowState(state.health, state.errors, runs=runs))  # type: ignore[arg-type]
    assert verdict.light.value == light
    assert why in verdict.evidence


def test_monitoring_that_is_paused_is_off(shop: ShopWorld, look: Callable[..., Verdict]) -> None:
    """One that was never there yet is not; what its runs were started by counts for manual work."""
    name = f"{shop.name}_monitoring"
    assert look("C9", AirflowState(WELL, paused={name: True})).off
    assert look("C9", AirflowState(WELL, paused={name: False})).light is Light.YELLOW
    assert look("C9").light is Light.YELLOW
    runs = {(name, "scheduled", "success"): 3, (name, "manual", "success"): 1}
    assert "1 by hand" in look("by hand", AirflowState(WELL, runs=runs)).evidence


def test_a_changed_entry_of_the_ledger_is_noticed(shop: ShopWorld, look: Callable[..., Verdict]) -> None:
    """By its chain."""
    file: Path = shop.root / shop.name / "ledger" / "00000001.json"
    before = file.read_text()
    file.write_text(json.dumps({**json.loads(before), "reason": "another"}))
    verdict = look("chain")
    file.write_text(before)
    assert verdict.off
    assert "IntegrityError" in verdict.evidence
