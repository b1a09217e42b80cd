"""A product's records, read by several threads and for a limited time; and whether its answers agree."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from airflow_mlops_provider.backends.model_server.launcher import log_folder
from airflow_mlops_provider.jobs.tables import INPUTS
from airflow_mlops_provider.lifecycle.maturity.seen import ProductSeen
from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, green, red, yellow
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.problems.base import PREDICTION
from airflow_mlops_provider.storage.artifacts import ArtifactStore, open_store
from airflow_mlops_provider.storage.change_requests import ChangeRequests
from airflow_mlops_provider.storage.intervals import current, judgements
from airflow_mlops_provider.storage.layout import key_below, record_kind
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.record_files import read_kept

Result = TypeVar("Result")
SECONDS = 60
READERS = 8
MOST_LINES = 2000


def together(calls: Mapping[str, Callable[[], Result]], seconds: float = SECONDS) -> dict[str, Result]:
    """Return what several calls gave that ended in time; none may raise.

    In threads that nobody waits for: a service that never answers must not hold up the end of the process.
    """
    given: dict[str, Result] = {}

    def run(name: str, call: Callable[[], Result]) -> None:
        given[name] = call()

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in calls.items()]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return dict(given)


def seen_of(store: ArtifactStore, product: MLProduct, unread: list[str]) -> ProductSeen:
    """Return what is on record of a product.

    :param unread: takes a line for what can't be read, or not in time.
    """
    name = product.name
    keys = [key for key in _kept(lambda: store.list(name), unread) if record_kind(key)]
    made: list[Manifest] = []

    def read(part: Iterable[str]) -> None:
        kept = (read_kept(store, key, Manifest, _noted(unread)) for key in part)
        made.extend(manifest for manifest in kept if manifest)

    ended = together({str(at): partial(read, keys[at::READERS]) for at in range(READERS)})
    if len(ended) < READERS:
        unread.append(f"only {len(made)} of {len(keys)} manifests of {name} could be read in {SECONDS} s")
    return ProductSeen(
        product,
        sorted(made, key=lambda manifest: manifest.ended),
        _kept(Ledger(store, name).entries, unread),
        _kept(ChangeRequests(store, name).all, unread),
        _kept(lambda: judgements(store, name), unread),
    )


def _noted(unread: list[str]) -> Callable[[str, Exception], None]:
    return lambda key, _: unread.append(f"{key} can't be read")


def _kept(read: Callable[[], Sequence[Result]], unread: list[str]) -> Sequence[Result]:
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - what one record holds must hide no other
        unread.append(f"{type(error).__name__}: {error}")
        return []


def answers_alike(store: ArtifactStore, seen: ProductSeen) -> Verdict:
    """Look for calls of /predict in the servers' log whose model inputs were predicted in batch by the same version."""
    import pandas as pd

    name = seen.product.name
    predicted = current(store, name, "predictions")
    if not predicted:
        return yellow("no batch prediction is on record", "let the pipeline batch_inference run")
    newest = predicted[-1]
    data = store.read(f"{key_below(store, newest.uri)}/{INPUTS}.parquet")
    rows = pd.read_parquet(io.BytesIO(data)).to_dict("records")
    batch = {_inputs(row): row[PREDICTION] for row in rows}
    calls = [line for line in _log(store, name) if line["version"] == newest.facts.get("version")]
    pairs = [(batch[key], line["prediction"]) for line in calls if (key := _inputs(line["inputs"])) in batch]
    differing = [pair for pair in pairs if pair[0] != pair[1]]
    if differing:
        return red(f"{len(differing)} of {len(pairs)} rows differ, such as {differing[0]} in batch and over REST")
    words = f"{len(pairs)} of the last {len(calls)} rows over REST are of the newest batch"
    return green(f"{words}, and have the same predictions") if pairs else yellow(words)


def _inputs(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a row's model inputs, comparable: what is missing, however that is written, is None."""
    known = {name: value for name, value in row.items() if name != PREDICTION}
    return tuple((name, None if value != value else value) for name, value in sorted(known.items()))  # noqa: PLR0124


def _log(store: ArtifactStore, product: str) -> list[dict[str, Any]]:
    """Return the last lines of the newest log of a model server; a broken one is left out."""
    folder = log_folder(store.uri, product)
    log = open_store(str(folder)) if Path(folder).is_dir() else None
    lines = log.read(log.list("")[-1]).splitlines()[-MOST_LINES:] if log and log.list("") else []
    parsed = []
    for line in lines:
        try:
            parsed.append(json.loads(line))
        except ValueError:
            continue
    return parsed
