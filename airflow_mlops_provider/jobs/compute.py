"""Computes one interval's features and examples from clean tables, and probes them for leakage."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.jobs.leakage import probe
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.product import MLProduct, View

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = "examples"


def run(work: Work) -> Outcome:
    """Write one table per view (keys, features, ``event_time``), and ``examples``.

    :raises LeakageError: if a feature used what was not known at its ``event_time``.
    """
    product = work.product
    tables = gather(work)
    compute = work.call(product.features)
    probe(compute, tables, work.interval, product.reveals, cutoffs=[_middle(work)])
    computed = compute(tables, work.interval)
    _all_declared(product, computed)
    rows = {}
    for view in product.views:
        frame = shaped(computed[view.name], view, work)
        work.write(frame, view.name)
        rows[view.name] = len(frame)
    examples = work.call(product.examples)(tables, work.interval)
    wanted = [*product.request, "event_time", product.label.column, product.label.known_at]
    work.write(_select(examples, wanted, "examples").reset_index(drop=True), EXAMPLES)
    work.log.info("computed %s rows of features and %d examples", rows, len(examples))
    return Outcome(facts={"rows": {**rows, EXAMPLES: len(examples)}})


def gather(work: Work) -> dict[str, pd.DataFrame]:
    """Return the clean tables of this interval and the earlier ones given, each in one frame, oldest first.

    A table without rows of its own time, such as a fleet list, comes whole with every interval: the newest stands.
    """
    import pandas as pd

    static = {source.name for source in work.product.sources if source.time is None}
    parts: dict[str, list[pd.DataFrame]] = {}
    for dataset in work.inputs("clean"):
        for file in sorted(work.open(dataset).glob("*.parquet")):
            parts.setdefault(file.stem, []).append(pd.read_parquet(file))
    return {
        name: frames[-1] if name in static else pd.concat(frames, ignore_index=True) for name, frames in parts.items()
    }


def shaped(frame: pd.DataFrame, view: View, work: Work) -> pd.DataFrame:
    """Return a view's rows in this interval, in one order, one per entity and moment.

    :raises UnknownNameError: if a declared column is missing.
    """
    frame = _select(frame, [*view.keys, "event_time", *view.features], f"view {view.name!r}")
    moment = frame["event_time"]
    frame = frame[(moment >= work.interval.start) & (moment < work.interval.end)]
    twice = frame.duplicated([*view.keys, "event_time"])
    if twice.any():
        example = frame[twice].iloc[0][[*view.keys, "event_time"]].to_dict()
        raise ConfigurationError(f"view {view.name!r} has {int(twice.sum())} entity moments twice, such as {example}")
    return frame.sort_values(["event_time", *view.keys]).reset_index(drop=True)


def _select(frame: pd.DataFrame, columns: list[str], what: str) -> pd.DataFrame:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UnknownNameError(f"column of {what}", ", ".join(missing), frame.columns)
    return frame[columns]


def _all_declared(product: MLProduct, computed: dict[str, pd.DataFrame]) -> None:
    declared = {view.name: {*view.keys, "event_time", *view.features} for view in product.views}
    for name, frame in computed.items():
        if name not in declared:
            raise UnknownNameError(f"view from {product.features}", name, declared)
        strays = sorted(set(frame.columns) - declared[name])
        if strays:
            raise UnknownNameError(
                f"feature from {product.features} in view {name!r}", ", ".join(strays), declared[name]
            )
    missing = sorted(set(declared) - set(computed))
    if missing:
        raise ConfigurationError(
            f"{product.features} returned no view {', '.join(missing)}; every declared one is needed"
        )


def _middle(work: Work) -> datetime:
    return work.interval.start + (work.interval.end - work.interval.start) / 2
