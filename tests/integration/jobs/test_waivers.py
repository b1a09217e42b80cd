"""A version that failed a gate goes on by a person's word alone: in the ledger, known to MLflow, not for ever."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.cli.release.history import line
from airflow_mlops_provider.jobs.registry import standing
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.lifecycle.release.waivers import results_of
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.shop import DAYS, ShopWorld

SILENT = "def expectations(name):\n    return []\n"


class Shop(ShopWorld):
    """A product that demands more than its model can, loads it anew and measures it; its one version is rejected."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write("expectations.py", SILENT)
        text = (self.package / "product.py").read_text()
        gates = "Gates(min_metric=0.9999, max_calibration_error=1.0, loads=True, max_memory_mib=4000)"
        self.write("product.py", text.replace("Gates(min_metric=0.6)", gates))
        data = self.job("training_set", DAYS[-1], {"evaluate": 1}, features=tuple(map(self.engineer, DAYS)))
        valid = self.job("validate", DAYS[-1], {"what": "training"}, dataset=data)
        model = self.job("train", DAYS[-1], training_set=data)
        self.report = self.job("evaluate", DAYS[-1], model=model, training_set=data)
        self.version = self.job("register", params={"cause": "test"}, model=model, evaluation=self.report)
        self.given = {"version": self.version, "validation": valid, "evaluation": self.report}
        self.job("promote", **self.given)
        self.store = open_store(str(self.root))
        self.ledger = Ledger(self.store, self.name)
        self.uri = f"sqlite:///{self.root}/mlflow.db"
        self.mirror = Mirror(self.uri, self.name)

    def waive(self, gate: str = "metric", days: int = 0, by: str = "ada") -> Manifest:
        """Waive a gate for some days more than today."""
        params = {"gate": gate, "reason": "a fair is on", "until": f"{today() + timedelta(days=days)}", "by": by}
        return run(self.spec("waive", params=params, inputs={"version": self.version}))

    def ask(self, job: str, **inputs: Any) -> Manifest:
        """Run a job, and return its manifest."""
        return run(self.spec(job, inputs=inputs))

    def words(self) -> list[str]:
        """Return what happened to the version."""
        return [entry.became for entry in self.ledger.entries()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("waived"))
    yield made
    made.close()


def said(manifest: Manifest) -> str:
    """Return why a job failed."""
    assert manifest.failure
    return f"{manifest.failure.error}: {manifest.failure.message}"


def command(shop: Shop, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of ``airflow mlops`` on the shop's records."""
    settings = {"PRODUCTS_FOLDERS": shop.products, "ARTIFACT_ROOT": shop.root, "MLFLOW_URI": shop.uri}
    env = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONWARNINGS": "ignore", "COLUMNS": "400"}
    env |= {f"AIRFLOW__MLOPS__{name}": str(value) for name, value in settings.items()}
    whole = [sys.executable, "-m", "airflow", "mlops", *arguments]
    return subprocess.run(whole, env=env, capture_output=True, text=True, check=False)


def test_a_version_goes_on_by_a_persons_word(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Refused, waived, promoted, and refused again once the waiver has ended; each step is an entry."""
    results = results_of(shop.ledger.entries(), shop.version.version)
    judged = {"data", "metric", "baseline", "calibration", "memory", "loads", "skew", "card"}
    assert {name for name, result in results.items() if result.outcome == "passed"} == judged - {"metric"}
    assert 0 < (results["memory"].figure or 0) < 4000

    assert shop.ask("promote", **shop.given).state == "success"  # no waiver, no second decision
    for gate, why in (
        ("metrics", "UnknownNameError: unknown gate 'metrics'"),
        ("loads", "TransitionError: the gate 'loads' can't be waived"),
        ("baseline", "there is nothing to waive; not passed: metric"),
    ):
        assert why in said(shop.waive(gate))
    assert "has ended before it began" in said(shop.waive(days=-1))
    assert shop.words() == ["registered", "staging", "rejected"]

    refuse_what_only_a_file_says(shop)

    name = f"{shop.name}@{shop.version.version}"
    waived = command(shop, tmp_path, "waive", name, "metric", "--reason", "a fair is on", "--until", f"{today()}")
    assert waived.returncode == 0 and "It is still rejected: clear the task that promotes it" in waived.stdout, waived
    entry, who = shop.ledger.entries()[-1], getpass.getuser()
    assert (entry.by, entry.reason, entry.evidence["waiver"]["gate"]) == (who, "a fair is on", "metric")
    promoted = shop.ask("promote", **shop.given)
    assert promoted.result and promoted.result.facts["status"] == "production-ready", promoted.failure
    assert shop.words()[2:] == ["rejected", "waived metric", "staging", "production-ready"]
    assert f"waived by {who}" in shop.ledger.entries()[-1].reason
    shown = [line(entry) for entry in shop.ledger.entries()]
    assert [(became, gates) for _, _, became, _, gates, _ in shown][2:] == [
        ("rejected", "failed: metric"), ("waived metric", ""), ("staging", ""), ("production-ready", "waived: metric"),
    ]  # fmt: skip

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=1)

    monkeypatch.setattr(standing, "datetime", Tomorrow)
    assert "what was waived of it has ended: metric" in said(shop.ask("deploy", version=shop.version))
    assert shop.waive(days=9).state == "success"
    known = standing.CheckedLedger.trusted(shop_ledger := checked(shop))
    shop_ledger.check_gates(known, shop.version)  # waived again, it may go live


def today() -> date:
    """Return the day on which this is asked: a run of the tests may go on past midnight."""
    return datetime.now(UTC).date()


def refuse_what_only_a_file_says(shop: Shop) -> None:
    """An entry that whoever can write files made is not believed, and names its file; MLflow knows of none."""
    evidence = {"waiver": {"gate": "metric", "reason": "me", "until": f"{today()}", "by": "mallory"}}
    forged = shop.ledger.note(shop.version, reason="me", by="mallory", evidence=evidence)
    refused = said(shop.ask("promote", **shop.given))
    assert "nobody told MLflow that a gate was waived" in refused and shop.ledger.file(forged.sequence) in refused
    # Told before, as by a command that was killed before it had MLflow follow, it is believed.
    shop.mirror.announce_waiver(digest(evidence["waiver"]))
    assert checked(shop).trusted()[-1] == forged
    remove(shop, forged)


def remove(shop: Shop, entry: LedgerEntry) -> None:
    """Take an entry's file away."""
    (shop.root / shop.ledger.file(entry.sequence)).unlink()


def checked(shop: Shop) -> standing.CheckedLedger:
    """Return the ledger as a job sees it."""
    ledger = standing.CheckedLedger.__new__(standing.CheckedLedger)
    Ledger.__init__(ledger, shop.store, shop.name)
    ledger.mirror = shop.mirror
    return ledger
