"""From a profile to a proposal: split, metric, limits, expectations, schedule, windows, and what is left to decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.initiation.candidates import plain
from airflow_mlops_provider.lifecycle.initiation.decisions import decisions
from airflow_mlops_provider.lifecycle.initiation.delivery import delivery_of, windows_of
from airflow_mlops_provider.lifecycle.initiation.expectations import expectations
from airflow_mlops_provider.lifecycle.initiation.problem import Problem
from airflow_mlops_provider.lifecycle.initiation.profile import ColumnProfile, Grain, Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Delivery, LeftOut, Limits, Proposal, Split
from airflow_mlops_provider.lifecycle.sections import Kpi
from airflow_mlops_provider.lifecycle.source import DataType

#: Text of more different values, or of more than half as many as rows, is prose or names.
MOST_TEXTS = 1000
#: A column has drifted from such an index on; and so much more than in the past is allowed.
DRIFTED, MORE_DRIFT, LEAST_DRIFT, FEW_INPUTS = 0.25, 0.2, 0.3, 3
_ENTITY = re.compile(
    r"(^|_)(customer|user|client|patient|subject|household|account|store|shop|item|product|device|sensor|station|"
    r"symbol|id)s?(_|$)"
)
_METRICS = {
    "regression": "mean_absolute_error",
    "forecasting": "mean_absolute_error",
    "ranking": "ndcg",
    "anomaly_detection": "average_precision",
    "multilabel_classification": "micro_f1",
}


class Answers(Frozen):
    """What a person says of a product; None for what is proposed."""

    name: str | None = None
    goal: str | None = None
    kpi: Kpi | None = None
    owner: str | None = None


def metric_for(problem: str, label: ColumnProfile | None) -> str:
    """Return the metric by which models are judged."""
    if label is None or problem in _METRICS:
        return _METRICS.get(problem, "average_precision")
    counts = [count for _, count in label.frequent] or [1]
    if problem == "binary_classification":
        return "average_precision" if min(counts) / sum(counts) < 0.05 else "roc_auc"
    return "balanced_accuracy" if max(counts) / sum(counts) > 0.6 else "accuracy"


def propose(profile: Profile, problem: Problem, answers: Answers, user: str, now: datetime | None = None) -> Proposal:
    """Return the proposal.

    :param user: who answers for the product if nobody else is named.
    :param now: what tells whether the data go on; None where nobody wants to know.
    """
    label = profile.column(profile.label.column) if profile.label else None
    delivery = delivery_of(profile, now)
    known_later = _known_later(profile)
    keys = _keys(profile, problem)
    left_out = tuple(_left_out(profile, known_later, delivery))
    hidden = {each.column for each in left_out}
    delay = profile.label.delay if profile.label else None
    proposal = Proposal(
        name=answers.name or name_of(profile.reading.source),
        goal=answers.goal or _goal(profile, problem, label, keys, delivery.grain),
        kpi=answers.kpi or _kpi(profile, problem, label),
        owner=answers.owner or user,
        reading=profile.reading,
        columns={column.name: _declared(column) for column in profile.columns},
        written={column.name: (column.type, column.written) for column in profile.columns if column.written},
        gaps=tuple(column.name for column in profile.columns if column.missing),
        problem=problem,
        label=label.name if label else None,
        classes=profile.label.classes if profile.label else (),
        separator=profile.label.separator if profile.label else "",
        positive=profile.label.positive if profile.label else None,
        label_known_at=delay.known_at if delay else None,
        label_delay_days=delay.most if delay else None,
        keys=keys,
        inputs=tuple(column.name for column in profile.columns if column.name not in hidden),
        left_out=left_out,
        known_later=known_later,
        split=_split(profile, keys),
        naive=profile.naive,
        step=profile.time.step if profile.time else None,
        expectations=tuple(expectations(profile, delivery)),
        limits=_limits(profile, problem, label, hidden),
        delivery=delivery,
        windows=windows_of(delivery, delay.most if delay else 0.0),
    )
    return proposal.model_copy(
        update={"decide": tuple(decisions(profile, proposal, kpi_given=answers.kpi is not None))}
    )


def name_of(source: str) -> str:
    """Return a product's name for a file, a folder, or a query."""
    table, of, database = source.rpartition(" of ")
    where = table if of and table.isidentifier() else database
    parts = [part.partition(".")[0] for part in where.split("/")]
    names = [re.sub("[^a-z0-9]+", "_", plain(part)).strip("_")[:60] for part in parts]
    name = next((name for name in reversed(names) if name), "product")
    return name if name[0].isalpha() else f"data_{name}"


def _keys(profile: Profile, problem: Problem) -> tuple[str, ...]:
    if problem.query:
        return (problem.query,)
    if profile.time and profile.time.keys and (problem.kind == "forecasting" or profile.time.step):
        return profile.time.keys
    rows = profile.reading.sampled
    named = [each.name for each in profile.columns if _ENTITY.search(plain(each.name)) and 1 < each.distinct < rows / 2]
    return tuple(named[:1])


def _split(profile: Profile, keys: Sequence[str]) -> Split:
    if profile.time:
        by = profile.time.parts or (profile.time.column,)
        return Split(kind="time", by=by, reason="a model predicts what comes: it is judged on the newest rows")
    if keys:
        why = f"several rows are of one {keys[0]}: all of them are on one side"
        return Split(kind="group", by=tuple(keys), reason=why)
    why = "no column orders the rows: a hash of a row's values puts it, and its duplicates, always on the same side"
    return Split(kind="hash", reason=why)


def _known_later(profile: Profile) -> dict[str, tuple[str, ...]]:
    later: dict[str, list[str]] = {}
    for suspect in profile.suspects:
        if suspect.known_later:
            later.setdefault(suspect.known_later, []).append(suspect.column)
    return {time: tuple(dict.fromkeys((time, *columns))) for time, columns in later.items()}


def _left_out(profile: Profile, known_later: Mapping[str, Sequence[str]], delivery: Delivery) -> Iterator[LeftOut]:
    """Yield the columns that are no inputs, each with the first reason."""
    later = {column: time for time, columns in known_later.items() for column in columns}
    proven = {suspect.column: suspect.evidence for suspect in profile.suspects if suspect.proven}
    delay = profile.label.delay if profile.label else None
    for column in profile.columns:
        reasons = (
            ("it is the label", profile.label is not None and column.name == profile.label.column),
            ("it is the time", column.name in (delivery.time, *delivery.time_parts)),
            ("it says when the label became known", delay is not None and column.name == delay.known_at),
            (f"it is known only from {later.get(column.name)} on", column.name in later),
            (f"it gives the label away: {proven.get(column.name)}", column.name in proven),
            ("it may name a person", bool(column.personal)),
            ("it has no two values", column.constant),
            ("each row has another value: it names rows", column.is_key(profile.reading.sampled)),
            (
                f"it is text of {column.distinct:,} different values",
                column.type == "string" and column.distinct > min(MOST_TEXTS, profile.reading.sampled / 2),
            ),
            ("it is a time: make a feature of how long ago it was", column.type == "timestamp"),
        )
        reason = next((words for words, holds in reasons if holds), None)
        if reason:
            yield LeftOut(column=column.name, reason=reason)


def _declared(column: ColumnProfile) -> DataType:
    """Return the type by which a source declares it: text stays text where no reader knows how it is written."""
    return "string" if column.written and column.type != "timestamp" else column.type


def _limits(profile: Profile, problem: Problem, label: ColumnProfile | None, hidden: set[str]) -> Limits:
    moved = [column.drift for column in profile.columns if column.drift is not None and column.name not in hidden]
    share = sum(drift >= DRIFTED for drift in moved) / len(moved) if moved else 0.0
    limit = round(min(0.9, max(LEAST_DRIFT, share + MORE_DRIFT)), 2)
    why = f"{share:.0%} of {len(moved)} inputs moved from the first third of the time to the last"
    naive = profile.naive
    return Limits(
        metric=metric_for(problem.kind, label),
        metric_limit=naive.value if naive else None,
        reason=f"better than {naive.name}: {naive.value:.4g}" if naive else "no naive prediction was made",
        drift_share=limit if len(moved) >= FEW_INPUTS else 0.5,
        drift_reason=why if len(moved) >= FEW_INPUTS else "by default",
    )


def _goal(profile: Profile, problem: Problem, label: ColumnProfile | None, keys: Sequence[str], grain: Grain) -> str:
    of = f" of each {' and '.join(keys)}" if keys else ""
    name = label.name if label else ""
    ahead = (profile.time and profile.time.step) or grain
    return {
        "binary_classification": f"Will {name} be {_positive(profile)}{of}?",
        "multiclass_classification": f"Which {name} is it{of}?",
        "regression": f"How much will {name} be{of}?",
        "forecasting": f"What will {name}{of} be in the next {ahead}?",
        "ranking": f"In which order do rows of a {problem.query} come, the best {name} first?",
        "anomaly_detection": "Which rows are unlike all others?",
        "multilabel_classification": f"Which of the things in {name} are true{of}?",
    }[problem.kind]


def _positive(profile: Profile) -> str:
    return (profile.label and profile.label.positive) or "true"


def _kpi(profile: Profile, problem: Problem, label: ColumnProfile | None) -> Kpi:
    metric, naive = metric_for(problem.kind, label), profile.naive
    error = metric.endswith("error")
    if naive is None:
        return Kpi(name=metric, target=0.5, unit=metric)
    target = 0.8 * naive.value if error else naive.value + 0.3 * (1 - naive.value)
    return Kpi(
        name=metric.replace("_", " "), target=float(f"{target:.3g}"), unit=label.name if error and label else "share"
    )
