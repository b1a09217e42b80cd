"""Batch prediction from the offline store: every example of an interval, with the live model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_mlops_provider.jobs.features.feature_store import check_loaded, feature_store
from airflow_mlops_provider.jobs.tables import EXAMPLES, INPUTS, PREDICTIONS, SAID, SINCE
from airflow_mlops_provider.jobs.truth import new_rows, said
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import FEAST, job
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.storage.intervals import BEFORE, LoadedFeatures

if TYPE_CHECKING:
    import pandas as pd


class Inputs(JobInputs):
    """:param earlier: what was predicted of the interval before, if it was.
    :param history: predictions of earlier intervals that may hold some of these rows.
    """

    version: ModelVersion
    features: Dataset
    earlier: Dataset | None = None
    history: tuple[Dataset, ...] = ()


class Settings(JobSettings):
    scoring: Scoring


class Params(JobParams):
    """:param before: the hash of what the feature store held of earlier intervals: entities may be known from there."""

    before: str = ""


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.SERVING, makes="predictions", packages=FEAST, publishes="predictions", predicts=True)
def predict(context: Context) -> JobResult:
    """Write ``predictions`` (request columns, ``event_time``, prediction, version) and ``inputs``, what the model saw.

    A row that an earlier interval has predicted is left out. Where an interval is predicted again, ``said`` keeps what
    was said of each row first: by that, models are judged.
    """
    version, features, scoring = context.inputs.version, context.inputs.features, context.settings.scoring
    store = feature_store(context, scoring)
    check_loaded(context, store, [features])
    loaded = LoadedFeatures(context.store, context.product)  # what is loaded from now on may be seen, or not
    rows = context.read(features, EXAMPLES)[[*scoring.row_columns]]
    given = len(rows)
    for dataset in context.inputs.history:
        rows = rows[new_rows(rows, said(context, dataset), scoring.named_by)]
    rows = rows.reset_index(drop=True)
    since = store.offline.since(pa.Table.from_pandas(rows, preserve_index=False), context.interval)
    joined = store.historical(rows)
    predictor = Predictor.load(scoring, context.open(version), version)
    inputs = predictor.inputs(rows, joined[list(scoring.feature_types)])
    predictions = predictor.score(inputs)
    columns = predictor.problem.columns(predictions)
    predicted = rows.assign(**columns, version=version.version)
    context.write(predicted, PREDICTIONS)
    context.write(inputs.assign(**columns), INPUTS)
    if context.inputs.earlier:
        before = said(context, context.inputs.earlier)
        context.write(both(before, predicted[new_rows(predicted, before, scoring.named_by)]), SAID)
    headline = predictor.problem.headline(predictions)
    mean = {"mean_prediction": float(headline.mean())} if len(rows) else {}  # of nothing there is no mean
    context.log.info("predicted %d rows with version %d: %s", len(rows), version.version, mean)
    facts: dict[str, Any] = {"rows": len(rows), "version": version.version, "features": features.hash}
    facts[BEFORE] = {SINCE: since.isoformat() if since else None, "hash": loaded.hash(context.interval.start, since)}
    if len(rows) < given:
        facts["predicted_before"] = given - len(rows)
        context.log.warning(
            "left out %d rows that earlier intervals have predicted; truth that comes later is no reason to predict "
            "again: let it come in a table of its own, label.truth",
            given - len(rows),
        )
    return JobResult(facts=facts, metrics=mean)


def both(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of two tables; one without any does not decide about types."""
    import pandas as pd

    return pd.concat([frame for frame in (before, now) if len(frame)] or [before], ignore_index=True)
