"""The leakage probe: hide what became known later, compute again, and see whether an earlier feature changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype

from airflow_mlops_provider.exceptions import LeakageError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

Tables = dict[str, pd.DataFrame]
Compute = Callable[[Tables, Interval], Tables]
Reveals = Mapping[str, Mapping[str, tuple[str, ...]]]

_TOLERANCE = 1e-9


def hide(tables: Tables, known_later: Reveals, cutoff: datetime) -> Tables:
    """Return the tables as they stood at a moment: what was revealed after it is null, and so is its time.

    :param tables: clean tables; left as they are.
    :param known_later: ``{table: {time column: columns known only from then}}``.
    :param cutoff: the moment; what became known exactly then is known.
    """
    return {name: _hide_in(table, known_later.get(name, {}), cutoff) for name, table in tables.items()}


def _hide_in(table: pd.DataFrame, times: Mapping[str, tuple[str, ...]], cutoff: datetime) -> pd.DataFrame:
    hidden = table.copy()
    for time, columns in times.items():
        unknown = ~(table[time] <= cutoff)
        for column in (time, *columns):
            hidden[column] = hidden[column].mask(unknown)
    return hidden


def probe(
    compute: Compute,
    tables: Tables,
    interval: Interval,
    known_later: Reveals,
    cutoffs: Iterable[datetime],
    made: Tables | None = None,
) -> None:
    """Compare features computed with and without what was revealed after each cutoff, up to that cutoff.

    :param compute: the product's feature function.
    :param tables: clean tables of the interval and its lookback.
    :param known_later: as for :func:`hide`.
    :param cutoffs: moments, best spread over the interval; each costs one computation.
    :param made: what ``compute`` makes of the tables as they are, if that is known already.
    :raises LeakageError: naming the view, the feature and one row that used what was not known yet.
    """
    with_hindsight = compute(tables, interval) if made is None else made
    for cutoff in cutoffs:
        as_known = compute(hide(tables, known_later, cutoff), interval)
        for view, rows in with_hindsight.items():
            _compare(view, _known_rows(rows, cutoff), _known_rows(as_known[view], cutoff), cutoff)


def moments(interval: Interval, count: int) -> list[datetime]:
    """Return that many cutoffs, evenly spread inside an interval and off the full hour more often than on it."""
    step = (interval.end - interval.start) / (count + 1)
    return [interval.start + step * place for place in range(1, count + 1)]


def _known_rows(rows: pd.DataFrame, cutoff: datetime) -> pd.DataFrame:
    known = rows[rows[EVENT_TIME] <= cutoff]
    keys = [column for column in known if column == EVENT_TIME or not is_numeric_dtype(known[column])]
    # Rows that share entity and moment are told apart by their order.
    return known.set_index(keys).set_index(known.groupby(keys, dropna=False).cumcount(), append=True)


def _compare(view: str, hindsight: pd.DataFrame, known: pd.DataFrame, cutoff: datetime) -> None:
    strays = hindsight.index.symmetric_difference(known.index, sort=False)
    if len(strays):
        place = _place(view, hindsight.index, strays[0])
        raise LeakageError(f"{place} exists or not depending on what was revealed after {cutoff}")
    known = known.reindex(hindsight.index)
    for feature in hindsight.columns:
        differs = ~_same(hindsight[feature], known[feature])
        if differs.any():
            at = int(np.argmax(differs))
            raise LeakageError(
                f"{_place(view, hindsight.index, hindsight.index[at])}: {feature!r} uses what was revealed later; "
                f"it is {hindsight[feature].iloc[at]}, but at {cutoff} only {known[feature].iloc[at]} could be known"
            )


def _same(one: pd.Series, other: pd.Series) -> npt.NDArray[np.bool_]:
    left, right = one.to_numpy("float64"), other.to_numpy("float64")
    return np.asarray(np.isclose(left, right, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True))


def _place(view: str, index: pd.Index, row: tuple[object, ...]) -> str:
    where = ", ".join(f"{name}={value}" for name, value in zip(index.names[:-1], row[:-1], strict=True))
    return f"view {view!r}, row {where}"
