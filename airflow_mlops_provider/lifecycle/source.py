"""A source: where raw data arrives from outside, what is in it, and what may be wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, field_validator, model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.trainer import Name

Column = Annotated[str, StringConstraints(min_length=1)]
#: The column that says when a row became known or is predicted, in UTC: nothing later may be known to its features.
EVENT_TIME = "event_time"
DataType = Literal["string", "int64", "float64", "bool", "timestamp"]
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


class Source(Frozen):
    """Raw data that arrives from outside, as CSV files in UTF-8 whose first record names the columns.

    :param path: where a delivery lies below the landing root; ``{start:%Y-%m}`` and the like take the interval.
        Without a placeholder the source is static and read whole each time.
    :param time: the column that says which interval a row belongs to; None for a static source.
    :param missing: texts that mean a missing value, such as ``NA``. An empty field, quoted or not, always means one.
    :param time_zone: the zone of times that name none, such as ``Europe/Berlin``; None if each time names its own.
    :param time_format: how times are written, in ``strptime`` codes, where that is not ISO 8601.
    :param max_left_out: the share of a delivery's rows, 0 to 1, that may lie outside its interval or have no time.
    :param settle_seconds: how long a file must have lain unchanged to count as whole; 0 where files are renamed into
        place. An object in a bucket is whole as soon as it is there.
    """

    name: Name
    path: str
    columns: dict[Column, DataType]
    time: Column | None = None
    missing: tuple[str, ...] = ()
    time_zone: str | None = None
    time_format: str | None = None
    max_left_out: float = Field(default=0.1, ge=0, le=1)
    settle_seconds: float = Field(default=5.0, ge=0)

    @field_validator("path")
    @classmethod
    def _names_a_file(cls, path: str) -> str:
        """Try the path on an interval: a placeholder that is not known would else come out at night."""
        try:
            path.format(start=_SOME_DAY, end=_SOME_DAY)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            what = "{start:%Y-%m-%d} and {end:%Y-%m-%d}, in strftime codes, are what may stand in braces"
            raise ValueError(f"path {path!r} can't be filled in ({type(error).__name__}: {error}); {what}") from None
        return path

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        try:
            ZoneInfo("UTC" if name is None else name)
        except (KeyError, ValueError, OSError):  # that a name is a folder of zones is an OSError
            raise ValueError(f"unknown time zone {name!r}; give an IANA name, such as Europe/Berlin or UTC") from None
        return name

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
        return self.path.format(start=interval.start, end=interval.end)
