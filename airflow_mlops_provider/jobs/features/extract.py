"""Extracts one data interval from its sources: checked for shape, typed, kept as an immutable snapshot."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.tables import LEFT_OUT
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.source import Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job

if TYPE_CHECKING:
    import pandas as pd


class Settings(JobSettings):
    sources: Annotated[tuple[Source, ...], ProductField("data.sources")]


@job(stage=Stage.FEATURES, makes="raw data", packages=TABLES, publishes="raw", side_effects=True)
def extract(context: JobContext[JobInputs, Settings, JobParams]) -> JobResult:
    """Write one table per source, with the declared columns and types; the facts tell each delivery's own hash."""
    from airflow_mlops_provider.backends.tables.csv_files import read_csv
    from airflow_mlops_provider.backends.tables.landing import Landing

    landing = Landing(context.spec.services.landing)
    rows, files, left_out = {}, {}, {}
    for source in context.settings.sources:
        key = source.delivery(context.interval)
        delivered = landing.read(key, source.settle_seconds)
        frame = read_csv(delivered, f"{landing.uri}/{key}", source)
        kept, reasons = within(frame, source, context.interval)
        context.write(kept, source.name)
        rows[source.name], files[key] = len(kept), hashlib.sha256(delivered).hexdigest()
        context.log.info("extracted %d rows of %s from %s", len(kept), source.name, key)
        if reasons:
            left_out[source.name] = reasons
            context.log.warning("left out %s of %d rows in %s", _listed(reasons), len(frame), key)
    if left_out:
        (context.folder / LEFT_OUT).write_text(json.dumps(left_out, sort_keys=True))
    return JobResult(facts={"rows": rows, "files": files, **({"left_out": left_out} if left_out else {})})


def within(frame: pd.DataFrame, source: Source, interval: Interval) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows of the interval, and how many are not, by reason.

    :raises SourceDataError: if there are none, or more are not than the source allows.
    """
    kept, reasons = frame, dict[str, int]()
    if source.time is not None:
        moment = frame[source.time]
        before, after, none = moment < interval.start, moment >= interval.end, moment.isna()
        counted = {"before the interval": before, "after the interval": after, "without a time": none}
        reasons = {reason: int(rows.sum()) for reason, rows in counted.items() if rows.any()}
        kept = frame[~(before | after | none)].reset_index(drop=True)
    because = f" (left out: {_listed(reasons)})" if reasons else ""
    if kept.empty:
        raise SourceDataError(f"source {source.name!r} has no rows in {interval}{because}; previous data is untouched")
    if len(frame) - len(kept) > source.max_left_out * len(frame):
        raise SourceDataError(
            f"source {source.name!r} has only {len(kept)} of {len(frame)} rows in {interval}{because}, and "
            f"max_left_out is {source.max_left_out:g}; correct the delivery, or allow more"
        )
    return kept, reasons


def _listed(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())
