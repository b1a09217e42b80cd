"""Checks decide by records: seen, partly seen, or against what must never be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.maturity import principles, stages
from airflow_mlops_provider.lifecycle.maturity.seen import Check, ProductSeen, Seen
from airflow_mlops_provider.lifecycle.maturity.verdict import Light, Verdict, green, yellow
from airflow_mlops_provider.lifecycle.monitoring.feedback import DataChangeRequest
from airflow_mlops_provider.lifecycle.records.manifest import Commit, Failure, Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Reference, Report
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from flight_delay.product import product

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MAY = Interval(start=datetime(2013, 5, 1, tzinfo=UTC), end=datetime(2013, 6, 1, tzinfo=UTC))
DATA = Dataset(uri="file:///root/data", hash="d" * 64, facts={"rows": {"train": 9}})
MODEL = Model(uri="file:///root/model", hash="a" * 64)
FAILED = Failure(error="SourceDataError", message="no rows", retryable=False)
REPORT = {"report": "file:///root/report"}


def manifest(job: str, minute: int = 0, **fields: Any) -> Manifest:
    """Return what a job left, some minutes after the others."""
    given = {"inputs": fields.pop("inputs", {}), "params": fields.pop("params", {})}
    spec = JobSpec(
        job=job, product=product.name, interval=MAY, root="/root", services=Services(landing="", mlflow=""), **given
    )
    started = NOW + timedelta(minutes=minute)
    state = "failed" if "failure" in fields else "success"
    return Manifest(spec=spec, address="b" * 64, started=started, ended=started, state=state, **fields)


def report(*, passed: bool, **facts: Any) -> Report:
    """Return a report."""
    return Report(uri="file:///root/report", hash="c" * 64, passed=passed, broken=() if passed else ("x",), facts=facts)


def ledger(*moves: tuple[Status, dict[str, Any]], cause: str = "first", minute: int = 5) -> list[LedgerEntry]:
    """Return the entries by which the first version came where it is."""
    version = ModelVersion(name=product.name, version=1, uri=MODEL.uri, hash=MODEL.hash, facts={"cause": cause})
    at = NOW + timedelta(minutes=minute)
    return [
        LedgerEntry(
            sequence=number, version=version, status=status, was=None, reason="r", evidence=evidence, by="me", at=at
        )
        for number, (status, evidence) in enumerate(moves)
    ]


TRAINED = manifest(
    "train",
    2,
    result=MODEL,
    inputs={"training_set": DATA},
    code=Commit(commit="f" * 40, dirty=False),
    packages={"lightgbm": "4"},
)
VALID = manifest("validate", 1, inputs={"dataset": DATA}, result=report(passed=True, checked=7), params={"what": "raw"})
BROKEN = VALID.model_copy(update={"result": report(passed=False)})
REGISTERED = (Status.REGISTERED, {})
STAGED, READY, LIVE = (Status.STAGING, REPORT), (Status.PRODUCTION_READY, REPORT), (Status.LIVE, {})
EXTRACTED = manifest("extract", result=DATA)
AGAIN = TRAINED.model_copy(update={"original": "file:///root/first"})
ANSWERED = DataChangeRequest(product=product.name, to="de", what="wind", by="me", at=NOW, state="closed", answer="4f2a")


def of(*manifests: Manifest, entries: Any = (), requests: Any = ()) -> ProductSeen:
    """Return a product with these records."""
    return ProductSeen(product, manifests, entries, requests)


def light(check: Check, seen: ProductSeen, **probes: Verdict) -> str:
    """Return what a check comes to."""
    return check(Seen(probes, [seen])).light.value


@pytest.mark.parametrize(
    ("check", "seen", "wanted"),
    [
        (principles.resumes, of(EXTRACTED), "yellow"),
        (principles.resumes, of(EXTRACTED.model_copy(update={"reused": True})), "green"),
        (principles.reproducible, of(TRAINED), "yellow"),
        (principles.reproducible, of(TRAINED, entries=ledger(REGISTERED)), "yellow"),
        (principles.reproducible, of(TRAINED, AGAIN, entries=ledger(REGISTERED)), "green"),
        (
            principles.reproducible,
            of(TRAINED.model_copy(update={"code": Commit()}), entries=ledger(REGISTERED)),
            "red",
        ),
        (principles.continuous, of(entries=ledger(REGISTERED, STAGED, READY)), "yellow"),
        (principles.continuous, of(entries=ledger(REGISTERED, STAGED, READY, cause="drift")), "green"),
        (principles.continuous, of(entries=ledger(REGISTERED, STAGED, (Status.PRODUCTION_READY, {}))), "red"),
        (principles.data_first, of(), "yellow"),
        (principles.data_first, of(entries=ledger(REGISTERED, STAGED, READY)), "green"),
        (principles.data_first, of(entries=ledger(REGISTERED, READY, STAGED)), "red"),
        (principles.data_first, of(entries=ledger(REGISTERED, (Status.STAGING, {}), READY)), "red"),
        (principles.one_action, of(entries=ledger(REGISTERED, STAGED, READY, LIVE)), "yellow"),
        (principles.one_action, of(entries=ledger(READY, LIVE, (Status.PRODUCTION_READY, {"rollback": 1}))), "green"),
        (principles.quick, of(TRAINED, entries=ledger(LIVE)), "green"),
        (principles.quick, of(TRAINED, entries=ledger(LIVE, minute=60)), "yellow"),
        (principles.heard, of(), "yellow"),
        (principles.heard, of(requests=[ANSWERED]), "green"),
        (principles.sized, of(), "yellow"),
        (principles.sized, of(manifest("train", failure=FAILED.model_copy(update={"error": "EvictedError"}))), "green"),
        (principles.retrained, of(entries=ledger(REGISTERED)), "yellow"),
        (principles.retrained, of(entries=ledger(REGISTERED, cause="features")), "green"),
        (stages.idempotent, of(EXTRACTED), "yellow"),
        (stages.idempotent, of(EXTRACTED, EXTRACTED), "green"),
        (stages.ruled("clean"), of(), "yellow"),
        (stages.ruled("clean"), of(manifest("clean", result=DATA)), "green"),
        (stages.ruled("clean"), of(manifest("clean", failure=FAILED)), "red"),
        (stages.connected, of(), "yellow"),
        (stages.connected, of(manifest("extract", failure=FAILED)), "red"),
        (stages.data_proven, of(EXTRACTED, VALID), "yellow"),
        (stages.data_proven, of(EXTRACTED, VALID, manifest("compute", result=DATA)), "green"),
        (stages.data_proven, of(EXTRACTED, BROKEN, manifest("compute", result=DATA)), "red"),
        (stages.gated, of(TRAINED), "yellow"),
        (stages.gated, of(VALID, TRAINED), "green"),
        (stages.gated, of(BROKEN, TRAINED), "red"),
        (stages.gated, of(TRAINED, VALID.model_copy(update={"ended": NOW + timedelta(hours=1)})), "red"),
        (stages.split, of(VALID, TRAINED, entries=ledger(REGISTERED)), "green"),
        (stages.split, of(TRAINED, entries=ledger(REGISTERED)), "yellow"),
        (stages.searched, of(manifest("conclude", result=report(passed=False, trials=6))), "green"),
        (stages.registered, of(entries=ledger(REGISTERED)), "yellow"),
        (stages.handed_over, of(entries=ledger(READY)), "yellow"),
        (stages.handed_over, of(entries=ledger(READY, LIVE)), "green"),
        (stages.stated, of(), "green"),
    ],
)
def test_records_decide(check: Check, seen: ProductSeen, wanted: str) -> None:
    """Green what was seen, yellow what was not, red what failed or must not be."""
    assert light(check, seen) == wanted, check(Seen({}, [seen]))


def test_a_goal_without_a_kpi_is_partly_stated() -> None:
    """Also where nothing at all is said of the business."""
    bare = product.model_copy(update={"business": None})
    verdict = stages.stated(Seen({}, [replace(of(), product=bare)]))
    assert verdict.light is Light.YELLOW
    assert "KPI" in verdict.evidence


def test_an_export_counts_once_ci_was_seen() -> None:
    """A commit that nobody has built is half of it."""
    exported: Reference = report(passed=True, state="committed", commit="f" * 40)
    seen = of(manifest("export_settings", result=exported))
    assert light(stages.exported, seen, C1=green("ran")) == "green"
    assert light(stages.exported, seen, C1=yellow("configured")) == "yellow"


@pytest.mark.parametrize("check", [stages.usable, principles.worth, principles.recorded, stages.evaluated])
def test_the_worst_of_several_products_is_shown(check: Callable[[Seen], Verdict]) -> None:
    """With its name; and one that can't be used is red."""
    other = replace(of(), product=product.model_copy(update={"name": "other"}))
    verdict = check(Seen({}, [of(), other], ["product.py:3: ConfigurationError"]))
    assert verdict.off == (check is stages.usable)
    assert verdict.off or verdict.evidence.startswith("flight_delay: ")
