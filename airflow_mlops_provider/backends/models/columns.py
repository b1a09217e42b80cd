"""Rows as columns, without a frame: what a model server's calls are made of, and what most models take.

A column is an array: text as objects with None, whole numbers, truth values, float64 with NaN, moments as
``datetime64[ns]`` in UTC with NaT; or a :class:`Category`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from itertools import starmap
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mlops_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_MARK = "__by_columns__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def by_columns(function: _Function) -> _Function:
    """Mark a product's ``assemble`` as one of columns: it is given a mapping of arrays by name, and returns one.

    What is to be a category it returns as a :class:`Category`. Training, batch and REST call the same function.
    """
    setattr(function, _MARK, True)
    return function


def is_by_columns(function: Callable[..., Any]) -> bool:
    """Say whether a function is of columns; any other is of a frame."""
    return getattr(function, _MARK, False)


@dataclass(frozen=True, slots=True)
class Category:
    """A column of categories. :param codes: each row's place among them; -1 for what is missing, or none of them."""

    codes: np.ndarray
    categories: tuple[Any, ...]

    @classmethod
    def of(cls, values: Iterable[Any], categories: Sequence[Any]) -> Category:
        """Return values as some of these categories, in this order."""
        import numpy as np

        place = {category: code for code, category in enumerate(categories)}
        return cls(np.array([place.get(value, -1) for value in values], dtype="int64"), tuple(categories))

    def __len__(self) -> int:
        return len(self.codes)


Column = Any  # an array, or a Category; NumPy has no name for "one of these" that is known without it


class Columns(dict[str, Column]):
    """Columns by name, of the same number of rows."""

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Columns:
        """Return a frame's columns."""
        return cls({str(name): _array(values) for name, values in frame.items()})

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.values()))) if self else 0

    def at(self, places: slice | Sequence[int]) -> Columns:
        """Return some of the rows."""
        return Columns({name: _at(values, places) for name, values in self.items()})

    def copied(self) -> Columns:
        """Return columns that whoever gets them may change."""
        return Columns({name: _at(values, slice(None), copy=True) for name, values in self.items()})

    def frame(self, index: pd.Index | None = None) -> pd.DataFrame:
        """Return the same as a frame."""
        import pandas as pd

        return pd.DataFrame({name: _series(values) for name, values in self.items()}, index=None).set_axis(
            pd.RangeIndex(self.rows) if index is None else index
        )

    def values_of(self, name: str) -> list[Any]:
        """Return a column as plain values; moments say that they are in UTC."""
        return _plain(self[name])

    def missing(self, names: Iterable[str]) -> float:
        """Return the share of values that are missing in some columns."""
        import numpy as np
        import pandas as pd

        known = [values for name in names if (values := self.get(name)) is not None]
        gaps = [v.codes < 0 if isinstance(v, Category) else pd.isna(v) for v in known]
        return float(np.mean(gaps)) if gaps else 0.0

    def plain(self) -> list[Any]:
        """Return each row as plain values by name, which msgspec writes as a JSON object."""
        return [*starmap(_object(tuple(self)), zip(*map(_plain, self.values()), strict=True))]


def rows_of(given: pd.DataFrame | Columns) -> int:
    """Return how many rows a frame or some columns have."""
    return given.rows if isinstance(given, Columns) else len(given)


def assembled_columns(function: Callable[..., Any], rows: Columns, code: str) -> Columns:
    """Return what a product's ``assemble`` makes of some columns, once it is a value of each for each row.

    :param code: the function, as messages name it.
    :raises ConfigurationError: if it is anything else.
    """
    import numpy as np

    made, count = function(Columns(rows)), rows.rows
    if not isinstance(made, Mapping):
        raise ConfigurationError(f"{code} returned {type(made).__name__}; it must return arrays by name")
    for name, values in made.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"{code} returned a column named {name!r}; names must be text")
        if not isinstance(values, Category) and (not isinstance(values, np.ndarray) or values.ndim != 1):
            raise ConfigurationError(f"{code} returned {name!r} as {type(values).__name__}; it must be a plain array")
        if len(values) != count:
            raise ConfigurationError(
                f"{code} returned {len(values)} values of {name!r} for {count} rows; each row needs its own"
            )
    return Columns(made)


@lru_cache(maxsize=64)
def _object(names: tuple[str, ...]) -> Callable[..., Any]:
    """Return what makes an object of a value for each name: a dict takes five times as long to make."""
    import msgspec

    fields = {f"c{number}": name for number, name in enumerate(names)}
    try:
        return msgspec.defstruct("Row", [(field, Any) for field in fields], rename=fields, gc=False)
    except ValueError:  # names that JSON writes otherwise
        return lambda *values: dict(zip(names, values, strict=True))


def _array(values: pd.Series) -> Column:
    kind = values.dtype
    if kind.name == "category":
        return Category(values.array.codes, tuple(kind.categories.tolist()))
    return values.to_numpy("datetime64[ns]") if kind.kind == "M" else values.to_numpy()


def _series(values: Column) -> Any:
    import pandas as pd

    if isinstance(values, Category):
        return pd.Categorical.from_codes(values.codes, list(values.categories))
    return pd.DatetimeIndex(values, tz="UTC") if values.dtype.kind == "M" else values


def _at(values: Column, places: slice | Sequence[int], *, copy: bool = False) -> Column:
    if isinstance(values, Category):
        return Category(_at(values.codes, places, copy=copy), values.categories)
    return values[places].copy() if copy else values[places]


def _plain(values: Column) -> list[Any]:
    if isinstance(values, Category):
        names = [*values.categories, None]
        return [names[code] for code in values.codes.tolist()]
    if values.dtype.kind == "M":
        return [moment and moment.replace(tzinfo=UTC) for moment in values.astype("datetime64[us]").tolist()]
    plain: list[Any] = values.tolist()
    return plain
