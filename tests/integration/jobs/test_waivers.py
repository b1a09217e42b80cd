"""A version that failed a gate goes on by a person's word alone: in the ledger, known to MLflow, not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.jobs.registry import standing
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.lifecycle.release.waivers import results_of
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.shop import DAYS, ShopWorld

TODAY = datetime.now(UTC).date()
SILENT = "def expectations(name):\n    return []\n"


class Shop(ShopWorld):
    """A product that demands more than its model can, loads it anew and measures it; its one version is rejected."""

    def __init__(self, folder: Any) -> None:
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
        self.mirror = Mirror(f"sqlite:///{self.root}/mlflow.db", self.name)

    def waive(self, gate: str = "metric", days: int = 0, by: str = "ada") -> Manifest:
        """Waive a gate for some days more than today."""
        params = {"gate": gate, "reason": "a fair is on", "until": f"{TODAY + timedelta(days=days)}", "by": by}
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


def test_a_version_goes_on_by_a_persons_word(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, waived, promoted, and refused again once the waiver has ended; each step is an entry."""
    results = results_of(shop.ledger.entries(), shop.version.version)
    judged = {"data", "metric", "baseline", "calibration", "memory", "loads", "skew"}
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

    waived = shop.waive()
    assert waived.state == "success" and waived.result, waived.failure
    entry = shop.ledger.entries()[-1]
    assert (entry.by, entry.reason, entry.evidence["waiver"]["gate"]) == ("ada", "a fair is on", "metric")
    promoted = shop.ask("promote", **shop.given)
    assert promoted.result and promoted.result.facts["status"] == "production-ready", promoted.failure
    assert shop.words()[2:] == ["rejected", "waived metric", "staging", "production-ready"]
    assert "waived by ada" in shop.ledger.entries()[-1].reason

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=1)

    monkeypatch.setattr(standing, "datetime", Tomorrow)
    assert "what was waived of it has ended: metric" in said(shop.ask("deploy", version=shop.version))
    assert shop.waive(days=9).state == "success"
    known = standing.CheckedLedger.trusted(shop_ledger := checked(shop))
    shop_ledger.check_gates(known, shop.version)  # waived again, it may go live


def refuse_what_only_a_file_says(shop: Shop) -> None:
    """An entry that whoever can write files made is not believed, and names its file; MLflow knows of none."""
    evidence = {"waiver": {"gate": "metric", "reason": "me", "until": f"{TODAY}", "by": "mallory"}}
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
