"""What happened in a replay: read back from manifests, ledger and Airflow's own records, never from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_mlops_provider.demo import AIRFLOW_PORT, MLFLOW_PORT
from airflow_mlops_provider.demo.watch import Watch
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Reference, Report
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, live_version
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.layout import record_kind
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.record_files import read_all

#: The task that decides whether a training is due.
PLAN = "features.plan"


def summarise(watch: Watch, product: MLProduct, root: Path) -> dict[str, Any]:
    """Return the whole record of a replay; the README explains each field."""
    store = FolderStore(root)
    entries = Ledger(store, product.name).entries()
    runs = [_run(watch, run) for run in watch.runs()]
    return {
        "product": product.name,
        "goal": product.goal,
        "metric": product.metric.name,
        "limits": product.monitoring.to_json(),
        "months": months(store, product),
        "versions": versions(store, product, entries),
        "decisions": decisions(watch, product, runs),
        "drift_events": drift_events(watch, product, runs),
        "experiment": experiment(store, product),
        "runs": runs,
        "live": live(entries),
        "links": links(product),
        "tasks": len(watch.tasks()),
    }


def links(product: MLProduct) -> dict[str, str]:
    """Return where ``make up`` serves everything that just happened."""
    airflow, mlflow = f"http://127.0.0.1:{AIRFLOW_PORT}", f"http://127.0.0.1:{MLFLOW_PORT}"
    return {
        "airflow": airflow,
        "mlops": f"{airflow}/mlops/",
        "mlflow": mlflow,
        "mlflow_model": f"{mlflow}/#/models/{product.name}",
        "model_server": f"http://{product.serving.host}:{product.serving.port}",
    }


def manifests(store: FolderStore, product: MLProduct, job: str) -> list[Manifest]:
    """Return the manifests of a job, in the order in which they ended."""
    keys = [key for key in store.list(f"{product.name}/{job}") if record_kind(key) in {"newest", "reused"}]
    return sorted(read_all(store, keys, Manifest), key=lambda manifest: manifest.ended)


def months(store: FolderStore, product: MLProduct) -> list[dict[str, Any]]:
    """Return one record per data interval: its data, its predictions, what validation and monitoring saw."""
    predictions = {str(p.interval): p for p in current(store, product.name, "predictions")}
    seen = {
        "validation": _reports(store, product, "validate", what="raw"),
        "drift": _reports(store, product, "drift"),
        "performance": _reports(store, product, "performance"),
    }
    records = []
    for dataset in current(store, product.name, "features"):
        name = str(dataset.interval)
        record: dict[str, Any] = {"interval": name, "rows": dataset.facts["rows"], "features": dataset.hash}
        if name in predictions:
            record["predictions"] = predictions[name].facts
        record.update({job: _report_facts(reports[name]) for job, reports in seen.items() if name in reports})
        records.append(record)
    return records


def versions(store: FolderStore, product: MLProduct, entries: list[LedgerEntry]) -> list[dict[str, Any]]:
    """Return one record per model version: why it was trained, on what, how it compared, and each move it made."""
    reports = {m.result.facts["model"]: m.result for m in manifests(store, product, "evaluate") if m.result}
    valid = {m.result.facts["dataset"]: m.result for m in manifests(store, product, "validate") if m.result}
    records: dict[int, dict[str, Any]] = {}
    for entry in entries:
        version, report, data = entry.version, reports[entry.version.hash], entry.version.facts["training_set"]
        record = records.setdefault(
            version.version,
            {
                "version": version.version,
                "cause": version.facts["cause"],
                "trained_on": data["facts"]["train"],
                "training_rows": data["facts"]["rows"]["train"],
                "training_set": data["hash"],
                "validation": _report_facts(valid[data["hash"]]),
                "mlflow_run": version.facts["run_id"],
                "mlflow_page": f"{links(product)['mlflow']}/#/runs/{version.facts['run_id']}",
                "evaluation": report.facts["evaluation"],
                "page": _report_facts(report)["page"],
                "moves": [],
            },
        )
        move = {"status": entry.status.value, "reason": entry.reason, "at": entry.at.isoformat(), "by": entry.by}
        if seen := entry.evidence.get("observed"):
            move["observed"] = seen
        record["moves"].append(move)
    return list(records.values())


def decisions(watch: Watch, product: MLProduct, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what every run of the training pipeline decided, and why: also that nothing was to be done."""
    planned = [run for run in runs if run["dag_id"] == f"{product.name}_training" and run["state"] == "success"]
    return [_decision(watch, run) for run in planned]


def drift_events(watch: Watch, product: MLProduct, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each drift event, its evidence, and the training runs that it started."""
    name = f"{product.name}.drift"
    return [
        {
            "at": event["timestamp"],
            **{key: event["extra"][key] for key in ("interval", "version", "crossed", "evidence")},
            "sent_by": event["source_run_id"],
            "started": [run["run_id"] for run in runs if event["id"] in [cause["id"] for cause in run["events"]]],
        }
        for event in watch.stack.api.asset_events(name_pattern=name)
        if event["name"] == name
    ]


def experiment(store: FolderStore, product: MLProduct) -> dict[str, Any] | None:
    """Return what the last search came to, and where its winner went; None if there was none."""
    concluded = [m for m in manifests(store, product, "conclude") if isinstance(m.result, Report)]
    if not concluded:
        return None
    report = concluded[-1].result
    assert isinstance(report, Report)
    exports = [m.result.facts for m in manifests(store, product, "export_settings") if m.result]
    export = next((facts for facts in reversed(exports) if facts.get("study") == report.facts["study"]), {})
    return {
        **_report_facts(report),
        "run_id": concluded[-1].spec.run.run_id,
        "not_exported": list(report.broken),
        **{name: export.get(name) for name in ("remote", "branch", "commit")},
    }


def live(entries: list[LedgerEntry]) -> dict[str, Any] | None:
    """Return the version that is live and the reasons that took it there."""
    version = live_version(entries)
    if version is None:
        return None
    moves = [entry for entry in entries if entry.version.version == version.version]
    return {"version": version.version, "why": [f"{entry.status.value}: {entry.reason}" for entry in moves]}


def _reports(store: FolderStore, product: MLProduct, job: str, **params: str) -> dict[str, Reference]:
    """Return a job's newest report of each interval, by the interval's name."""
    matching = (m for m in manifests(store, product, job) if params.items() <= m.spec.params.items())
    return {str(m.spec.interval): m.result for m in matching if m.result}


def _report_facts(report: Reference) -> dict[str, Any]:
    assert isinstance(report, Report)
    return {**report.facts, "passed": report.passed, "page": f"{report.uri}/{report.page}"}


def _decision(watch: Watch, run: dict[str, Any]) -> dict[str, Any]:
    path = f"dags/{run['dag_id']}/dagRuns/{run['run_id']}/taskInstances/{PLAN}/xcomEntries"
    cause, reason = (watch.stack.api.get(f"{path}/{key}", deserialize=True)["value"] for key in ("cause", "reason"))
    intervals = [event["interval"] for event in run["events"] if event["interval"]]
    return {
        "run_id": run["run_id"],
        "interval": max(intervals, default=None),
        "triggered_by": [event["asset"] for event in run["events"]] or ["the clock"],
        "train": cause is not None,
        "cause": cause,
        "reason": reason,
    }


def _run(watch: Watch, run: dict[str, Any]) -> dict[str, Any]:
    return {
        "dag_id": run["dag_id"],
        "run_id": run["dag_run_id"],
        "run_type": run["run_type"],
        "triggered_by": run["triggered_by"],
        "state": run["state"],
        "interval_start": run["data_interval_start"],
        "events": [
            {"id": event["id"], "asset": event["name"], "interval": _interval(event["extra"] or {})}
            for event in watch.stack.api.events_of(run)
        ],
    }


def _interval(extra: dict[str, Any]) -> str | None:
    """Return the data interval that an asset event is about: its own, or that of the dataset it brings."""
    interval = extra.get("interval") or extra.get("reference", {}).get("interval")
    return str(Interval.model_validate(interval)) if interval else None
