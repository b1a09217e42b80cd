"""Which columns of two tables can be compared, as what, and why the others can't: decisions, on Arrow's types."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Kind = Literal["numbers", "truth values", "text", "times", "no values", "values of a kind that has no distance"]
#: Text of more different values than this, or than half as many as rows, is no category: names, keys, prose.
MOST_VALUES = 200
FEW_VALUES = 20


@dataclass(frozen=True)
class Pair:
    """Two tables, made comparable.

    :param kinds: the columns that are compared, and as what.
    :param left_out: the others, and why.
    """

    kinds: dict[str, Kind]
    left_out: dict[str, str]


def paired(reference: pa.Table, current: pa.Table, named: Collection[str] = ()) -> Pair:
    """Return which columns can be compared, in the reference's order.

    :param named: columns that are compared even if they are times, or text of many values.
    """
    kinds: dict[str, Kind] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys((*reference.column_names, *current.column_names)):
        if name not in current.column_names or name not in reference.column_names:
            left_out[name] = f"only in the {'reference' if name in reference.column_names else 'current'} table"
            continue
        kind, why = _judged([table.column(name) for table in (reference, current)], name in named)
        if why:
            left_out[name] = why
        else:
            kinds[name] = kind
    return Pair(kinds, left_out)


def as_frame(table: pa.Table, kinds: dict[str, Kind]) -> pd.DataFrame:
    """Return the columns that are compared: numbers and times (in seconds) as floats, all else as objects."""
    import pandas as pd
    import pyarrow as pa

    columns = {}
    for name, kind in kinds.items():
        values = _flat(table.column(name))
        if kind == "times":
            values = values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        if kind in ("numbers", "times"):
            as_number = values.cast(pa.int64()) if pa.types.is_duration(values.type) else values
            columns[name] = as_number.cast(pa.float64(), safe=False).to_pandas() / (1e6 if kind == "times" else 1)
        else:
            columns[name] = values.to_pandas().astype(object)
    return pd.DataFrame(columns)


def _judged(sides: Iterable[pa.ChunkedArray], is_named: bool) -> tuple[Kind, str]:
    """Return as what a column is compared, and why it is not, if it is not."""
    flat = [_flat(side) for side in sides]
    kinds = [_kind(side) for side in flat]
    valued = [kind for kind in kinds if kind != "no values"]
    if not valued:
        return "no values", "no value in either table"
    kind = valued[0]
    if kind.startswith("values"):
        return kind, f"{flat[kinds.index(kind)].type}: {kind}"
    if len({*valued}) > 1:
        return kind, f"{valued[0]} in the reference table, {valued[1]} in the current one"
    if kind == "times" and not is_named:
        return kind, "times, which move by themselves; name the column to compare it in seconds"
    texts = [] if is_named else [side for side, has in zip(flat, kinds, strict=True) if has == "text"]
    many = max(map(_values, texts), default=0)
    return kind, f"text of {many} different values; name the column to compare it as a category" if many else ""


def _values(column: pa.ChunkedArray) -> int:
    """Return how many different values a column of text has, if these are too many for a category; else 0."""
    import pyarrow.compute as pc

    count = int(pc.count_distinct(column).as_py())
    rows = len(column) - column.null_count
    return count if count > MOST_VALUES or count > max(FEW_VALUES, rows / 2) else 0


def _kind(column: pa.ChunkedArray) -> Kind:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = column.type, pa.types
    if not pc.any(pc.invert(column.is_null(nan_is_null=True))).as_py():
        return "no values"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_duration(kind):
        return "numbers"
    if types.is_boolean(kind):
        return "truth values"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_timestamp(kind) or types.is_date(kind):
        return "times"
    return "values of a kind that has no distance"


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
