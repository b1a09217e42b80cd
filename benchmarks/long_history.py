"""A year of hourly intervals and nightly versions: how long what looks at all of it takes, beside reading the files.

Seconds that grow with the square of the intervals, or pages that read each night's records again, show here first.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Commit, Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import unjudged, unpredicted
from airflow_mlops_provider.storage.layout import product_key, result_key, reuse_key
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records, declare
from airflow_mlops_provider.storage.stale import stale
from airflow_mlops_provider.ui import pages, reading
from benchmarks import Result

DAGS = Path(__file__).parent.parent / "dags"
HOURS, NIGHTS, RUNS = 8760, 365, 3
JOBS = ("training_set", "validate", "train", "evaluate", "register", "promote")
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)


def measure() -> Result:
    """Return the median seconds of each look, with how many files it is about, and what reading these alone takes."""
    sys.path.insert(0, str(DAGS))
    from flight_delay.product import product

    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        root = Path(folder)
        _year(root, product)
        store, name = open_store(folder), product.name
        ledger = root / product_key(name, "ledger")
        of = partial(_files, root / name / "current")
        looks: tuple[tuple[str, Callable[[], Any], list[Path]], ...] = (
            ("which intervals are stale", lambda: stale(store, name), of("raw", "clean", "features", "loaded")),
            ("which are not predicted", lambda: unpredicted(store, name), of("features", "loaded", "predictions")),
            ("which are not judged", lambda: unjudged(store, name), of("predictions")),
            ("the ledger, checked", lambda: Ledger(store, name).entries(), _files(ledger)),
            ("a version's lineage", lambda: Records(store).lineage(name, 1), _files(ledger)),
            ("a product's page, first", lambda: _page(product, store), _files(root / name, *JOBS)),
            ("the same page again", lambda: _page(product, store), _files(root / name, *JOBS)),
        )
        return Result(
            title="A year of hourly intervals and nightly versions",
            columns=("", "files", "s", "reading them alone, s"),
            rows=tuple(
                (what, f"{len(files):,}", f"{_taken(look, 1 if 'first' in what else RUNS):.2f}", f"{_read(files):.2f}")
                for what, look, files in looks
            ),
            note=f"Medians of {RUNS}, but for the first page; {HOURS:,} intervals, {NIGHTS} versions, as many nights "
            "that found all work finished. A local folder; read alone are each file's bytes, as JSON",
        )


def _taken(look: Callable[[], Any], runs: int) -> float:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        look()
        taken.append(time.perf_counter() - began)
    return median(taken)


def _read(files: list[Path]) -> float:
    return _taken(lambda: [json.loads(file.read_bytes()) for file in files], RUNS)


def _files(folder: Path, *below: str) -> list[Path]:
    return [file for part in below or ("",) for file in sorted((folder / part).rglob("*.json"))]


def _page(product: MLProduct, store: Any) -> None:
    record = reading.record(store, product.name, lambda _: True)
    assert record is not None
    pages.product(record)


def _year(root: Path, product: MLProduct) -> None:
    """Write what a year leaves, as the jobs write it, but each file in one go."""
    store, name = open_store(str(root)), product.name
    declare(store, product)
    first, last = BEGAN, BEGAN
    for hour in range(HOURS):
        last = BEGAN + timedelta(hours=hour)
        interval = Interval(start=last, end=last + timedelta(hours=1))
        content = {kind: digest([kind, hour]) for kind in ("raw", "clean", "features", "loaded", "predictions")}
        late = {"flights": {"from": _iso(last - timedelta(hours=2)), "to": _iso(last), "rows": 1, "hash": "0"}}
        facts: dict[str, dict[str, Any]] = {
            "raw": {"rows": {"weather": 10}, **({"late": late} if hour % 20 == 5 else {})},
            "clean": {"of": content["raw"]},
            "features": {"of": {interval.key: content["clean"]}},
            "loaded": {"features": content["features"]},
            "predictions": {"features": content["features"]},
        }
        for kind, hashed in content.items():
            dataset = Dataset(uri=f"{store.uri}/{name}/{kind}", hash=hashed, interval=interval, facts=facts[kind])
            _write(root / product_key(name, "current", kind, f"{interval.key}.json"), dataset.to_file())
    trained_on = Dataset(uri=f"{store.uri}/{name}/set", hash="5" * 64, interval=Interval(start=first, end=last))
    ledger = Ledger(store, name)
    for night in range(NIGHTS):
        for job in JOBS:
            _night(root, product, job, night)
        facts = {"training_set": trained_on.to_json()}
        hashed = digest(["model", night])
        version = ModelVersion(name=name, version=night + 1, uri=f"{store.uri}/m/{night}", hash=hashed, facts=facts)
        for status in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
            if night < 20 or status is Status.REGISTERED:
                ledger.move(version, status, reason="a night's", by="benchmark")


def _night(root: Path, product: MLProduct, job: str, night: int) -> None:
    """Write the record of a job that found its work finished."""
    began = BEGAN + timedelta(days=night)
    run = RunIdentity(dag_id=f"{product.name}_training", run_id=f"scheduled__{night}", task_id=job, try_number=1)
    spec = JobSpec(job=job, product=product.name, root=f"{root}", services=Services(landing="", mlflow=""), run=run)
    made = Manifest(
        state="success", spec=spec, address=digest(job), stage="training", code=Commit(), code_hashes={}, makes=job,
        packages={f"package-{number}": "1.0" for number in range(350)}, hardware={}, started=began, ended=began,
        result=Model(uri=f"{root}/{job}", hash=digest(job)), reused=night > 0,
    )  # fmt: skip
    work = result_key(spec, made.address)
    _write(root / (f"{reuse_key(work, run)}/manifest.json" if night else f"{work}/manifest.json"), made.to_file())


def _iso(moment: datetime) -> str:
    return moment.isoformat()


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
