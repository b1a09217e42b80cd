"""What a look at a table tells: its columns, its times, its label, and which columns give that away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.source import Column, Csv, DataType, Format

#: The shares of its values that lie below a column's quantiles.
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Grain = Literal["hour", "day", "week", "month", "quarter", "year"]
#: From such a share of its intervals on, a grain is filled: shops and exchanges are closed on two days in seven.
FILLED: Mapping[Grain, float] = {"hour": 0.95, "day": 0.65, **dict.fromkeys(("week", "month", "quarter", "year"), 0.8)}
_KEY = re.compile(r"(^|[^a-z])(id|key|no|nr|number|code|index|unnamed.*)$|id$")
Pattern = Literal["same", "predicts", "missing", "later", "name"]


class Reading(Frozen):
    """Where a table was read from, and how that is written.

    :param rows: all that there are. :param sampled: how many of them were looked at.
    :param missing: texts that mean a missing value, such as ``NA``.
    :param left_out: columns that were not looked at, and why.
    """

    source: str
    format: Format | None = None
    csv: Csv = Csv()
    files: tuple[str, ...] = ()
    rows: int
    sampled: int
    missing: tuple[str, ...] = ()
    left_out: dict[str, str] = {}


class ColumnProfile(Frozen):
    """A column.

    :param type: what its values are. :param written: how text means them, where no reader takes them as they are: a
        ``strptime`` format, or an example such as ``1.234,5`` or ``yes/no``.
    :param zoned: whether all its times name their zone.
    :param missing: share of rows without a value. :param distinct: how many different values there are.
    :param whole: whether all numbers are whole ones. :param ordered: share of rows that are not below the row before.
    :param quantiles: at :data:`QUANTILES`, of numbers. :param span: the first and the last time.
    :param bars: how many values lie in equal parts of what is between the two ``edges``; what is beyond counts there.
    :param frequent: the most frequent values, and in how many rows each is.
    :param tokens: of text that lists several things, such as ``Comedy|Drama``, how many things there are.
    :param association: mean absolute rank correlation with the other columns of numbers.
    :param personal: why it may name a person; empty if nothing says so.
    :param drift: how far it moved from the first third of the rows, by time, to the last, see :mod:`.profiles.drift`.
    """

    name: Column
    type: DataType
    written: str = ""
    zoned: bool = False
    missing: float = 0.0
    distinct: int = 0
    whole: bool = False
    ordered: float = 0.0
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    quantiles: tuple[float, ...] = ()
    span: tuple[datetime, datetime] | None = None
    bars: tuple[int, ...] = ()
    edges: tuple[float, float] | None = None
    frequent: tuple[tuple[str, int], ...] = ()
    tokens: int = 0
    association: float | None = None
    personal: str = ""
    drift: float | None = None
    missing_by_period: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether it has no two values."""
        return self.distinct < 2

    @property
    def is_number(self) -> bool:
        """Whether it is an amount, or a number that may be one."""
        return self.type in ("int64", "float64")

    def is_key(self, rows: int) -> bool:
        """Say whether its values name single rows: all there, all different, text, or numbers that count or name."""
        if rows < 2 or self.distinct < rows or self.missing or self.type not in ("string", "int64"):
            return False
        counts = self.low is not None and self.high is not None and self.high - self.low == rows - 1
        return self.type == "string" or counts or _KEY.search(self.name.lower()) is not None


class Candidate(Frozen):
    """A column that may be the time, or the label: the more points the likelier, and what speaks for and against it.

    :param parts: the columns that make up the time, where several do: year, month and day.
    """

    column: Column
    points: float
    reasons: tuple[str, ...]
    parts: tuple[Column, ...] = ()


class Periods(Frozen):
    """Time in parts of which each is a bar in a chart; how many rows fall into each."""

    grain: Grain
    starts: tuple[datetime, ...]
    rows: tuple[int, ...]


class TimeProfile(Frozen):
    """How rows lie in time.

    :param filled: share of the intervals of a grain, from the first row to the last, that have any row.
    :param intervals: how many intervals of a grain there are.
    :param keys: the columns that, with the time, name each row; empty if the time alone does.
    :param series: how many series these columns tell apart; 0 if nothing but all columns together names a row.
    :param step: the grain by which the rows of each series follow each other; None if they do not regularly.
    """

    column: Column
    parts: tuple[Column, ...] = ()
    first: datetime
    last: datetime
    filled: dict[Grain, float]
    intervals: dict[Grain, int]
    periods: Periods
    keys: tuple[Column, ...] = ()
    series: int = 0
    step: Grain | None = None


class Delay(Frozen):
    """How late labels come, in days after their row's own time.

    :param known_at: the column that says when a label became known; None where that follows from which rows have none.
    :param coming: share of labels that come at all.
    """

    known_at: Column | None = None
    median: float
    most: float
    coming: float = 1.0
    evidence: str


class LabelProfile(Frozen):
    """The proof that labels exist.

    :param known: share of rows that have one. :param known_by_period, mean_by_period: the same, and the labels' mean,
        in each part of the time; of classes the share of the ``counted`` one.
    :param classes: all its different values, where they are few; of text that lists things, what these are.
    :param separator: what is between things; empty where that differs. :param positive: of two values the rarer, but of
        0 and 1, or of truth values, the second.
    """

    column: Column
    known: float
    counted: str = ""
    known_by_period: tuple[float, ...] = ()
    mean_by_period: tuple[float | None, ...] = ()
    delay: Delay | None = None
    classes: tuple[str, ...] = ()
    separator: str = ""
    positive: str | None = None


class Suspect(Frozen):
    """A column that may give the label away.

    :param pattern: ``same`` as the label but for its coding; ``predicts`` it alone; ``missing`` follows it; ``later``
        than the row's own time; or its ``name`` says so.
    :param value: the number that speaks against it. :param evidence: a sentence with that number.
    :param known_later: the column of the time from which it is known, where there is one; else it is to be left out.
    """

    column: Column
    pattern: Pattern
    value: float
    evidence: str
    known_later: Column | None = None

    @property
    def advice(self) -> str:
        """What to do."""
        return f"known_later: from {self.known_later} on" if self.known_later else "leave out"

    @property
    def proven(self) -> bool:
        """Whether the data say so, and not its name alone."""
        return self.pattern != "name"


class Naive(Frozen):
    """What somebody who knows no other column would predict, and how good that is on the newest rows, or some others.

    :param name: what it predicts, in a reader's words.
    """

    name: str
    metric: str
    value: float
    rows: int


class Profile(Frozen):
    """All of it.

    :param duplicates: share of rows that are the same as another in all columns.
    :param problem: the kind of problem that the label was looked at for.
    :param guessed: whether nobody named the label.
    """

    reading: Reading
    columns: tuple[ColumnProfile, ...]
    duplicates: float = 0.0
    times: tuple[Candidate, ...] = ()
    labels: tuple[Candidate, ...] = ()
    time: TimeProfile | None = None
    label: LabelProfile | None = None
    problem: str = ""
    guessed: bool = True
    suspects: tuple[Suspect, ...] = ()
    naive: Naive | None = None

    def column(self, name: str) -> ColumnProfile:
        """Return a column's profile."""
        return next(column for column in self.columns if column.name == name)
