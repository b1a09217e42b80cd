"""How data arrives from now on: by which interval, from when to when, and how many of them a model learns from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.lifecycle.initiation.profile import FILLED, Grain, Profile, TimeProfile
from airflow_mlops_provider.lifecycle.initiation.proposal import Delivery
from airflow_mlops_provider.lifecycle.sections import Schedule, Windows

CRON: Mapping[Grain, str] = {
    "hour": "0 * * * *",
    "day": "0 0 * * *",
    "week": "0 0 * * 1",
    "month": "0 0 1 * *",
    "quarter": "0 0 1 1,4,7,10 *",
    "year": "0 0 1 1 *",
}
DAYS: Mapping[Grain, float] = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30.4, "quarter": 91.3, "year": 365.2}
_MONTHS: Mapping[Grain, int] = {"month": 1, "quarter": 3, "year": 12}
#: Times in nanoseconds lie in these years.
_YEARS = (1678, 2261)
#: A history is some intervals long, each of them a run of a pipeline: of more the first model would come late, of fewer
#: there is little to judge by. Where there is no other way it is longer, but no longer than that.
MOST_INTERVALS, LEAST_INTERVALS, LONGEST = 16, 4, 40
#: From such a mean number of rows on an interval is worth a run, and a long history is cut to its newest intervals.
ENOUGH_ROWS = 10
#: Rows without a time are cut into so many files by a hash.
FILES = 4
#: The day of the first of these files. It lies in the past, so that no run waits for its interval to end.
FIRST_FILE = datetime(2025, 1, 1, tzinfo=UTC)
#: The data go on if they end no longer ago than so many intervals.
GOES_ON = 2


def delivery_of(profile: Profile, now: datetime | None = None) -> Delivery:
    """Return how data arrives.

    :param now: what tells whether data that end in the past go on; None where nobody wants to know: they do.
    """
    time = profile.time
    grain = grain_of(time) if time and _YEARS[0] < time.first.year <= time.last.year < _YEARS[1] else None
    if time is None or grain is None:
        return _by_file()
    rows, column = profile.reading.rows, profile.column(time.column)
    end = after(begin(time.last, grain), grain)
    start, count = _start(time, grain, rows)
    if now and end > now:  # an interval that goes on has no run yet
        count = max(1, count - steps(begin(now, grain), end, grain))
    ended = now is not None and end + timedelta(days=GOES_ON * DAYS[grain]) < now
    is_time = column.type == "timestamp" and not time.parts
    return Delivery(
        by="time",
        time=time.column,
        time_parts=time.parts,
        time_written=column.written if column.type == "timestamp" else "%Y",
        added=None if is_time else free_name("time", [each.name for each in profile.columns]),
        zone=None if column.zoned else "UTC",
        grain=grain,
        intervals=count,
        gaps=time.filled[grain] < 1,
        schedule=Schedule(cron=CRON[grain], start=start, end=end if ended else None),
        reason=f"{time.filled[grain]:.0%} of {time.intervals[grain]:,} {grain}s have rows, "
        f"{rows / max(1, time.filled[grain] * time.intervals[grain]):,.1f} each",
    )


def _by_file() -> Delivery:
    schedule = Schedule(cron=CRON["day"], start=FIRST_FILE, end=FIRST_FILE + timedelta(days=FILES))
    reason = f"no column orders the rows: a hash cuts them into {FILES} files, and each day's file is an interval"
    return Delivery(by="file", schedule=schedule, intervals=FILES, reason=reason)


def grain_of(time: TimeProfile) -> Grain | None:
    """Return the shortest interval of which there are few enough; None if there are no two of any.

    One of which many have no row is taken where no longer one will do.
    """
    few: list[Grain] = [grain for grain in CRON if time.intervals[grain] <= MOST_INTERVALS]
    filled = [grain for grain in few if time.filled[grain] >= FILLED[grain]]
    best: Grain = next(iter(filled or few), "year")
    finer: list[Grain] = [grain for grain in CRON if DAYS[grain] < DAYS[best] and time.intervals[grain] <= LONGEST]
    if time.intervals[best] < LEAST_INTERVALS and finer:
        best = finer[-1]
    return best if time.intervals[best] > 1 else None


def _start(time: TimeProfile, grain: Grain, rows: int) -> tuple[datetime, int]:
    """Return when the first interval begins, and how many there are: of a long history the newest."""
    start, count = begin(time.first, grain), time.intervals[grain]
    most = MOST_INTERVALS if rows >= ENOUGH_ROWS * count else LONGEST
    if grain != "year" or count <= most:  # a shorter one was taken for its number
        return start, count
    for _ in range(count - most):
        start = after(start, grain)
    return start, most


def windows_of(delivery: Delivery, delay_days: float) -> Windows:
    """Return a fifth of the intervals to judge on, those before to learn from, and those whose labels are to come."""
    if delivery.intervals < 3:
        return Windows(train=1, evaluate=1)
    wait = min(math.ceil(delay_days / DAYS[delivery.grain]), delivery.intervals - 2) if delay_days else 0
    usable = delivery.intervals - wait
    evaluate = max(1, round(0.2 * usable))
    return Windows(train=max(1, usable - evaluate), evaluate=evaluate, wait=wait)


def begin(moment: datetime, grain: Grain) -> datetime:
    """Return when the interval begins in which a moment lies."""
    day = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if grain == "hour":
        return day
    day = day.replace(hour=0)
    if grain in ("day", "week"):
        return day - timedelta(days=day.weekday() if grain == "week" else 0)
    return day.replace(day=1, month=day.month - (day.month - 1) % _MONTHS[grain])


def after(start: datetime, grain: Grain) -> datetime:
    """Return when the next interval begins."""
    if grain not in _MONTHS:
        return start + timedelta(days=DAYS[grain])
    months = start.month - 1 + _MONTHS[grain]
    return start.replace(year=start.year + months // 12, month=months % 12 + 1)


def steps(start: datetime, end: datetime, grain: Grain) -> int:
    """Return how many intervals lie between two beginnings."""
    count = 0
    while start < end:
        start, count = after(start, grain), count + 1
    return count


def free_name(wanted: str, taken: list[str]) -> str:
    """Return a name that is not taken: the wanted one, else with a number."""
    numbered = (f"{wanted}_{number}" for number in range(2, len(taken) + 3))
    return wanted if wanted not in taken else next(name for name in numbered if name not in taken)
