"""Extracts one data interval from its sources: checked for shape, typed, kept as an immutable snapshot."""

from __future__ import annotations

import csv
import hashlib
from io import BytesIO
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.artifacts import open_store
from airflow_mlops_provider.exceptions import SourceDataError, SourceError
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.product import Source

if TYPE_CHECKING:
    import pandas as pd

DTYPES = {"string": "string", "int64": "Int64", "float64": "float64", "bool": "boolean"}


def run(work: Work) -> Outcome:
    """Write one table per source, with the declared columns and types; the facts tell each delivery's own hash."""
    landing = open_store(work.spec.services.landing)
    rows, files = {}, {}
    for source in work.product.sources:
        key = work.product.delivery(source, work.interval)
        try:
            delivered = landing.read(key)
        except FileNotFoundError:
            raise SourceError(f"source {source.name!r} has not delivered {key} to {landing.uri} yet") from None
        frame = typed(parse(delivered, f"{landing.uri}/{key}"), source, f"{landing.uri}/{key}")
        frame = within(frame, source, work)
        work.write(frame, source.name)
        rows[source.name] = len(frame)
        files[key] = hashlib.sha256(delivered).hexdigest()
        work.log.info("extracted %d rows of %s from %s", len(frame), source.name, key)
    return Outcome(facts={"rows": rows, "files": files})


def parse(delivered: bytes, where: str) -> pd.DataFrame:
    """Return a delivered CSV file, every column still text.

    :raises SourceDataError: if it is not a table.
    """
    import pandas as pd

    if _cut_off(delivered):
        raise SourceDataError(f"{where} breaks off in the middle of its last line; deliver it again, whole")
    try:
        return pd.read_csv(BytesIO(delivered), dtype="string", na_values=[""], keep_default_na=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SourceDataError(f"{where} is no readable CSV file ({str(error)[:200]}); deliver it again") from None


def _cut_off(delivered: bytes) -> bool:
    """Say whether the last line has no end and fewer fields than the first: pandas would fill it up with nulls."""
    if delivered.endswith(b"\n"):
        return False
    first, _, rest = delivered.partition(b"\n")
    last = rest.rpartition(b"\n")[2]
    return 0 < _fields(last) < _fields(first)


def _fields(line: bytes) -> int:
    try:
        return len(next(csv.reader([line.decode(errors="replace")]), []))
    except csv.Error:
        return 0  # no table at all: pandas says so better


def typed(frame: pd.DataFrame, source: Source, where: str) -> pd.DataFrame:
    """Return the declared columns with their declared types.

    :raises SourceDataError: naming the missing column, or the first value that is not of its type.
    """
    import pandas as pd

    missing = sorted(set(source.columns) - set(frame.columns))
    if missing:
        raise SourceDataError(f"{where} has no column {', '.join(missing)}; it has {', '.join(frame.columns)[:500]}")
    columns = {}
    for name, kind in source.columns.items():
        try:
            columns[name] = _cast(frame[name], kind)
        except (ValueError, TypeError) as error:
            raise SourceDataError(f"{where}: column {name!r} is not all {kind}: {str(error)[:200]}") from None
    return pd.DataFrame(columns)


def _cast(column: pd.Series, kind: str) -> pd.Series:
    import pandas as pd

    if kind == "timestamp":
        return pd.to_datetime(column, utc=True)
    if kind == "string":
        return column
    if kind == "bool":
        column = column.str.strip().str.lower().replace({"true": "1", "false": "0"})
    number = pd.to_numeric(column)
    return number.astype("Int64") if kind == "int64" else number.astype(DTYPES[kind])


def within(frame: pd.DataFrame, source: Source, work: Work) -> pd.DataFrame:
    """Return the rows of the interval. :raises SourceDataError: if there are none."""
    if source.time is not None:
        moment = frame[source.time]
        frame = frame[(moment >= work.interval.start) & (moment < work.interval.end)]
    if frame.empty:
        raise SourceDataError(f"source {source.name!r} has no rows in {work.interval}; previous data is untouched")
    return frame.reset_index(drop=True)
