"""What a proposal declares: its source, what is made of its columns before anything else, and what a caller gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from airflow_mlops_provider.lifecycle.initiation.candidates import plain
from airflow_mlops_provider.lifecycle.initiation.delivery import DAYS, free_name
from airflow_mlops_provider.lifecycle.initiation.profile import Grain
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.source import Column, DataType, Source

#: How an interval's file is called.
_FILES: Mapping[Grain, str] = {
    "hour": "{start:%Y-%m-%dT%H}",
    "day": "{start:%Y-%m-%d}",
    "week": "{start:%Y-%m-%d}",
    "month": "{start:%Y-%m}",
    "quarter": "{start:%Y-%m}",
    "year": "{start:%Y}",
}
#: After so many steps a season comes again, and so many seasons show that.
SEASONS: Mapping[Grain, int] = {"hour": 24, "day": 7, "week": 52, "month": 12, "quarter": 4, "year": 1}
_SEASONS_SHOWN = 3
#: No two steps of a series are nearer to each other: what is asked so long before a value knows the one before it.
HORIZONS: Mapping[Grain, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=28),
    "quarter": timedelta(days=90),
    "year": timedelta(days=365),
}
#: The label of data in which nothing is labelled.
NO_LABEL = "anomaly"
#: Of so many other columns the last value is an input of a forecast.
MOST_PAST = 8


@dataclass(frozen=True)
class Query:
    """A query in place of files: a statement, and the Airflow connection by which it is made."""

    statement: str
    conn_id: str


@dataclass(frozen=True)
class Declared:
    """A proposal, as it is declared. :ivar query: None where data come as files."""

    proposal: Proposal
    query: Query | None = None

    @cached_property
    def source(self) -> Source:
        """The source."""
        proposal, delivery = self.proposal, self.proposal.delivery
        if self.query and self.is_timed:
            inner = self.query.statement.strip().rstrip(";").replace("{", "{{").replace("}", "}}")
            time = f'"{self.time}"' if not str(self.time).isidentifier() else self.time
            statement = f"select * from ({inner}) as t where {time} >= {{start}} and {time} < {{end}}"  # noqa: S608
            where: dict[str, str] = {"query": statement, "conn_id": self.query.conn_id}
        else:
            where = {"path": f"{proposal.name}/{_FILES[delivery.grain]}{self.ending}"}
        return Source.model_validate(
            {
                "name": proposal.name,
                **where,
                "columns": self.columns,
                "time": self.time,
                "csv": proposal.reading.csv,
                "may_be_empty": delivery.by == "time" and delivery.gaps,
                "missing": proposal.reading.missing,
                "time_zone": "UTC" if "timestamp" in self.columns.values() else None,
                "time_format": self.time_format,
            }
        )

    @property
    def is_timed(self) -> bool:
        """Whether a column of the data themselves says which interval a row belongs to."""
        return self.proposal.delivery.by == "time" and self.proposal.delivery.added is None

    @property
    def ending(self) -> str:
        """How files are called; what a query gave is kept as Parquet."""
        return f".{self.proposal.reading.format or 'parquet'}"

    @property
    def time(self) -> Column | None:
        """The column that says which interval a row belongs to."""
        delivery = self.proposal.delivery
        return (delivery.added or delivery.time) if delivery.by == "time" else None

    @property
    def time_format(self) -> str | None:
        """How times are written that no reader knows: those of the time column, else of the first that is needed."""
        return next(iter(self._formats.values()), None)

    @cached_property
    def _formats(self) -> dict[Column, str]:
        own = {name: form for name, (kind, form) in self.proposal.written.items() if kind == "timestamp"}
        times = [name for name in (self.time, *self._needed) if name in own]
        return {str(name): own[str(name)] for name in times}

    @cached_property
    def _needed(self) -> tuple[Column, ...]:
        """The columns that are read, in the order of the data; nothing is kept of the others."""
        proposal = self.proposal
        later = (name for names in proposal.known_later.values() for name in names)
        own = None if proposal.delivery.added else self.time
        wanted = {*proposal.inputs, *proposal.keys, proposal.label, proposal.label_known_at, own, *later}
        return tuple(name for name in proposal.columns if name in wanted)

    @cached_property
    def columns(self) -> dict[Column, DataType]:
        """The source's columns and types."""
        columns = {name: self._type(name) for name in self._needed}
        added = self.proposal.delivery.added
        return {added: "timestamp", **columns} if added else columns

    def _type(self, name: Column) -> DataType:
        kind = self.proposal.columns[name]
        if kind == "timestamp" and self._formats.get(name, self.time_format) != self.time_format:
            return "string"  # a source has one format
        return "float64" if kind == "int64" and name in self.proposal.gaps and name != self.proposal.label else kind

    # --- what is made of columns --------------------------------------------------------------------------------------

    @cached_property
    def numbers(self) -> dict[Column, str]:
        """The columns of text that mean numbers, each with an example."""
        own = self.proposal.written.items()
        return {name: form for name, (kind, form) in own if kind == "float64" and name in self._needed}

    @cached_property
    def moments(self) -> dict[Column, str]:
        """The columns of text that mean times, each with its format."""
        return {name: form for name, form in self._formats.items() if self.columns.get(name) == "string"}

    @cached_property
    def truths(self) -> tuple[Column, ...]:
        """The inputs that are true, false, or missing: a caller gives 1, 0, or nothing."""
        kinds = self.proposal.columns
        return tuple(name for name in self.inputs if kinds.get(name) == "bool" and name in self.proposal.gaps)

    @property
    def label(self) -> Column:
        """The column of the label."""
        return self.proposal.label or free_name(NO_LABEL, [*self.proposal.columns])

    @property
    def maps_label(self) -> bool:
        """Whether two values are to become 0 and 1."""
        proposal = self.proposal
        two = proposal.problem.kind in ("binary_classification", "anomaly_detection") and proposal.positive is not None
        plain = [*map(str.lower, proposal.classes)] in (["0", "1"], ["false", "true"])
        return two and not (plain and proposal.columns[self.label] != "string")

    @property
    def joins_label(self) -> bool:
        """Whether a list is to be written in one way."""
        return self.proposal.problem.kind == "multilabel_classification" and not self.proposal.separator

    @property
    def cleans(self) -> bool:
        """Whether anything is to be made of the source's rows before they are used."""
        made = (self.numbers, self.moments, self.truths, self.maps_label, self.joins_label, self.makes_series)
        return any(made) or self.proposal.label is None

    # --- what a caller gives ------------------------------------------------------------------------------------------

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """The columns that a model learns from, as they are given."""
        if self.is_forecast:
            return (self.series,)
        own = (*self.proposal.inputs, *self._query)
        return tuple(name for name in self._needed if name in own and name != self.label)

    @property
    def _query(self) -> tuple[Column, ...]:
        return (self.proposal.problem.query,) if self.proposal.problem.query else ()

    @property
    def request(self) -> dict[Column, DataType]:
        """The columns that a caller gives, with their types."""
        made: dict[Column, DataType] = dict.fromkeys((*self.numbers, *self.truths), "float64")
        return {name: made.get(name, self.columns.get(name, "string")) for name in self.inputs}

    @property
    def asks_all(self) -> bool:
        """Whether that is what follows from the source anyway."""
        hidden = {name for names in self.proposal.known_later.values() for name in names}
        others = {self.label, self.proposal.label_known_at, self.time, *hidden}
        return self.request == {name: kind for name, kind in self.columns.items() if name not in others}

    # --- forecasts ----------------------------------------------------------------------------------------------------

    @property
    def is_forecast(self) -> bool:
        """Whether what was is the input: a forecast of a series."""
        return self.proposal.problem.kind == "forecasting" and self.time is not None

    @property
    def step(self) -> Grain:
        """How far ahead is forecast."""
        return self.proposal.step or self.proposal.delivery.grain

    @property
    def makes_series(self) -> bool:
        """Whether no column of its own names the series."""
        return self.is_forecast and len(self.proposal.keys) != 1

    @property
    def series(self) -> Column:
        """The column that names the series."""
        return free_name("series", [*self.proposal.columns]) if self.makes_series else self.proposal.keys[0]

    @cached_property
    def season(self) -> int:
        """After how many steps a season comes again; 1 if the history shows none."""
        season, delivery = SEASONS[self.step], self.proposal.delivery
        days = delivery.intervals * DAYS[delivery.grain]
        return season if season > 1 and days >= _SEASONS_SHOWN * season * DAYS[self.step] else 1

    @cached_property
    def past(self) -> dict[Column, str]:
        """The other columns of numbers whose last value is an input, each with the name of that feature."""
        others = (name for name in self._needed if name in self.proposal.inputs and name not in self.proposal.keys)
        kinds = {**self.columns, **dict.fromkeys(self.numbers, "float64")}
        numbers = [name for name in others if kinds[name] in ("int64", "float64") and name != self.label][:MOST_PAST]
        names = list[str]()
        for name in numbers:
            names.append(free_name(f"last_{re.sub('[^a-z0-9]+', '_', plain(name))}"[:60], names))
        return dict(zip(numbers, names, strict=True))
