"""Columns that give the label away: each is held against it alone, and whatever is too good to be true is named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from airflow_mlops_provider.backends.profiles.columns import ranks
from airflow_mlops_provider.backends.profiles.values import Codes, Floats, Rows, Values
from airflow_mlops_provider.backends.tables.sample import spread
from airflow_mlops_provider.lifecycle.initiation.candidates import plain
from airflow_mlops_provider.lifecycle.initiation.profile import Suspect

#: What a column may know of the label alone, 0 (nothing) to 1 (all); and less, if no other knows anything like it.
TOO_GOOD, GOOD, GAP = 0.985, 0.85, 0.35
#: A row has a value, or has none, mostly where the label is one: the difference of both shares.
FOLLOWS, PURE, LEAST_ROWS = 0.5, 0.995, 30
LATER = 0.5
MOST_ROWS, BINS, FOLDS, CLASSES = 50_000, 32, 5, 10
_AFTER = re.compile(
    r"(^|_)(result|outcome|final|after|closed|resolved|resolution|completed|actual|settled|refunded?|cancell?ed|paid|"
    r"delivered|recovered|collected|discharged?|charged_?off|post)($|_)"
)


def suspects(
    label: Values, columns: Mapping[str, Values], seconds: Floats | None, time: str | None, *, classes: bool
) -> Iterator[Suspect]:
    """Yield the columns that may give the label away, each once, with the strongest evidence.

    :param columns: all but the label and the time. :param time: what the time's column is called.
    :param classes: whether the label is one of some classes; else it is an amount.
    """
    rows = _some(~label.missing)
    target = _targets(label, rows, classes)
    enough = {} if len(rows) < LEAST_ROWS else columns  # of few rows any column may predict all
    skills = {name: skill(values, rows, target) for name, values in enough.items() if values.type != "timestamp"}
    known_at = _later(columns, seconds, time)
    for name, values in columns.items():
        suspect = (
            _same(label, values, rows)
            or _predicts(name, skills, classes)
            or (_missing(label, values, classes) if 0 < values.missing.mean() < 1 else None)
            or known_at.get(name)
            or _named(name)
        )
        if suspect:
            # What comes with a later time is known from then on.
            with_it = (each for each in known_at if each == name or _comes_with(values, columns[each]))
            yield suspect.model_copy(update={"known_later": next(with_it, None)}) if suspect.proven else suspect


def skill(values: Values, rows: Codes, target: list[Floats]) -> float:
    """Return what a column knows of the label alone, on rows that were not learned from: 0 for nothing, 1 for all.

    It is cut into bins of which each predicts the mean of the other folds. Of classes the mean 2 AUC - 1 (Gini's
    coefficient), weighted by how many there are; of amounts the R² of the label's ranks.
    """
    bins = _bins(values)[rows]
    fold = (spread(rows.astype(np.uint64)) % np.uint64(FOLDS)).astype(np.int64)
    scores, weights = [], []
    for wanted in target:
        predicted = _predicted(bins, fold, wanted)
        is_class = len(target) > 1 or {*np.unique(wanted[:1000])} <= {0.0, 1.0}
        scores.append(_gini(wanted, predicted) if is_class else _explained(wanted, predicted))
        weights.append(wanted.sum() if is_class else 1.0)
    return float(np.clip(np.average(scores, weights=weights), 0, 1)) if sum(weights) else 0.0


def _targets(label: Values, rows: Codes, classes: bool) -> list[Floats]:
    if not classes and label.numbers is not None:
        return [ranks(label.numbers[rows])]
    codes = label.codes[rows]
    wanted = np.argsort(-label.counts, kind="stable")[:CLASSES]
    of_two = label.distinct == 2
    return [(codes == code).astype(float) for code in wanted[: 1 if of_two else None] if label.counts[code]]


def _some(known: Rows) -> Codes:
    rows = np.flatnonzero(known)
    return np.sort(rows[np.argsort(spread(rows.astype(np.uint64)))[:MOST_ROWS]])


def _bins(values: Values) -> Codes:
    """Return in which bin each value lies, missing ones in one of their own."""
    numbers, codes = values.numbers, values.codes
    names = values.type == "int64" and values.distinct * FOLDS <= len(codes)  # a number may be a name
    if numbers is None or values.distinct <= BINS or names:
        rare = np.append(values.counts < 2, False)[codes]  # a value of one row alone tells nothing
        return np.where(codes < 0, 0, np.where(rare, 1, codes + 2))
    edges = np.unique(np.quantile(numbers[~values.missing], np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(values.missing, 0, np.searchsorted(edges, numbers, side="left") + 1)


def _predicted(bins: Codes, fold: Codes, wanted: Floats) -> Floats:
    count = int(bins.max()) + 1
    place = bins * FOLDS + fold
    sums = np.bincount(place, wanted, count * FOLDS).reshape(count, FOLDS)
    rows = np.bincount(place, minlength=count * FOLDS).reshape(count, FOLDS)
    others, counted = sums.sum(axis=1)[bins] - sums[bins, fold], rows.sum(axis=1)[bins] - rows[bins, fold]
    return np.asarray((others + wanted.mean()) / (counted + 1), dtype=np.float64)


def _gini(wanted: Floats, predicted: Floats) -> float:
    """Return 2 AUC - 1, the AUC by the sum of ranks (Mann and Whitney, 1947)."""
    positive = wanted.sum()
    negative = len(wanted) - positive
    if not positive or not negative:
        return 0.0
    above = ranks(predicted)[wanted > 0].sum() - positive * (positive + 1) / 2
    return float(2 * above / (positive * negative) - 1)


def _explained(wanted: Floats, predicted: Floats) -> float:
    return float(1 - ((wanted - predicted) ** 2).sum() / max(((wanted - wanted.mean()) ** 2).sum(), 1e-12))


def _same(label: Values, values: Values, rows: Codes) -> Suspect | None:
    """Return that a column is the label in other words: each value of either goes with one of the other."""
    both = rows[values.codes[rows] >= 0]
    pairs = len(np.unique(label.codes[both] * (values.codes.max() + 1) + values.codes[both]))
    there = len(np.unique(values.codes[both]))
    few = 2 <= there <= len(both) / 5 and len(both) >= 0.5 * len(rows)
    if few and pairs == there == len(np.unique(label.codes[both])):
        evidence = f"each of its {there} values goes with one of the label's, in all {len(both):,} rows"
        return Suspect(column=values.name, pattern="same", value=1.0, evidence=evidence)
    if label.numbers is None or values.numbers is None or few or len(both) < LEAST_ROWS or there < 10:
        return None
    pair = ranks(label.numbers[both]), ranks(values.numbers[both])
    correlation = float(np.abs(np.corrcoef(*pair)[0, 1])) if np.ptp(pair[0]) else 0.0
    if correlation < 0.9999:
        return None
    evidence = f"its ranks are the label's (correlation {correlation:.5f})"
    return Suspect(column=values.name, pattern="same", value=correlation, evidence=evidence)


def _predicts(name: str, skills: Mapping[str, float], classes: bool) -> Suspect | None:
    value = skills.get(name, 0.0)
    others = sorted((other for key, other in skills.items() if key != name and other < TOO_GOOD), reverse=True)
    rest = others[0] if others else 0.0
    alone = len(others) > 1 and value >= GOOD and value - rest >= GAP
    if value < TOO_GOOD and not alone:
        return None
    shown = f"AUC {(value + 1) / 2:.3f}" if classes else f"R² {value:.3f} of the label's ranks"
    evidence = f"alone it predicts the label with {shown}; it knows {value:.0%} of it, the next best column {rest:.0%}"
    return Suspect(column=name, pattern="predicts", value=value, evidence=evidence)


def _missing(label: Values, values: Values, classes: bool) -> Suspect | None:
    """Return that whether a column has a value follows the label."""
    known = ~label.missing
    has, rows = (~values.missing)[known], known.sum()
    if min(has.sum(), rows - has.sum()) < LEAST_ROWS:
        return None
    for wanted in _targets(label, np.flatnonzero(known), classes):
        difference = _gini(has.astype(float), wanted)
        if abs(difference) >= FOLLOWS:
            evidence = f"whether it has a value follows the label: Gini coefficient {abs(difference):.2f}"
            return Suspect(column=values.name, pattern="missing", value=abs(difference), evidence=evidence)
        for there, words in ((has, "with"), (~has, "without")):
            share = float(wanted[there].mean())
            if classes and max(share, 1 - share) >= PURE and min(wanted.mean(), 1 - wanted.mean()) > 0.1:
                evidence = f"all {there.sum():,} rows {words} a value have the same label"
                return Suspect(column=values.name, pattern="missing", value=max(share, 1 - share), evidence=evidence)
    return None


def _later(columns: Mapping[str, Values], seconds: Floats | None, time: str | None) -> dict[str, Suspect]:
    """Return the times that lie after their row's own."""
    listed = dict[str, Suspect]()
    if seconds is None:
        return listed
    for name, values in columns.items():
        if values.type != "timestamp" or values.numbers is None or name == time or values.missing.all():
            continue
        days = (values.numbers - seconds)[~values.missing & ~np.isnan(seconds)] / 86400
        share = float((days > 0).mean()) if len(days) else 0.0
        if share >= LATER:
            evidence = f"in {share:.0%} of rows it is later than {time}, by {np.median(days[days > 0]):.3g} days"
            listed[name] = Suspect(column=name, pattern="later", value=share, evidence=evidence, known_later=name)
    return listed


def _named(name: str) -> Suspect | None:
    if not _AFTER.search(plain(name)):
        return None
    return Suspect(column=name, pattern="name", value=0.0, evidence="its name says that it is known afterwards")


def _comes_with(values: Values, later: Values) -> bool:
    """Say whether a column has a value just where a later time has one."""
    return bool(later.missing.any()) and float((values.missing == later.missing).mean()) > 0.98
