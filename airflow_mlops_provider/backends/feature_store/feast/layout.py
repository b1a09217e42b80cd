"""Feast's own layout online, in bytes: how an entity is named, and how the value of a feature is kept.

What Feast writes is read, and what is written Feast reads: https://docs.feast.dev, online store format. Both without an
object a value, which is where Feast's own way spends its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, repeat
from operator import itemgetter
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any

import numpy as np

from airflow_mlops_provider.backends.tables.column_types import COLUMN_TYPES
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, SourceDataError
from airflow_mlops_provider.lifecycle.source import DataType

Key = tuple[Any, ...]
#: The values of one entity, as they are kept; None where there is none.
Row = Sequence[bytes | None]

# A double in protobuf: the number of its field, then itself.
_DOUBLE, _DOUBLE_FIELD = Struct("<Bd"), 0x29
_DOUBLES = np.dtype([("field", "u1"), ("value", "<f8")])
_NO_DOUBLE = _DOUBLE.pack(_DOUBLE_FIELD, float("nan"))
#: What Feast keeps for a timestamp that is none; NumPy has the same for it.
_NO_MOMENT = -(2**63)
_FIELDS = {"string": "string_val", "int64": "int64_val", "bool": "bool_val", "timestamp": "unix_timestamp_val"}
_HEAD, _WHOLE = Struct("<II"), Struct("<IIq")
_STRING, _INT64, _MOMENT = 2, 4, 8  # among Feast's value types


@dataclass(frozen=True)
class Entities:
    """What names some entities, and the features that views keep of them.

    :param keys: their columns and types.
    :param views: the features of each view and their types.
    """

    keys: dict[str, DataType]
    views: dict[str, dict[str, DataType]]

    @cached_property
    def features(self) -> dict[str, DataType]:
        """Every feature, in the order of the views."""
        return {name: kind for features in self.views.values() for name, kind in features.items()}

    @cached_property
    def _prefix(self) -> bytes:
        from feast.infra.key_encoding_utils import serialize_entity_key_prefix

        return bytes(serialize_entity_key_prefix([*self.keys]))

    @cached_property
    def _encoders(self) -> list[tuple[int, Callable[[Any], bytes]]]:
        unknown = {name: kind for name, kind in self.keys.items() if kind not in _KEYS}
        if unknown:
            raise ConfigurationError(f"Feast names entities by {', '.join(_KEYS)} alone, and by none of {unknown}")
        return [(list(self.keys).index(name), _KEYS[self.keys[name]]) for name in sorted(self.keys)]

    def names(self, known: Iterable[Key]) -> list[bytes]:
        """Return the names under which entities are kept.

        :raises ConfigurationError: if a key is of a type that names nothing.
        :raises SourceDataError: if one is not of its type.
        """
        prefix, encoders = self._prefix, self._encoders
        try:
            if len(encoders) == 1:
                ((_, encode),) = encoders
                return [prefix + encode(key[0]) for key in known]
            return [b"".join((prefix, *(encode(key[place]) for place, encode in encoders))) for key in known]
        except (StructError, ValueError, TypeError, OverflowError) as error:
            raise SourceDataError(f"a key is not {self.keys}: {error}") from None

    def columns(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Return each feature's values of some rows: numbers and truth as float64, moments as datetime64[ns] in UTC.

        :raises BackendError: if the store has a value of another type than is declared.
        """
        kinds = self.features
        floats = [place for place, kind in enumerate(kinds.values()) if kind == "float64"]
        if len(floats) == len(kinds):
            return dict(zip(kinds, _floats(rows, len(kinds)), strict=True))
        names, columns = [*kinds], {}
        if floats:
            pick = itemgetter(*floats) if len(floats) > 1 else lambda row: (row[floats[0]],)
            block = _floats([pick(row) for row in rows], len(floats))
            columns = {names[place]: column for place, column in zip(floats, block, strict=True)}
        for place, name in enumerate(names):
            if name not in columns:
                columns[name] = _column(name, kinds[name], [row[place] for row in rows])
        return {name: columns[name] for name in names}


#: Some entities, each once, and with all its keys.
Wanted = Sequence[tuple[Entities, Sequence[Key]]]


def _floats(rows: Sequence[Row], width: int) -> np.ndarray:
    """Return a column of float64 for each place in the rows."""
    kept = [value or _NO_DOUBLE for value in chain.from_iterable(rows)]
    data = b"".join(kept)
    # Where each begins with the field of a double, each is one: no value is shorter or longer than it says.
    if len(data) == _DOUBLE.size * len(kept) and data[:: _DOUBLE.size].count(_DOUBLE_FIELD) == len(kept):
        return np.ascontiguousarray(np.frombuffer(data, _DOUBLES)["value"].reshape(len(rows), width).T)
    columns = [_column("", "float64", [row[place] for row in rows]) for place in range(width)]
    return np.array(columns).reshape(width, len(rows))


def _column(name: str, kind: DataType, kept: Sequence[bytes | None]) -> np.ndarray:
    """Return one feature's values."""
    values = [_plain(value) if value else None for value in kept]
    if kind == "string":
        column = np.empty(len(values), object)
        column[:] = values
        return column
    try:
        if kind == "timestamp":
            seconds = np.array([_NO_MOMENT if value is None else value for value in values], "int64")
            return seconds.view("M8[s]").astype("M8[ns]")
        return np.array([np.nan if value is None else value for value in values], "float64")
    except (TypeError, ValueError) as error:
        what = f"feature {name!r}" if name else "a feature"
        raise BackendError(f"the online store has {what} of another type than {kind}; materialize it again") from error


@cache
def _message() -> Any:
    """Return Feast's type of a value, which is not imported before a value is read or written."""
    from feast.protos.feast.types.Value_pb2 import Value

    return Value


def _plain(value: bytes) -> Any:
    kept = _message().FromString(value)
    field = kept.WhichOneof("val")
    return getattr(kept, field) if field else None


def encoded(kind: DataType, values: Sequence[Any]) -> list[bytes]:
    """Return values as they are kept; those of timestamps are whole seconds since 1970."""
    if kind == "float64":
        made = np.empty(len(values), _DOUBLES)
        made["field"], made["value"] = _DOUBLE_FIELD, values
        kept, size = made.tobytes(), _DOUBLES.itemsize
        doubles = [kept[at : at + size] for at in range(0, len(kept), size)]
        for place in np.flatnonzero(np.isnan(made["value"])):
            doubles[place] = b""
        return doubles
    message, field = _message(), _FIELDS[kind]
    known = {value: message(**{field: value}).SerializeToString() for value in {*values} - {None}}
    known[None] = message(unix_timestamp_val=_NO_MOMENT).SerializeToString() if kind == "timestamp" else b""
    return [*map(known.__getitem__, values)]


def texts(kind: DataType, values: Sequence[Any]) -> Iterable[str | None]:
    """Return values as text, for Feast's column of it in SQLite; what is no text, number or truth has none."""
    if kind == "timestamp":
        return repeat(None, len(values))
    return [None if value is None or value != value else str(value) for value in values]  # noqa: PLR0124


def table(config: Any, view: Any) -> str:
    """Return the table of a view in SQLite or PostgreSQL, quoted.

    :param config: of Feast's own store.
    :param view: Feast's own.
    """
    from feast.infra.online_stores.sqlite import _quote_id, _table_id

    return str(_quote_id(_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)))


def hash_field(view: str, feature: str) -> bytes:
    """Return the field of a feature in an entity's hash in Redis."""
    from feast.infra.online_stores.helpers import _mmh3

    return bytes(_mmh3(f"{view}:{feature}"))


def parts(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield some values a part at a time."""
    return (values[at : at + size] for at in range(0, len(values), size))


def kind_of(dtype: Any) -> DataType:
    """Return the declared type of what Feast calls a dtype."""
    name = dtype.to_value_type().name
    return next(kind for kind, known in COLUMN_TYPES.items() if known.feast == name)


def _text(value: Any) -> bytes:
    encoded = str(value).encode()
    return _HEAD.pack(_STRING, len(encoded)) + encoded


def _seconds(value: Any) -> bytes:
    from feast.type_map import python_values_to_proto_values
    from feast.value_type import ValueType

    (kept,) = python_values_to_proto_values([value], ValueType.UNIX_TIMESTAMP)
    return _WHOLE.pack(_MOMENT, 8, kept.unix_timestamp_val)


_KEYS: dict[DataType, Callable[[Any], bytes]] = {
    "string": _text,
    "int64": lambda value: _WHOLE.pack(_INT64, 8, int(value)),
    "timestamp": _seconds,
}
