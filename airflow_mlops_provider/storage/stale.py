"""What stands on data that came late or was corrected since: named by the records, to be made anew.

Each of an interval's datasets says of which others it was made; the current ones are compared with that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_mlops_provider.lifecycle.frozen import Json
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.intervals import FEATURES, current, late_for
from airflow_mlops_provider.storage.records import Records

#: Among the facts of clean tables: of which snapshot; of features: of which clean tables, by interval.
OF = "of"


@dataclass(frozen=True)
class Stale:
    """An interval whose data stand on others than the current ones.

    :param reasons: why, a line each.
    :param run: that of the task that took its data from the sources last; None if its record is gone.
    """

    interval: Interval
    reasons: tuple[str, ...]
    run: RunIdentity | None


def stale(store: ArtifactStore, product: str) -> list[Stale]:
    """Return a product's stale intervals, oldest first."""
    names = ("raw", "clean", FEATURES, "loaded")
    made = {name: {data.interval: data for data in current(store, product, name) if data.interval} for name in names}
    records, listed = Records(store), []
    late = late_for(made["raw"], [*made["raw"].values()])
    by_key = {at.key: table for at, table in made["clean"].items()}
    for interval, snapshot in made["raw"].items():
        reasons = [*_late(late[interval], snapshot), *_reasons(records, interval, snapshot, made, by_key)]
        if reasons:
            record = records.made(snapshot).manifest
            listed.append(Stale(interval, tuple(reasons), record.spec.run if record else None))
    return listed


def _late(given: list[tuple[Dataset, Json]], snapshot: Dataset) -> Iterator[str]:
    for later, late in given:
        for source, rows in late.items():
            if later.interval is None or source not in snapshot.facts.get("rows", ()):  # it is declared no more
                continue
            if snapshot.facts.get("taken", {}).get(source, {}).get(OF, {}).get(later.interval.key) != rows["hash"]:
                yield f"late rows of {source} came with {later.interval}"


def _reasons(
    records: Records,
    interval: Interval,
    snapshot: Dataset,
    made: dict[str, dict[Interval, Dataset]],
    clean_tables: dict[str, Dataset],
) -> Iterator[str]:
    clean, features, loaded = (made[name].get(interval) for name in ("clean", FEATURES, "loaded"))
    if clean and clean.facts.get(OF) not in (None, snapshot.hash):
        yield "its sources were read again since it was cleaned"
    for key, content in features.facts.get(OF, {}).items() if features else ():
        if key in clean_tables and clean_tables[key].hash != content:
            yield f"its features were computed of an older {clean_tables[key].interval}"
    if features and loaded and loaded.facts.get(FEATURES) != features.hash and _is_of_others(records, loaded, features):
        yield "its features were computed and not loaded"


def _is_of_others(records: Records, loaded: Dataset, features: Dataset) -> bool:
    """Say whether what was loaded is not these features, nor what a task of somebody's own made of them."""
    return records.made_by("compute", loaded) not in (None, features.hash)


def outdated(store: ArtifactStore, version: ModelVersion) -> list[str]:
    """Return a line for each interval whose features a model version learned from, and that others are in place of."""
    made = Records(store).made(Dataset.model_validate(version.facts["training_set"])).manifest
    now = {data.interval: data.hash for data in current(store, version.name, FEATURES)}
    learned = (data for role in (FEATURES, "history") for data in (made.spec.given(role) if made else ()))
    return [
        f"version {version.version} learned from an older {data.interval}"
        for data in learned
        if isinstance(data, Dataset) and now.get(data.interval, data.hash) != data.hash
    ]
