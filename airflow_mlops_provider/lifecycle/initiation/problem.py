"""Which kind of problem a label is, why, and why it is none of the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.initiation.candidates import no_label, plain
from airflow_mlops_provider.lifecycle.initiation.profile import ColumnProfile, TimeProfile

ProblemKind = Literal[
    "binary_classification",
    "multiclass_classification",
    "regression",
    "forecasting",
    "ranking",
    "anomaly_detection",
    "multilabel_classification",
]
KINDS: tuple[ProblemKind, ...] = get_args(ProblemKind)
#: Kinds whose label is one of some classes.
CLASSES: tuple[ProblemKind, ...] = ("binary_classification", "multiclass_classification")
#: Of so few different whole numbers each may be a class; with a name that says so, of some more.
FEW, SOME = 10, 20
RARE = 0.01
_CLASS = re.compile(r"(^|_)(target|class|label|species|type|category|kind|group|digit|origin|segment)($|_)")
_QUERY = re.compile(r"(^|_)(qid|query(_id)?|search(_id)?|srch_id|session(_id)?|impression(_id)?|request_id)($|_)")


class Problem(Frozen):
    """A kind of problem.

    :param rejected: the other kinds that were considered, and why it is none of them.
    :param query: of a ranking the column of what is asked, for each of whose values rows are ordered.
    """

    kind: ProblemKind
    reason: str
    rejected: dict[ProblemKind, str] = {}
    query: str | None = None


def choose(
    label: ColumnProfile | None,
    columns: Sequence[ColumnProfile],
    rows: int,
    time: TimeProfile | None,
    given: str | None = None,
) -> Problem:
    """Return the kind of problem.

    :param label: None where nothing is labelled. :param given: the kind that the user names.
    :raises UnknownNameError: for a kind that there is not. :raises ConfigurationError: for one that the label is not.
    """
    if given and given not in KINDS:
        raise UnknownNameError("kind of problem", given, KINDS)
    if label is None:
        if given and given != "anomaly_detection":
            raise ConfigurationError(f"{given} learns from a label; name its column with --label")
        why = "no column is a label: what is unlike all else can still be found"
        return Problem(kind="anomaly_detection", reason=why, rejected=dict.fromkeys(CLASSES, "there is no label"))
    unfit = no_label(label, rows)
    if unfit:
        raise ConfigurationError(f"column {label.name!r} can't be the label: {unfit}; name another")
    query = next((each.name for each in columns if _QUERY.search(plain(each.name)) and each.distinct < rows), None)
    whys = _reasons(label, time, query)
    kind: ProblemKind = given or next(kind for kind, (fits, _) in whys.items() if fits)  # type: ignore[assignment]
    _check(kind, label, whys, given=bool(given))
    reason = f"you said so; {whys[kind][1]}" if given else whys[kind][1]
    rejected = {other: _not(other, kind, label, why, fits=fits) for other, (fits, why) in whys.items() if other != kind}
    return Problem(kind=kind, reason=reason, rejected=rejected, query=query if kind == "ranking" else None)


def _reasons(
    label: ColumnProfile, time: TimeProfile | None, query: str | None
) -> Mapping[ProblemKind, tuple[bool, str]]:
    """Return of each kind whether the label is of it, and why, or why not; the first that fits is the one."""
    numbers = label.is_number
    amounts = numbers and not (label.whole and label.distinct <= FEW)
    named = bool(_CLASS.search(plain(label.name))) and label.distinct <= SOME
    is_class = not numbers or (label.whole and (label.distinct <= FEW or named))
    steps = f"each {time.step}" if time and time.step else ""
    series = f"{time.series:,} series by {', '.join(time.keys)}" if time and time.keys else "one series"
    orders = bool(query) and label.distinct <= FEW and (label.whole or label.type == "bool")
    two = label.distinct == 2
    return {
        "multilabel_classification": (
            label.tokens > 2,
            f"a value lists several of {label.tokens} things" if label.tokens > 2 else "no value lists several things",
        ),
        "ranking": (orders, f"rows are ordered for each {query}" if orders else "no column names a query"),
        "binary_classification": (two, "the label has two values" if two else f"it has {label.distinct:,} values"),
        "forecasting": (
            bool(steps) and amounts and not named,
            f"an amount at {steps}, {series}" if steps else "rows don't follow each other by equal steps of time",
        ),
        "multiclass_classification": (
            is_class and not two,
            f"the label is one of {label.distinct} classes"
            if is_class
            else f"{label.distinct:,} amounts are no classes",
        ),
        "regression": (numbers, "the label is an amount" if numbers else "the label is no number"),
        "anomaly_detection": (False, "there is a label to learn from"),
    }


def _not(other: ProblemKind, kind: ProblemKind, label: ColumnProfile, why: str, *, fits: bool) -> str:
    if other == "anomaly_detection" and label.distinct == 2 and _rarest(label) < RARE:
        return f"there are labels, though only {_rarest(label):.2%} of one value: worth a try beside it"
    if other == "regression" and kind == "multiclass_classification" and label.is_number:
        return f"its {label.distinct} whole numbers look like classes; if they are amounts or ranks, say so"
    if other == "regression" and kind == "forecasting":
        return "rows of a series know each other: what came before is the best predictor"
    if other == "forecasting" and not fits and "equal steps" not in why:
        return "the label is no amount that runs on"
    return f"it could be, too: {why}" if fits else why


def _rarest(label: ColumnProfile) -> float:
    counts = [count for _, count in label.frequent] or [1]
    return min(counts) / sum(counts)


def _check(
    kind: ProblemKind, label: ColumnProfile, whys: Mapping[ProblemKind, tuple[bool, str]], *, given: bool
) -> None:
    """Refuse a kind that the user names and that can't be learned from the label."""
    numeric = label.is_number or label.type == "bool"
    impossible = {
        "binary_classification": label.distinct != 2,
        "regression": not numeric,
        "forecasting": not numeric,
        "ranking": not numeric,
        "multilabel_classification": label.tokens < 2,
        "multiclass_classification": label.is_number and not label.whole,
    }
    if given and impossible.get(kind):
        raise ConfigurationError(f"column {label.name!r} can't be the label of {kind}: {whys[kind][1]}")
