"""A column's values as numbers and as codes, and what type they are: also those that text only means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops_provider.lifecycle.source import DataType

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]
#: Texts that mean a missing value where all others of a column are numbers or times.
MISSING = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown"})
#: How times are written that are no ISO 8601, in ``strptime`` codes; the first that fits all counts.
_DAYS = (
    *("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%y"),
    *("%b %d %Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
#: Numbers in other spellings, with a currency or not, and what makes plain ones of them.
_BEFORE, _BEHIND = r"^([€$£¥]|EUR|USD|GBP|CHF)? ?[+-]?", r" ?([€$£¥%]|EUR|USD|GBP|CHF)?$"
_SPELLINGS = (
    (rf"{_BEFORE}(\d{{1,3}}(,\d{{3}})+|\d+)(\.\d+)?{_BEHIND}", r"[^\d.+-]", ""),
    (rf"{_BEFORE}(\d{{1,3}}(\.\d{{3}})+|\d+)(,\d+)?{_BEHIND}", r"[^\d,+-]", ","),
)
_TRUTHS = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("ja", "nein"), ("on", "off"))
_UTC = pa.timestamp("us", tz="UTC")
_MOST_SHOWN = 40


@dataclass
class Values:
    """A column.

    :param column: its values as they were read, without those that mean a missing one.
    :param numbers: of all types but text, NaN where missing; times in seconds since 1970.
    """

    name: str
    type: DataType
    column: pa.Array
    numbers: Floats | None = None
    written: str = ""
    zoned: bool = False
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def missing(self) -> Rows:
        """Which rows have no value."""
        if self.numbers is not None:
            return np.isnan(self.numbers)
        return np.asarray(self.column.is_null(), dtype=bool)

    @cached_property
    def _encoded(self) -> tuple[Codes, pa.Array]:
        encoded = self.column.dictionary_encode()
        codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
        codes[self.missing] = -1
        return codes, encoded.dictionary

    @property
    def codes(self) -> Codes:
        """A number for each different value, -1 where there is none."""
        return self._encoded[0]

    @cached_property
    def counts(self) -> Codes:
        """How many rows have each value, by its code."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self._encoded[1])).astype(np.int64)

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return int((self.counts > 0).sum())

    def shown(self, code: int) -> str:
        """Return a value as text."""
        value = self._encoded[1][int(code)].as_py()
        return (f"{value:g}" if isinstance(value, float) else str(value))[:_MOST_SHOWN]

    def different(self) -> list[str]:
        """Return all its different values as text, in their order; a whole number without a point."""
        values = [self._encoded[1][int(code)].as_py() for code in np.flatnonzero(self.counts)]
        if self.type in ("int64", "float64") and not self.written:
            return [f"{value:.17g}" for value in sorted({float(value) for value in values})]
        return sorted({str(value) for value in values})

    def texts(self, most: int) -> list[str]:
        """Return its most frequent different values, as text."""
        return [self.shown(code) for code in np.argsort(-self.counts, kind="stable")[:most] if self.counts[code]]


def values_of(table: pa.Table) -> tuple[dict[str, Values], tuple[str, ...], dict[str, str]]:
    """Return the columns, the texts that mean a missing value, and the columns that can't be looked at, with why."""
    left_out, columns = dict[str, str](), dict[str, pa.Array]()
    for name in table.column_names:
        column = plain(table.column(name)) if name else "it has no name"
        if isinstance(column, str):
            left_out[name or "(a column)"] = column
        else:
            columns[name] = column
    missing = sorted({text for column in columns.values() if pa.types.is_string(column.type) for text in _gaps(column)})
    return {name: _typed(name, column, missing) for name, column in columns.items()}, tuple(missing), left_out


def plain(column: pa.ChunkedArray) -> pa.Array | str:
    """Return a column of few types; or why it has no values that can be looked at."""
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if (
        types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    ):
        return f"its values are {kind}, which are no single numbers, texts or times"
    if types.is_null(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        column = column.cast(pa.string())
    elif types.is_decimal(kind) or types.is_float16(kind) or types.is_duration(kind) or types.is_time(kind):
        whole = column.cast(pa.int64()) if types.is_duration(kind) else column
        column = whole.cast(pa.string()) if types.is_time(kind) else whole.cast(pa.float64(), safe=False)
    elif types.is_date(kind) or types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz if types.is_timestamp(kind) else None), safe=False)
    elif types.is_unsigned_integer(kind):
        column = column.cast(pa.float64() if kind == pa.uint64() else pa.int64(), safe=False)
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _gaps(texts: pa.Array) -> list[str]:
    """Return the texts that mean a missing value, if all others are numbers or times."""
    known = _distinct(texts)
    gaps = [text for text in known if text.strip().lower() in MISSING]
    rest = [text for text in known if text not in gaps]
    gaps += [text for text in pc.unique(texts).drop_null().to_pylist() if text and not text.strip()]
    return gaps if gaps and len(rest) > 1 and _read(rest).type != "string" else []


def _distinct(texts: pa.Array) -> list[str]:
    return [text for text in pc.unique(texts).drop_null().to_pylist() if text.strip()]


def _typed(name: str, column: pa.Array, missing: list[str]) -> Values:
    kind = column.type
    if pa.types.is_string(kind):
        return _of_text(name, column, missing)
    if pa.types.is_timestamp(kind):
        seconds = np.asarray(column.cast(pa.int64()).fill_null(0), dtype=np.float64) / 1e6
        seconds[np.asarray(column.is_null())] = np.nan
        return Values(name, "timestamp", column, seconds, zoned=kind.tz is not None)
    if pa.types.is_boolean(kind):
        return Values(name, "bool", column, np.asarray(column.cast(pa.int8()).to_numpy(zero_copy_only=False), float))
    numbers = np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    numbers[np.isinf(numbers)] = np.nan
    return Values(name, "int64" if pa.types.is_integer(kind) else "float64", column, numbers)


@dataclass
class _Meaning:
    """What some different texts are: their type, how they are written, and their numbers."""

    type: DataType
    numbers: Any = None
    written: str = ""
    zoned: bool = False
    warnings: list[str] = field(default_factory=list)


def _of_text(name: str, column: pa.Array, missing: list[str]) -> Values:
    texts = pc.utf8_trim_whitespace(column)
    gone = pc.or_kleene(pc.equal(texts, ""), pc.is_in(texts, pa.array([text.strip() for text in missing], pa.string())))
    texts = pc.if_else(gone, None, texts)
    encoded = texts.dictionary_encode()
    known = encoded.dictionary.to_pylist()
    meaning = _read(known) if known else _Meaning("string", warnings=["it has no value"])
    if meaning.numbers is None:
        return Values(name, "string", texts, warnings=meaning.warnings)
    codes = np.asarray(encoded.indices.fill_null(len(known)), dtype=np.int64)
    numbers = np.append(np.asarray(meaning.numbers, dtype=np.float64), np.nan)[codes]
    return Values(name, meaning.type, texts, numbers, meaning.written, meaning.zoned, meaning.warnings)


def _read(texts: list[str]) -> _Meaning:
    """Return what different texts mean, as far as all of them mean the same kind of thing."""
    array = pa.array([text.strip() for text in texts], pa.string())
    return _truth(texts) or _plain_numbers(array) or _times(array, texts) or _spelled(array, texts) or _text(array)


def _truth(texts: list[str]) -> _Meaning | None:
    lower = [text.strip().lower() for text in texts]
    for yes, no in _TRUTHS:
        if len(texts) > 1 and {*lower} == {yes, no}:
            return _Meaning("bool", [text == yes for text in lower], "" if yes == "true" else f"{yes}/{no}")
    return None


def _plain_numbers(texts: pa.Array) -> _Meaning | None:
    if not pc.all(pc.match_substring_regex(texts, _NUMBER)).as_py():
        return None
    if pc.any(pc.match_substring_regex(texts, r"^[+-]?0\d+$|^\+?\d{19,}$")).as_py():
        return _Meaning("string", warnings=["its numbers have leading zeros, or are too long: they name things"])
    whole = pc.all(pc.match_substring_regex(texts, r"^[+-]?\d+$")).as_py()
    return _Meaning("int64" if whole else "float64", np.asarray(texts.cast(pa.float64())))


def _spelled(texts: pa.Array, given: list[str]) -> _Meaning | None:
    for pattern, rest, point in _SPELLINGS:
        if pc.all(pc.match_substring_regex(texts, pattern)).as_py():
            bare = pc.replace_substring_regex(texts, rest, "")
            bare = pc.replace_substring(bare, ",", ".") if point else bare
            if not pc.all(pc.match_substring_regex(bare, _NUMBER)).as_py():
                continue
            odd = next(text for text in given if not re.fullmatch(_NUMBER[1:-1], text.strip()))
            why = f"its numbers are written as {odd!r}: make plain numbers of them when cleaning"
            return _Meaning("float64", np.asarray(bare.cast(pa.float64())), odd[:_MOST_SHOWN], warnings=[why])
    return None


def _times(texts: pa.Array, given: list[str]) -> _Meaning | None:
    if not re.search(r"\d.*\d", given[0]) or not re.search("[-/.: ]", given[0].strip()):
        return None
    for kind in (_UTC, pa.timestamp("us")):
        try:
            seconds = np.asarray(texts.cast(kind).cast(pa.int64())) / 1e6
        except pa.ArrowInvalid:
            continue
        return _Meaning("timestamp", seconds, zoned=kind is _UTC)
    forms = [day + clock for day in _DAYS for clock in _CLOCKS]
    read = [(form, seconds) for form in forms for seconds in _as_written(texts, form)]
    if not read:
        return None
    ambiguous = [f"{given[0]!r} may also be read as {other}, not {read[0][0]}: say which" for other, _ in read[1:2]]
    return _Meaning("timestamp", read[0][1], read[0][0], warnings=ambiguous)


def _as_written(texts: pa.Array, form: str) -> Iterator[Floats]:
    try:
        for some in (texts[:50], texts):  # most forms are ruled out by the first few
            moments = pc.strptime(some, form, "us")
    except pa.ArrowInvalid:
        return
    yield np.asarray(moments.cast(pa.int64()), dtype=np.float64) / 1e6


def _text(texts: pa.Array) -> _Meaning:
    numbers = pc.match_substring_regex(texts, _NUMBER)
    share = pc.mean(numbers.cast(pa.float64())).as_py()
    if 0.9 <= share < 1:
        odd = texts.filter(pc.invert(numbers))[0].as_py()
        return _Meaning("string", warnings=[f"almost all are numbers, but not {odd!r:.60}"])
    return _Meaning("string")
