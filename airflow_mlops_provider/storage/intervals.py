"""The current dataset of each data interval, and by the records what is still to be done with them.

A rerun replaces a dataset, never adds a second. Asset events and the clock wake those who look for what is undone: what
an event says is not believed, and one that got lost costs nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from datetime import datetime
from itertools import accumulate

from airflow_mlops_provider.lifecycle.frozen import Json, digest
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import Judgement
from airflow_mlops_provider.lifecycle.references import Dataset, list_hash
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.sections import Windows
from airflow_mlops_provider.lifecycle.shape import LabelColumns
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.record_files import read_all

FEATURES, SERVED = "features", "served"
#: A snapshot's late rows of earlier intervals: a folder in it, and of what times they are among its facts.
LATE = "late"
#: Among the facts of predictions: since when, and by hash, earlier features had a part in them.
BEFORE = "before"
OLD = ""  # predictions of an earlier release don't say of which features they are


def publish(store: ArtifactStore, product: str, name: str, dataset: Dataset) -> None:
    """Make a dataset the current one of its interval, in one step."""
    if dataset.interval is not None:
        key = product_key(product, "current", name, f"{dataset.interval.key}.json")
        store.write(key, dataset.to_file())


def current(store: ArtifactStore, product: str, name: str) -> list[Dataset]:
    """Return the current datasets of that name, oldest interval first; a pointer that can't be read is left out."""
    return read_all(store, store.list(product_key(product, "current", name)), Dataset)


def leading_to(datasets: list[Dataset], end: Interval, count: int) -> tuple[Dataset, ...]:
    """Return up to ``count`` datasets of the unbroken run of intervals that leads to and includes ``end``."""
    chain: list[Dataset] = []
    for dataset in reversed(datasets):
        reaches = chain[0].interval.start if chain and chain[0].interval else end.end
        if dataset.interval is not None and dataset.interval.end == reaches and len(chain) < count:
            chain.insert(0, dataset)
    return tuple(chain)


def trainable(features: list[Dataset], windows: Windows) -> tuple[Dataset, ...]:
    """Return the unbroken run of intervals that leads to the newest, without those that wait for their labels."""
    newest = features[-1].interval if features else None
    chain = leading_to(features, newest, len(features)) if newest else ()
    return chain[: max(0, len(chain) - windows.wait)]


def earlier(datasets: list[Dataset], first: Dataset) -> tuple[Dataset, ...]:
    """Return the datasets of intervals that end before ``first`` begins."""
    begins = first.interval.start if first.interval else None
    return tuple(known for known in datasets if known.interval and begins and known.interval.end <= begins)


def late_for(intervals: Collection[Interval], snapshots: list[Dataset]) -> dict[Interval, list[tuple[Dataset, Json]]]:
    """Return for each interval the snapshots of later ones whose late rows may be of it, and what they say of these."""
    given: dict[Interval, list[tuple[Dataset, Json]]] = {interval: [] for interval in intervals}
    for dataset in snapshots:
        late: dict[Interval, Json] = {}
        for source, rows in dataset.facts.get(LATE, {}).items() if dataset.interval else ():
            first, last = (datetime.fromisoformat(rows[end]) for end in ("from", "to"))
            known = _begins(dataset)
            for interval in intervals:
                if first < interval.end <= known and last >= interval.start:
                    late.setdefault(interval, {})[source] = rows
        for interval, of_sources in late.items():
            given[interval].append((dataset, of_sources))
    return given


def truth_since(
    tables: list[Dataset], label: LabelColumns, first: Interval | None, delay: int | None = None
) -> tuple[Dataset, ...]:
    """Return those clean tables in which the truth of an interval and of later ones arrives; none if not by itself.

    :param tables: the current ones, oldest interval first.
    :param delay: in how many intervals after it; None for all that are there.
    """
    if not label.truth or first is None:
        return ()
    begins = bisect_left(tables, first.start, key=_begins)
    return tuple(tables[begins:] if delay is None else tables[begins : begins + delay + 1])


def unpredicted(store: ArtifactStore, product: str) -> list[Dataset]:
    """Return the features, oldest first, that are in the feature store and of which no prediction exists.

    Nor does one if it was made of others: of the interval, or of earlier ones from which some entities were known.
    Those count that lie behind what the first live version was made with: it learned from the others.
    """
    since = _went_live(store, product)
    if since is None:
        return []
    features = [dataset for dataset in current(store, product, FEATURES) if _begins(dataset) >= since]
    if not features:
        return []
    loaded = LoadedFeatures(store, product)
    predicted = {_begins(dataset): dataset.facts for dataset in current(store, product, "predictions")}
    return [
        dataset
        for dataset in features
        if loaded.hashes.get(_begins(dataset)) == dataset.hash
        and not _is_predicted(predicted.get(_begins(dataset)), dataset, loaded)
    ]


def _is_predicted(facts: Json | None, features: Dataset, loaded: LoadedFeatures) -> bool:
    if facts is None or facts.get(FEATURES, OLD) == OLD:
        return facts is not None
    return bool(facts[FEATURES] == features.hash) and loaded.are_those_of(facts, _begins(features))


class LoadedFeatures:
    """Which features the feature store holds, by where their intervals begin and by hash.

    What stands for those of some span is the sum of a hash of each: of any span of thousands it is known at once.
    """

    def __init__(self, store: ArtifactStore, product: str) -> None:
        loaded = current(store, product, "loaded")
        self.hashes = {_begins(dataset): dataset.facts.get(FEATURES, OLD) for dataset in loaded}
        self._begins = sorted(self.hashes)
        each = (int(digest([begins.isoformat(), self.hashes[begins]]), 16) for begins in self._begins)
        self._sums = [*accumulate(each, initial=0)]

    def hash(self, before: datetime, since: datetime | None = None) -> str:
        """Return what stands for those that begin before some moment: all, or those since another."""
        first = bisect_left(self._begins, since) if since else 0
        return f"{(self._sums[bisect_left(self._begins, before)] - self._sums[first]) % 2**256:064x}"

    def are_those_of(self, predictions: Json, begins: datetime) -> bool:
        """Say whether predictions were made of these, as far as features from before their interval had a part in them.

        :param predictions: their facts; those of an earlier release don't say.
        """
        of = predictions.get(BEFORE)
        since = datetime.fromisoformat(of["since"]) if of and of["since"] else None
        return of is None or bool(of["hash"] == self.hash(begins, since))


def unjudged(store: ArtifactStore, product: str, label: LabelColumns | None = None) -> list[Dataset]:
    """Return the predictions, oldest first, that monitoring has not judged with their features and the truth by now."""
    batch = (judgement for judgement in judgements(store, product) if not judgement.served)
    known = {judgement.observation.interval.start: judgement for judgement in batch}
    predictions = [dataset for dataset in current(store, product, "predictions") if FEATURES in dataset.facts]
    tables = current(store, product, "clean") if label and label.truth else []
    return [
        dataset
        for dataset in predictions
        if not _judged(known.get(_begins(dataset)), dataset, _truth(tables, dataset, label))
    ]


def unjudged_served(store: ArtifactStore, product: str, label: LabelColumns | None = None) -> list[Dataset]:
    """Return what was answered over REST, oldest first, that is not judged of each version, with the truth by now."""
    served = [judgement for judgement in judgements(store, product) if judgement.served]
    known = {(judgement.predictions, judgement.observation.version, judgement.truth) for judgement in served}
    tables = current(store, product, "clean") if label and label.truth else []
    return [
        dataset
        for dataset in current(store, product, SERVED)
        if any((dataset.hash, version, _truth(tables, dataset, label)) not in known for version in answered(dataset))
    ]


def answered(served: Dataset) -> list[int]:
    """Return the versions that answered in an interval."""
    return sorted(map(int, served.facts.get("versions", ())))


def _truth(tables: list[Dataset], dataset: Dataset, label: LabelColumns | None) -> str:
    return list_hash(truth_since(tables, label, dataset.interval, label.delay) if label else ())


def judgements(store: ArtifactStore, product: str) -> list[Judgement]:
    """Return what monitoring saw of each interval last, oldest first; one that can't be read is as if never made."""
    return read_all(store, store.list(product_key(product, "judged")), Judgement)


def judge(store: ArtifactStore, product: str, judgement: Judgement) -> None:
    """Keep what monitoring saw of an interval, in place of what it saw before."""
    seen = judgement.observation
    name = f"{seen.interval.key}-{SERVED}-{seen.version}" if judgement.served else seen.interval.key
    key = product_key(product, "judged", f"{name}.json")
    store.write(key, judgement.to_file())


def _judged(judgement: Judgement | None, predictions: Dataset, truth: str) -> bool:
    of = (predictions.hash, predictions.facts[FEATURES], truth)
    return judgement is not None and (judgement.predictions, judgement.features, judgement.truth) == of


def _begins(dataset: Dataset) -> datetime:
    assert dataset.interval is not None  # only an interval's datasets are published
    return dataset.interval.start


def _went_live(store: ArtifactStore, product: str) -> datetime | None:
    """Return where the data of the first version that ever went live end; None before that."""
    live = [entry for entry in Ledger(store, product).entries() if entry.status is Status.LIVE and entry.moves]
    if not live:
        return None
    interval = Dataset.model_validate(live[0].version.facts["training_set"]).interval
    return interval.end if interval else None
