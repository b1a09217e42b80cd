"""A source: where raw data arrives from outside, what is in it, and what may be wrong with it."""

from __future__ import annotations

import codecs
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.trainer import Name

Column = Annotated[str, StringConstraints(min_length=1)]
#: The column that says when a row became known or is predicted, in UTC: nothing later may be known to its features.
EVENT_TIME = "event_time"
DataType = Literal["string", "int64", "float64", "bool", "timestamp"]
Format = Literal["csv", "parquet", "jsonl", "jsonl_text"]
_ENDINGS: dict[str, Format] = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


class Csv(Frozen):
    """How CSV files are written. The first record names the columns.

    :param quote: what fields are put in that hold delimiters or line breaks, doubled inside of it; empty for nothing.
    :param encoding: as Python names it.
    """

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', max_length=1)
    encoding: str = "utf-8"

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            return codecs.lookup(name).name
        except LookupError:
            raise ValueError(
                f"unknown encoding {name!r}; give one that Python knows, such as utf-8 or cp1252"
            ) from None


class Source(Frozen):
    """Raw data that arrives from outside: files below the landing root, or what a query gives.

    :param path: where a delivery lies below the landing root; ``{start:%Y-%m}`` and the like take the interval. A
        pattern (``*``, ``?``, ``[…]``, ``**``), or a folder that ends in ``/``, means all files in it, but for those
        whose names begin with ``_`` or a dot. Without a placeholder the source is static and read whole each time.
    :param query: in place of a path, a statement for the database of ``conn_id``: ``select … where at >= {start} and
        at < {end}``. Both become timestamps in quotes, in UTC; with codes, as ``{start:%Y%m%d}``, bare text.
    :param conn_id: the Airflow connection to that database.
    :param format: of the files, where their names don't end in ``.csv``, ``.parquet``, ``.jsonl`` or ``.ndjson``
        (``jsonl_text``: JSON lines in which every value is text, read as CSV's would be);
        packed ones end in ``.gz``, ``.zst`` or ``.bz2`` beside that.
    :param marker: a file in the delivery's folder that is written last, such as ``_SUCCESS``: then all is whole.
    :param may_be_empty: whether an interval may rightly have no rows.
    :param time: the column that says which interval a row belongs to; None for a static source.
    :param missing: texts that mean a missing value, such as ``NA``. An empty field, quoted or not, always means one.
    :param time_zone: the zone of times that name none, such as ``Europe/Berlin``; None if each time names its own.
    :param time_format: how times are written, in ``strptime`` codes, where that is not ISO 8601.
    :param lateness: how long after the end of its interval a row may still be delivered: it goes to the interval of its
        time, of which all that was made is stale until that is made anew.
    :param max_left_out: the share of a delivery's rows, 0 to 1, that may lie outside its interval or have no time.
    :param settle_seconds: how long a file must have lain unchanged to count as whole; 0 where files are renamed into
        place. An object in a bucket is whole as soon as it is there.
    """

    name: Name
    path: str | None = None
    columns: dict[Column, DataType]
    time: Column | None = None
    query: str | None = None
    conn_id: str | None = None
    format: Format | None = None
    csv: Csv = Csv()
    marker: str | None = None
    may_be_empty: bool = False
    missing: tuple[str, ...] = ()
    time_zone: str | None = None
    time_format: str | None = None
    lateness: timedelta = timedelta(0)
    max_left_out: float = Field(default=0.1, ge=0, le=1)
    settle_seconds: float = Field(default=5.0, ge=0)

    @field_validator("path", "query")
    @classmethod
    def _can_be_filled_in(cls, text: str | None, info: ValidationInfo) -> str | None:
        """Try it on an interval: a placeholder that is not known would else come out at night."""
        try:
            (text or "").format(start=_SOME_DAY, end=_SOME_DAY)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            what = "{start:%Y-%m-%d} and {end:%Y-%m-%d}, in strftime codes, are what may stand in braces"
            raise ValueError(
                f"{info.field_name} {text!r} can't be filled in ({type(error).__name__}: {error}); {what}"
            ) from None
        return text

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        try:
            ZoneInfo("UTC" if name is None else name)
        except (KeyError, ValueError, OSError):  # that a name is a folder of zones is an OSError
            raise ValueError(f"unknown time zone {name!r}; give an IANA name, such as Europe/Berlin or UTC") from None
        return name

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Source:
        if (self.path is None) == (self.query is None):
            raise ValueError(f"source {self.name!r}: give a path below the landing root, or a query; one of the two")
        if (self.query is None) != (self.conn_id is None):
            raise ValueError(f"source {self.name!r}: a query needs conn_id, the connection to its database")
        return self

    @model_validator(mode="after")
    def _may_come_late(self) -> Source:
        if self.lateness < timedelta(0) or (self.lateness and self.time is None):
            raise ValueError(
                f"source {self.name!r}: lateness is a span of time from 0 on, of a source with a time column"
            )
        return self

    @model_validator(mode="after")
    def _has_its_time(self) -> Source:
        if self.time is not None and self.columns.get(self.time) != "timestamp":
            times = sorted(name for name, kind in self.columns.items() if kind == "timestamp")
            raise ValueError(f"source {self.name!r}: time column {self.time!r} is not among its timestamps, {times}")
        if self.time_format is None:
            return self
        if "%" not in self.time_format or "%Z" in self.time_format:
            raise ValueError(
                f"time_format {self.time_format!r}: give strptime codes, such as %d/%m/%Y, and %z for zones"
            )
        if self.time_zone is None and "%z" not in self.time_format:
            raise ValueError(f"time_format {self.time_format!r} has no zone (%z); declare the source's time_zone, too")
        return self

    def delivery(self, interval: Interval) -> str:
        """Return where the delivery for an interval lies, below the landing root."""
        assert self.path is not None
        return self.path.format(start=interval.start, end=interval.end)

    def awaited(self, interval: Interval) -> str:
        """Return what is there once the delivery for an interval is whole: its marker, else the delivery itself."""
        delivery = self.delivery(interval)
        folder = re.split("[*?[]", delivery)[0].rpartition("/")[0]
        return f"{folder}/{self.marker}".lstrip("/") if self.marker else delivery

    def statement(self, interval: Interval) -> str:
        """Return the query for an interval."""
        assert self.query is not None
        return self.query.format(start=_Moment.of(interval.start), end=_Moment.of(interval.end))

    def format_of(self, file: str) -> Format:
        """Return a file's format: the declared one, else what its name's ending says, else CSV."""
        name = file.lower()
        for packed in (".gz", ".zst", ".bz2"):
            name = name.removesuffix(packed)
        by_name: Format = next((known for ending, known in _ENDINGS.items() if name.endswith(ending)), "csv")
        return self.format or by_name


class _Moment(datetime):
    """A moment that stands in a statement as a timestamp in quotes, if nothing else is said."""

    @classmethod
    def of(cls, moment: datetime) -> _Moment:
        return cls.fromtimestamp(moment.timestamp(), UTC)

    def __format__(self, codes: str) -> str:
        return super().__format__(codes) if codes else f"'{self:%Y-%m-%d %H:%M:%S}+00:00'"
