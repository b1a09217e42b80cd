"""Each column by itself: how its values lie, and what they may say about a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from airflow_mlops_provider.backends.profiles.values import Floats, Values
from airflow_mlops_provider.backends.tables.sample import Hashes, spread
from airflow_mlops_provider.lifecycle.initiation.candidates import MOST_CLASSES, plain
from airflow_mlops_provider.lifecycle.initiation.profile import QUANTILES, ColumnProfile

BARS, MOST_FREQUENT, MOST_LOOKED_AT, MOST_THINGS = 24, 20, 1000, 200
#: Rows of which rank correlations are taken, and columns.
MOST_RANKED, MOST_COLUMNS = 5_000, 60
_PATTERNS = {
    "mail addresses": r"[^@\s]+@[^@\s]+\.\w{2,}",
    "telephone numbers": r"\+?\d{0,3}[ (/.-]{1,2}\d{2,5}[ )/.-]{1,2}\d{2,}[\d /.-]*|\+\d{8,15}",
    "bank accounts": r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}",
    "network addresses": r"\d{1,3}(\.\d{1,3}){3}",
}
_NAMES = re.compile(
    r"(^|_)(e?mail|phone|mobile|telephone|(first|last|full|sur|given|family|customer|user)_?name|surname|address|street|"
    r"birth\w*|dob|ssn|passport|iban|national_id|ip)($|_)"
)
LISTED = re.compile(r"\s*[|;]\s*|,\s*")


def column_profile(values: Values) -> ColumnProfile:
    """Return what there is to say about a column."""
    numbers = values.numbers
    known = numbers[~values.missing] if numbers is not None else np.array([])
    facts = dict[str, Any]()
    if values.type in ("int64", "float64") and len(known):
        facts |= {"low": float(known.min()), "high": float(known.max()), "mean": float(known.mean())}
        facts["quantiles"] = tuple(map(float, np.quantile(known, QUANTILES)))
        facts["whole"] = bool((known % 1 == 0).all())
    if values.type == "bool" and len(known):
        facts["mean"] = float(known.mean())
    if values.type == "timestamp" and len(known):
        facts["span"] = (moment(known.min()), moment(known.max()))
    if values.type in ("int64", "float64", "timestamp") and len(known):
        facts |= _bars(known, clipped=values.type != "timestamp")
    order = numbers if numbers is not None else values.codes.astype(float)
    facts["ordered"] = float((np.diff(order) >= 0).mean()) if len(order) > 1 else 0.0
    facts |= _of_text(values) if values.type == "string" else {"personal": _personal(values.name, [])}
    return ColumnProfile(
        name=values.name,
        type=values.type,
        written=values.written,
        zoned=values.zoned,
        missing=float(values.missing.mean()),
        distinct=values.distinct,
        frequent=() if facts["personal"] else _frequent(values),
        warnings=tuple(values.warnings),
        **facts,
    )


def moment(seconds: float) -> datetime:
    """Return a time that numbers hold as seconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(float(seconds)))


def _bars(known: Floats, *, clipped: bool) -> dict[str, Any]:
    low, high = np.quantile(known, (0.01, 0.99)) if clipped else (known.min(), known.max())
    if low == high:
        low, high = known.min(), known.max()
    whole = bool((known % 1 == 0).all())
    count = BARS
    if whole and high - low < BARS:
        low, high, count = low - 0.5, high + 0.5, int(high - low) + 1
    if not low < low + (high - low) / count < np.inf:
        return {"bars": (len(known),), "edges": (float(low), float(high))}
    bars, edges = np.histogram(np.clip(known, low, high), max(count, 1), (low, high) if low < high else None)
    return {"bars": tuple(map(int, bars)), "edges": (float(edges[0]), float(edges[-1]))}


def _frequent(values: Values) -> tuple[tuple[str, int], ...]:
    """Return the most frequent values of a column of few: of many each may name somebody."""
    counts = values.counts
    if values.distinct > MOST_CLASSES:
        return ()
    order = [int(code) for code in np.argsort(-counts, kind="stable")[:MOST_FREQUENT] if counts[code]]
    return tuple((values.shown(code), int(counts[code])) for code in order)


def _of_text(values: Values) -> dict[str, Any]:
    texts = values.texts(MOST_LOOKED_AT)
    things = [[part for part in LISTED.split(text) if part] for text in texts]
    several = sum(len(parts) > 1 for parts in things)
    names = {part for parts in things for part in parts}
    lists = several >= 0.2 * len(texts) > 1 and len(names) < min(len(texts), MOST_THINGS)
    return {"personal": _personal(values.name, texts), "tokens": len(names) if lists else 0}


def _personal(name: str, texts: list[str]) -> str:
    for what, pattern in _PATTERNS.items():
        if texts and sum(bool(re.fullmatch(pattern, text)) for text in texts) > len(texts) / 2:
            return f"its values look like {what}"
    return "its name says so" if _NAMES.search(plain(name)) else ""


def duplicates(columns: Mapping[str, Values]) -> float:
    """Return the share of rows that are the same as an earlier one in all columns."""
    if not columns:
        return 0.0
    rows = row_hashes(columns)
    return float(1 - len(np.unique(rows)) / len(rows)) if len(rows) else 0.0


def row_hashes(columns: Mapping[str, Values]) -> Hashes:
    """Return a hash of each row's values, the same for the same ones."""
    hashes = None
    for place, values in enumerate(columns.values()):
        own = spread(values.codes.astype(np.uint64) + np.uint64(place << 40))  # else equal codes would cancel out
        hashes = own if hashes is None else spread(hashes ^ own)
    return hashes if hashes is not None else np.array([], dtype=np.uint64)


def ranks(numbers: Floats) -> Floats:
    """Return the rank of each number, equal ones the mean of theirs."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)


def associations(columns: Mapping[str, Values]) -> dict[str, float]:
    """Return each column's mean absolute rank correlation (Spearman's) with the others, of columns of numbers."""
    usable = {
        name: values.numbers
        for name, values in columns.items()
        if values.numbers is not None and values.type != "timestamp" and values.distinct > 1
    }
    names = [*usable][:MOST_COLUMNS]
    if len(names) < 2:
        return {}
    rows = len(usable[names[0]])
    chosen = np.argsort(spread(np.arange(rows, dtype=np.uint64)))[:MOST_RANKED]
    filled = [np.where(np.isnan(each := usable[name][chosen]), np.nanmedian(usable[name]), each) for name in names]
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.abs(np.nan_to_num(np.corrcoef([ranks(each) for each in filled])))
    np.fill_diagonal(matrix, 0)
    return {name: float(matrix[place].sum() / (len(names) - 1)) for place, name in enumerate(names)}
