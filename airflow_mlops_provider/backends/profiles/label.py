"""The proof that labels exist: which rows have one, in which part of the time, and how late they come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from airflow_mlops_provider.backends.profiles.columns import LISTED, MOST_THINGS
from airflow_mlops_provider.backends.profiles.time import mean_by_period, period_of
from airflow_mlops_provider.backends.profiles.values import Codes, Floats, Rows, Values
from airflow_mlops_provider.lifecycle.initiation.candidates import MOST_CLASSES, plain
from airflow_mlops_provider.lifecycle.initiation.profile import Delay, LabelProfile, TimeProfile

DAY = 86400.0
#: Parts of age, and how many of the younger half must have no label for that to be a delay.
AGES, LEAST_MISSING = 100, 10
_SEPARATORS = ("|", ";", ", ", "; ", " | ", ",")
_KNOWN_AT = re.compile(
    r"known|label|outcome|clos|resolv|decid|complet|arriv|return|settl|paid|confirm|deliver|finish|end|drop.?off|result"
)


def label_profile(
    label: Values, columns: Mapping[str, Values], seconds: Floats | None, time: TimeProfile | None
) -> LabelProfile:
    """Return what proves that labels exist."""
    there = ~label.missing
    counted, numbers = _numbers(label)
    values = {**_values(label), "column": label.name, "known": float(there.mean()), "counted": counted}
    if seconds is None or time is None:
        return LabelProfile(**values)
    period, count = period_of(seconds, time.periods), len(time.periods.starts)
    known = [share or 0.0 for share in mean_by_period(there.astype(float), period, count)]
    return LabelProfile(
        **values,
        known_by_period=tuple(known),
        mean_by_period=tuple(mean_by_period(numbers, period, count)),
        delay=_by_column(there, columns, seconds, time.column) or _by_age(there, seconds),
    )


def _values(label: Values) -> dict[str, Any]:
    """Return the classes of a label, or the things that it lists, and what is between these."""
    texts = label.different()
    things = sorted({thing for text in texts for thing in LISTED.split(text) if thing})
    if label.type == "string" and len(texts) > len(things) > 2 and len(things) < MOST_THINGS:
        exact = (mark for mark in _SEPARATORS if {part for text in texts for part in text.split(mark)} == {*things})
        return {"classes": things, "separator": next(exact, "")}
    if len(texts) > MOST_CLASSES:
        return {}
    return {"classes": texts, "positive": _positive(label) if label.distinct == 2 else None}


def _positive(label: Values) -> str:
    """Return which of two values is predicted: the rarer one, but of 0 and 1, and of truth values, the second."""
    texts = label.different()
    if [text.lower() for text in texts] in (["0", "1"], ["false", "true"]):
        return texts[1]
    return label.shown(int(np.argmin(np.where(label.counts > 0, label.counts, np.inf))))


def _numbers(label: Values) -> tuple[str, Floats]:
    """Return what is counted of a label, and a number for each row: of classes, whether it is the rarest of two."""
    if label.numbers is not None and (label.type != "bool"):
        return "", label.numbers
    counts = np.where(label.counts > 0, label.counts, np.inf)
    code = int(np.argmin(counts)) if label.distinct == 2 else int(np.argmax(label.counts))
    numbers = np.where(label.codes < 0, np.nan, (label.codes == code).astype(float))
    return label.shown(code), numbers


def _by_column(there: Rows, columns: Mapping[str, Values], seconds: Floats, time: str) -> Delay | None:
    """Return the delay that a second time says: one that is never before the row's own and is there with its label."""
    for name, values in columns.items():
        if values.type != "timestamp" or name == time or values.numbers is None:
            continue
        both = ~values.missing & ~np.isnan(seconds)
        days = (values.numbers - seconds)[both & there] / DAY
        agrees = float((values.missing == ~there).mean())
        named = _KNOWN_AT.search(plain(name)) is not None
        if len(days) < 2 or (days < 0).mean() > 0.01 or agrees < 0.95 or not (named or (~there).mean() > 0.01):
            continue
        if (days > 0).mean() < 0.5:
            continue
        median, most = (float(np.quantile(days, share)) for share in (0.5, 0.95))
        evidence = f"{name} lies {median:.3g} days after the row by its median, and at most {most:.3g} in 95 % of rows"
        return Delay(known_at=name, median=max(0.0, median), most=max(0.0, most), evidence=evidence)
    return None


def _by_age(there: Rows, seconds: Floats) -> Delay | None:
    """Return the delay that the newest rows show: the younger they are, the fewer of them have a label.

    Each row tells of one age whether its label had come by then. The best guess of the distribution from such current
    status data is the isotonic regression of "it has come" on age (Ayer et al., Ann. Math. Statist. 26(4), 1955).
    """
    rows = ~np.isnan(seconds)
    age = (seconds[rows].max() - seconds[rows]) / DAY
    has = there[rows]
    old = has[age >= np.median(age)]
    coming = float(old.mean()) if len(old) else 0.0
    edges = np.unique(np.quantile(age, np.linspace(0, 1, min(AGES, len(age) // LEAST_MISSING) + 1)))
    if (
        coming < 0.05
        or has[age < np.median(age)].sum() + LEAST_MISSING > (age < np.median(age)).sum()
        or len(edges) < 4
    ):
        return None
    place = np.clip(np.searchsorted(edges, age, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    shares = isotonic(np.bincount(place, has, len(edges) - 1) / np.maximum(counts, 1), counts)
    if shares[0] > 0.8 * coming:
        return None
    middle = np.bincount(place, age, len(edges) - 1) / np.maximum(counts, 1)
    median, most = (_reached(shares, middle, share * coming) for share in (0.5, 0.95))
    evidence = (
        f"of rows up to {edges[1]:.3g} days old {shares[0]:.0%} have a label, of the older half {coming:.0%}; "
        f"half of those that come have come after {median:.3g} days, 95 % after {most:.3g}"
    )
    return Delay(median=median, most=most, coming=coming, evidence=evidence)


def _reached(shares: Floats, ages: Floats, share: float) -> float:
    """Return at which age a share is reached, on straight lines between the parts."""
    at = int(np.argmax(shares >= share))
    if at == 0 or shares[at] <= shares[at - 1]:
        return float(ages[at])
    return float(ages[at - 1] + (ages[at] - ages[at - 1]) * (share - shares[at - 1]) / (shares[at] - shares[at - 1]))


def isotonic(values: Floats, weights: Codes) -> Floats:
    """Return the nearest values that never fall, by pooling adjacent violators."""
    blocks = list[tuple[float, float, int]]()
    for value, weight in zip(values, weights, strict=True):
        block = (float(value), float(weight), 1)
        while blocks and blocks[-1][0] >= block[0]:
            value_before, weight_before, count = blocks.pop()
            total = max(weight_before + block[1], 1e-12)
            block = ((value_before * weight_before + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    return np.repeat([value for value, _, _ in blocks], [count for _, _, count in blocks])
