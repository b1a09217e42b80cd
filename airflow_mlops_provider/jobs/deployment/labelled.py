"""How good a candidate is beside the live version, on the rows that both predicted and whose truth has arrived."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops_provider import problems
from airflow_mlops_provider.jobs.deployment import rollout
from airflow_mlops_provider.jobs.monitoring.collect import Line, Log
from airflow_mlops_provider.jobs.truth import until, with_examples, with_truth
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.deployment import Rollout
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.lifecycle.release.rollout import is_worse, labelled_look
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.serving.request_schema import RequestSchema
from airflow_mlops_provider.storage.intervals import FEATURES, current

if TYPE_CHECKING:
    import pandas as pd

SEED = 13
_PLACE = "__place"


def worse(context: rollout.Context, entry: LedgerEntry, live: ModelVersion, plan: Rollout) -> str | None:
    """Say by how much a candidate's metric is worse; None if it is not worse than allowed, or too few labels are known.

    It needs the server's prediction log, and is not judged where that lies on another machine.
    """
    limit, metric, scoring = plan.limits.metric, context.settings.metric, context.settings.scoring
    if limit is None or metric is None or scoring is None:
        return None
    pairs, problem = _pairs(context, entry, live, scoring), problems.find(scoring.problem)
    rows = _with_truth(context, scoring, pairs, entry.at) if pairs else None
    look = labelled_look(0 if rows is None else len(rows))
    if rows is None or look is None:
        return None
    rows = rows[: look[0]]
    if problem.unfit(rows[scoring.label.column]):
        return None
    own, other = (np.array([pairs[place][number].prediction for place in rows[_PLACE]]) for number in (1, 0))
    truth = problem.truth(rows, scoring.label.column, scoring.label.weight)
    gain = statistics.gain(problem, metric, truth, own, other, SEED)
    if not is_worse(gain, look[1], limit):
        return None
    return f"{metric.name} of {len(rows)} labelled rows is worse by {-gain.value:.4g}, and {limit:g} are allowed"


def _pairs(
    context: rollout.Context, entry: LedgerEntry, live: ModelVersion, scoring: Scoring
) -> list[tuple[Line, Line]]:
    """Return what the live version and the candidate said of the same rows, since the phase began, oldest first."""
    said: dict[str, dict[int, Line]] = {}
    schema = RequestSchema(scoring.row_columns)
    for line in Log(context, Interval(start=entry.at, end=datetime.now(UTC))).records(schema, shadow=True):
        said.setdefault(line.id, {})[line.version] = line
    both = [by for by in said.values() if by.keys() >= {live.version, entry.version.version}]
    pairs = [(by[live.version], by[entry.version.version]) for by in both]
    return sorted(pairs, key=lambda pair: pair[0].predicted_at)


def _with_truth(
    context: rollout.Context, scoring: Scoring, pairs: list[tuple[Line, Line]], since: datetime
) -> pd.DataFrame:
    """Return the rows whose label is known, each with its place among the pairs, in their order."""
    import pandas as pd

    rows = RequestSchema(scoring.row_columns).frame([first.row for first, _ in pairs])
    rows, label, now = rows.assign(**{_PLACE: range(len(rows))}), scoring.label, datetime.now(UTC)
    if label.truth:
        first, tables = rows["event_time"].min(), current(context.store, context.product, "clean")
        arrived = tuple(table for table in tables if table.interval and table.interval.end > first)
        known = [with_truth(context, scoring, rows, arrived, until(arrived, now))] if arrived else []
    else:
        made = current(context.store, context.product, FEATURES)
        recent = [dataset for dataset in made if dataset.interval and dataset.interval.end > since]
        known = [with_examples(context, scoring, rows, dataset) for dataset in recent]
    if not known:
        return rows[:0]
    labelled = pd.concat(known, ignore_index=True)
    there = labelled[label.column].notna() & (labelled[label.known_at] <= now)
    return labelled[there].drop_duplicates(_PLACE).sort_values(_PLACE).reset_index(drop=True)
