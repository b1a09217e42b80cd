"""The leakage probe: hide what became known later, compute again, and see whether an earlier feature changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from airflow_mlops_provider.exceptions import LeakageError
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

Tables = dict[str, pd.DataFrame]
Compute = Callable[[Tables], Tables]
Reveals = Mapping[str, Mapping[str, tuple[str, ...]]]

_TOLERANCE = 1e-9


def hide(tables: Tables, known_later: Reveals, cutoff: datetime) -> Tables:
    """Return the tables as they stood at a moment: what was revealed after it is null, and so is its time.

    :param tables: clean tables; left as they are.
    :param known_later: ``{table: {time column: columns known only from then}}``.
    :param cutoff: the moment; what became known exactly then is known.
    """
    hidden = {name: table.copy() for name, table in tables.items()}
    for name, table in hidden.items():
        for time, columns in known_later.get(name, {}).items():
            known = tables[name][time] <= cutoff
            for column in (time, *columns):
                table[column] = table[column].where(known)
    return hidden


def probe(compute: Compute, tables: Tables, known_later: Reveals, cutoff: datetime, hindsight: Tables) -> None:
    """Compare features computed with and without what was revealed after a moment, up to that moment.

    :param compute: the product's feature function.
    :param tables: clean tables of the interval and its lookback.
    :param known_later, cutoff: as for :func:`hide`; each probe costs one computation.
    :param hindsight: what ``compute`` makes of the tables as they are.
    :raises LeakageError: naming the view, the feature and one row that used what was not known yet.
    """
    as_known = compute(hide(tables, known_later, cutoff))
    for view, rows in hindsight.items():
        _compare(view, _known_rows(rows, cutoff), _known_rows(as_known[view], cutoff), cutoff)


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
        used, right = (rows[feature].to_numpy("float64") for rows in (hindsight, known))
        differs = ~np.isclose(used, right, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
        if differs.any():
            at = int(np.argmax(differs))
            raise LeakageError(
                f"{_place(view, hindsight.index, hindsight.index[at])}: {feature!r} uses what was revealed later; "
                f"it is {hindsight[feature].iloc[at]}, but at {cutoff} only {known[feature].iloc[at]} could be known"
            )


def _place(view: str, index: pd.Index, row: tuple[object, ...]) -> str:
    where = ", ".join(f"{name}={value}" for name, value in zip(index.names[:-1], row[:-1], strict=True))
    return f"view {view!r}, row {where}"
