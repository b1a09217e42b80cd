"""What happened in a replay: read back from manifests, ledger and Airflow's own records, never from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.artifacts import FolderStore
from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.cli.watch import Watch
from airflow_mlops_provider.jobs.intervals import current
from airflow_mlops_provider.jobs.runner import read_manifest
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.registry import LedgerEntry, live_version


def summarise(watch: Watch, product: MLProduct, root: Path) -> dict[str, Any]:
    """Return the whole record of a replay; the README explains each field."""
    store = FolderStore(root)
    entries = Ledger(store, product.name).entries()
    runs = [_run(watch, run) for run in watch.runs()]
    return {
        "product": product.name,
        "goal": product.goal,
        "metric": product.metric,
        "months": months(store, product),
        "versions": versions(store, product, entries),
        "drift_events": drift_events(watch, product, runs),
        "runs": runs,
        "live": live(entries),
        "tasks": len(watch.tasks()),
    }


def manifests(store: FolderStore, product: MLProduct, job: str) -> list[Manifest]:
    """Return the manifests of a job, in the order in which they ended."""
    keys = [key.rpartition("/")[0] for key in store.list(f"{product.name}/{job}") if key.endswith("/manifest.json")]
    found = [manifest for key in keys if (manifest := read_manifest(store, key))]
    return sorted(found, key=lambda manifest: manifest.ended)


def months(store: FolderStore, product: MLProduct) -> list[dict[str, Any]]:
    """Return one record per data interval: its data, its predictions, what monitoring saw."""
    predictions = {str(p.interval): p for p in current(store, product.name, "predictions")}
    seen: dict[str, dict[str, Report]] = {"drift": {}, "performance": {}}
    for job, found in seen.items():
        for manifest in manifests(store, product, job):
            if isinstance(manifest.result, Report):
                found[str(manifest.spec.interval)] = manifest.result
    records = []
    for dataset in current(store, product.name, "features"):
        name = str(dataset.interval)
        record: dict[str, Any] = {"interval": name, "rows": dataset.facts["rows"], "features": dataset.hash}
        if name in predictions:
            record["predictions"] = predictions[name].facts
        for job, reports in seen.items():
            if name in reports:
                report = reports[name]
                record[job] = {**report.facts, "passed": report.passed, "page": f"{report.uri}/{report.page}"}
        records.append(record)
    return records


def versions(store: FolderStore, product: MLProduct, entries: list[LedgerEntry]) -> list[dict[str, Any]]:
    """Return one record per model version: why it was trained, on what, how it compared, and each move it made."""
    reports = {m.result.facts["model"]: m.result for m in manifests(store, product, "evaluate") if m.result}
    records: dict[int, dict[str, Any]] = {}
    for entry in entries:
        version, report = entry.version, reports[entry.version.hash]
        record = records.setdefault(
            version.version,
            {
                "version": version.version,
                "cause": version.facts["cause"],
                "trained_on": version.facts["training_set"]["facts"]["train"],
                "training_rows": version.facts["training_set"]["facts"]["rows"]["train"],
                "training_set": version.facts["training_set"]["hash"],
                "mlflow_run": version.facts["run_id"],
                "evaluation": report.facts["evaluation"],
                "page": f"{report.uri}/{report.page}",  # type: ignore[union-attr]
                "moves": [],
            },
        )
        record["moves"].append({"status": entry.status.value, "reason": entry.reason, "at": entry.at.isoformat()})
    return list(records.values())


def drift_events(watch: Watch, product: MLProduct, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each drift event, its evidence, and the training runs that it started."""
    name = f"{product.name}.drift"
    return [
        {
            "at": event["timestamp"],
            **{key: event["extra"][key] for key in ("interval", "version", "crossed", "evidence")},
            "sent_by": event["source_run_id"],
            "started": [run["run_id"] for run in runs if event["id"] in [one["id"] for one in run["events"]]],
        }
        for event in watch.stack.asset_events(name_pattern=name)
        if event["name"] == name
    ]


def live(entries: list[LedgerEntry]) -> dict[str, Any] | None:
    """Return the version that is live and the reasons that took it there."""
    version = live_version(entries)
    if version is None:
        return None
    moves = [entry for entry in entries if entry.version.version == version.version]
    return {"version": version.version, "why": [f"{entry.status.value}: {entry.reason}" for entry in moves]}


def _run(watch: Watch, run: dict[str, Any]) -> dict[str, Any]:
    events = []
    if run["run_type"] == "asset_triggered":
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents"
        events = [{"id": one["id"], "asset": one["name"]} for one in watch.stack.get(path)["asset_events"]]
    return {
        "dag_id": run["dag_id"],
        "run_id": run["dag_run_id"],
        "run_type": run["run_type"],
        "triggered_by": run["triggered_by"],
        "state": run["state"],
        "interval_start": run["data_interval_start"],
        "events": events,
    }
