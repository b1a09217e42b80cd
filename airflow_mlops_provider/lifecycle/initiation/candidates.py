"""Which column is the time of a row, and which the label: all that may be, the likeliest first, with the reasons."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from airflow_mlops_provider.lifecycle.initiation.profile import Candidate, ColumnProfile

#: A time needs so many points to be taken without a word of the user's.
LEAST_TIME = 2.0
#: Text of more different values than this is no class.
MOST_CLASSES = 50
#: A point for what speaks for or against a column, with the words in which a report says so.
Reason = tuple[float, str]
_PARTS = (
    ("year", ("year", "yr"), (1500, 2200)),
    ("quarter", ("quarter", "qtr"), (1, 4)),
    ("month", ("month", "mon"), (1, 12)),
    ("day", ("day", "dom"), (1, 31)),
    ("hour", ("hour", "hr"), (0, 24)),
)
_TIME = re.compile(r"(^|_)(time|date|day|month|week|year|hour|timestamp|datetime|ts|ds|at|on|when)($|_)|(date|time)$")
_BEGIN = re.compile(r"created|event|opened|start|ordered|placed|begin|request|booked|pickup|signup|admission")
_END = re.compile(r"clos|end|updat|modif|resolv|known|deliver|due|expir|finish|complet|drop.?off|discharge|paid|last")
_BIRTH = re.compile(r"birth|(^|_)dob($|_)")
_LABEL = re.compile(r"(^|_)(target|label|outcome|response|truth)($|_)")
_LIKE_LABEL = re.compile(
    r"churn|default|surviv|fraud|price|cost|sales|demand|revenue|diagnos|species|quality|rating|score|spam|^is_|late$|"
    r"delay|^y$|yield|income|risk|fail|convert|click|winner|won$|target|label|cancel|returned|profit|value$|consumption|load$"
)
_NO_LABEL = re.compile(
    r"(^|_)(id|key|code|zip|index|number|no|lat|lon|lng|latitude|longitude|year|month|day|hour|week|quarter|name|"
    r"unnamed)($|_)|^(un)?named"
)


def plain(name: str) -> str:
    """Return a column's name in small letters, its words with ``_`` between them."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^0-9A-Za-z]+", "_", name).lower().strip("_")


def times(columns: Sequence[ColumnProfile]) -> tuple[Candidate, ...]:
    """Return the columns by which rows may be ordered."""
    moments = [column for column in columns if column.type == "timestamp" and not column.constant]
    first = min((column.span[0] for column in moments if column.span), default=None)
    listed = []
    for column in moments:
        reasons = [(3.0, "it holds times"), *_time_reasons(column)]
        if len(moments) > 1 and column.span and column.span[0] == first:
            reasons.append((0.5, "it begins before the others"))
        listed.append(_candidate(column.name, reasons))
    years = [column for column in columns if _is_part(column, *_PARTS[0][1:]) and column.distinct > 2]
    parts = {name: _part(columns, names, span) for name, names, span in _PARTS}
    whole = [part for part in parts.values() if part]
    if years and len(whole) > 1 and not (parts["day"] and not parts["month"]) and not parts["hour"]:
        reasons = [(2.6, f"{', '.join(whole)} together are a time")]
        listed.append(_candidate(years[0].name, reasons, tuple(whole)))
    elif years and len(whole) > 1:
        listed.append(_candidate(years[0].name, [(2.2, f"{', '.join(whole)} are a time")], tuple(whole)))
    elif years and len(whole) == 1:
        listed.append(_candidate(years[0].name, [(2.0, "it holds years"), *_ordered(years[0])], (years[0].name,)))
    return tuple(sorted(listed, key=lambda candidate: -candidate.points))


def labels(columns: Sequence[ColumnProfile], rows: int, taken: Collection[str] = ()) -> tuple[Candidate, ...]:
    """Return the columns that may be what is to be predicted.

    :param taken: columns that are something else already, such as the time.
    """
    listed = []
    for place, column in enumerate(columns):
        if column.name not in taken and not no_label(column, rows) and not column.is_key(rows) and not column.personal:
            reasons = _label_reasons(column)
            if place == len(columns) - 1:
                reasons.append((1.5, "it is the last column"))
            elif place == 0:
                reasons.append((0.3, "it is the first column"))
            listed.append(_candidate(column.name, reasons))
    return tuple(sorted(listed, key=lambda candidate: -candidate.points))


def no_label(column: ColumnProfile, rows: int) -> str:
    """Return why nobody can learn to predict a column; empty if somebody may."""
    if column.missing == 1:
        return "it has no value"
    if column.constant:
        return "it has the same value in all rows"
    if column.type == "timestamp":
        return "it holds times; predict how long something takes, in a column of numbers"
    if column.type == "string" and not column.tokens and column.distinct > min(MOST_CLASSES, max(2, rows // 5)):
        return f"it is text of {column.distinct:,} different values in {rows:,} rows: no classes that come again"
    return ""


def _label_reasons(column: ColumnProfile) -> list[Reason]:
    name, reasons = plain(column.name), list[Reason]()
    if _LABEL.search(name) or name == "class":
        reasons.append((4 if name != "class" else 3, "its name says so"))
    elif _NO_LABEL.search(name):
        reasons.append((-2, "its name is that of a key or a part of a time"))
    elif _LIKE_LABEL.search(name):
        reasons.append((2, "its name is that of something people predict"))
    if column.distinct == 2:
        reasons.append((1, "it has two values"))
    elif column.distinct <= 10 and (column.whole or not column.is_number):
        reasons.append((0.6, f"it has {column.distinct} values"))
    elif column.is_number:
        reasons.append((0.3, "it is an amount"))
    if column.association is not None:
        reasons.append(
            (min(1.0, 1.5 * column.association), f"mean correlation of {column.association:.2f} with others")
        )
    if column.missing > 0.5:
        reasons.append((-1, f"{column.missing:.0%} of it is missing"))
    return reasons


def _time_reasons(column: ColumnProfile) -> Iterator[Reason]:
    name = plain(column.name)
    if _BIRTH.search(name):
        yield -4, "it is the time of a birth"
    elif _END.search(name):
        yield -1.5, "its name is that of an end"
    elif _TIME.search(name):
        yield 1, "its name says so"
    if _BEGIN.search(name):
        yield 0.5, "its name is that of a beginning"
    if column.missing:
        yield (-1.0 if column.missing < 0.05 else -3.0), f"{column.missing:.1%} of it is missing"
    yield from _ordered(column)
    if column.distinct < 3:
        yield -2, f"it has only {column.distinct} values"


def _ordered(column: ColumnProfile) -> Iterator[Reason]:
    if column.ordered > 0.95:
        yield 1, "rows are in its order"


def _part(columns: Sequence[ColumnProfile], names: Collection[str], span: tuple[int, int]) -> str | None:
    return next((column.name for column in columns if _is_part(column, names, span)), None)


def _is_part(column: ColumnProfile, names: Collection[str], span: tuple[int, int]) -> bool:
    fits = column.whole and column.low is not None and column.high is not None and not column.missing
    return fits and plain(column.name) in names and span[0] <= (column.low or 0) and (column.high or 0) <= span[1]


def _candidate(name: str, reasons: Sequence[Reason], parts: tuple[str, ...] = ()) -> Candidate:
    points = round(sum(points for points, _ in reasons), 2)
    return Candidate(column=name, points=points, reasons=tuple(words for _, words in reasons), parts=parts)
