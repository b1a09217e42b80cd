"""How rows lie in time: by which grain, in which series, and what moved from the first part to the last."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations

import numpy as np

from airflow_mlops_provider.backends.profiles.columns import moment, row_hashes
from airflow_mlops_provider.backends.profiles.values import Codes, Floats, Rows, Values
from airflow_mlops_provider.backends.tables.sample import Hashes, spread
from airflow_mlops_provider.lifecycle.initiation.profile import FILLED, Candidate, Grain, Periods, TimeProfile

GRAINS: tuple[Grain, ...] = ("hour", "day", "week", "month", "quarter", "year")
MONTHS: Mapping[Grain, int] = {"month": 1, "quarter": 3, "year": 12}
MOST_PERIODS = 40
#: A series has so many rows at least, by its median.
LEAST_STEPS = 12
UNIQUE, FIRST_ROWS = 0.995, 20_000
MOST_KEYS = 6
PSI_BINS, LEAST_DRIFT_ROWS = 10, 90


def seconds_of(columns: Mapping[str, Values], chosen: Candidate) -> Floats:
    """Return the time of each row in seconds since 1970; it may be spread over several columns."""
    if not chosen.parts:
        numbers = columns[chosen.column].numbers
        assert numbers is not None
        return numbers
    parts = {name.lower()[:1] if name.lower() != "month" else "month": columns[name].numbers for name in chosen.parts}
    whole = {key: np.nan_to_num(numbers if numbers is not None else 0.0) for key, numbers in parts.items()}
    year = whole["y"].astype(np.int64) - 1970
    first = whole["month"] if "month" in whole else 3 * whole.get("q", np.ones_like(whole["y"])) - 2
    months = (12 * year + first.astype(np.int64) - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + whole.get("d", np.ones_like(first)) - 1
    return np.asarray(86400.0 * days + 3600 * whole.get("h", np.zeros_like(first)), dtype=np.float64)


def intervals(seconds: Floats, grain: Grain) -> Codes:
    """Return the number of the interval in which each time lies, weeks from Mondays on."""
    if grain in MONTHS:
        return seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) // MONTHS[grain]
    days = {"hour": 1 / 24, "day": 1, "week": 7}[grain]
    monday = 3 * 86400 if grain == "week" else 0
    return np.floor((seconds + monday) / (86400 * days)).astype(np.int64)


def starts(number: int, grain: Grain) -> float:
    """Return when an interval begins, in seconds since 1970."""
    if grain in MONTHS:
        return float(np.datetime64(number * MONTHS[grain], "M").astype("datetime64[s]").astype(np.int64))
    return number * {"hour": 3600, "day": 86400, "week": 604800}[grain] - (3 * 86400 if grain == "week" else 0)


def time_profile(
    seconds: Floats, chosen: Candidate, columns: Mapping[str, Values], others: Collection[str]
) -> TimeProfile:
    """Return how rows lie in time.

    :param others: columns that are no keys of series: the label.
    """
    known = seconds[~np.isnan(seconds)]
    counts = {grain: _counts(intervals(known, grain)) for grain in GRAINS}
    keys, step = _series(seconds, {name: columns[name] for name in columns if name not in {*others, *chosen.parts}})
    series = len(np.unique(row_hashes({name: columns[name] for name in keys or ()}))) if keys else 1
    return TimeProfile(
        column=chosen.column,
        parts=chosen.parts if len(chosen.parts) > 1 else (),
        first=moment(known.min()),
        last=moment(known.max()),
        filled={grain: round(there / every, 4) for grain, (there, every) in counts.items()},
        intervals={grain: every for grain, (_, every) in counts.items()},
        periods=periods(known, {grain: every for grain, (_, every) in counts.items()}),
        keys=keys or (),
        series=series if keys is not None else 0,
        step=step,
    )


def periods(known: Floats, counts: Mapping[Grain, int]) -> Periods:
    """Return the rows in parts of time that are few enough for a chart."""
    grain: Grain = next((grain for grain in GRAINS if counts[grain] <= MOST_PERIODS), "year")
    number = intervals(known, grain)
    numbers = range(int(number.min()), int(number.max()) + 1)
    rows = np.bincount(number - number.min(), minlength=len(numbers))
    shown = numbers[-MOST_PERIODS:]
    begins = tuple(moment(starts(each, grain)) for each in shown)
    return Periods(grain=grain, starts=begins, rows=tuple(map(int, rows[-MOST_PERIODS:])))


def period_of(seconds: Floats, shown: Periods) -> Codes:
    """Return in which of the periods each row lies, -1 for one in none."""
    first = intervals(np.array([shown.starts[0].timestamp()]), shown.grain)[0]
    number = intervals(np.nan_to_num(seconds), shown.grain) - first
    return np.where(np.isnan(seconds) | (number < 0) | (number >= len(shown.starts)), -1, number)


def mean_by_period(numbers: Floats, period: Codes, count: int) -> list[float | None]:
    """Return the mean of what is known in each period; None where nothing is."""
    known = ~np.isnan(numbers) & (period >= 0)
    sums = np.bincount(period[known], numbers[known], count)
    rows = np.bincount(period[known], minlength=count)
    return [float(total / number) if number else None for total, number in zip(sums, rows, strict=True)]


def psi(values: Values, earlier: Rows, later: Rows) -> float:
    """Return the population stability index of two groups of rows, less what chance alone would give.

    The sum of (q - p) ln(q / p) over the shares of deciles or classes (Siddiqi, Credit Risk Scorecards, 2006, ch. 9,
    who calls 0.1 some and 0.25 much of a shift); chance gives (B - 1)(1/n + 1/m) (Yurdakul, 2018, sec. 3). A missing
    value is a class of its own.
    """
    bins = _classes(values.codes) if values.numbers is None else _deciles(values.numbers, earlier)
    count = int(bins.max()) + 1
    p, q = (np.bincount(bins[rows], minlength=count) + 0.5 for rows in (earlier, later))
    shares = p / p.sum(), q / q.sum()
    noise = (count - 1) * (1 / earlier.sum() + 1 / later.sum())
    return max(0.0, float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum() - noise))


def drifts(columns: Mapping[str, Values], seconds: Floats) -> dict[str, float]:
    """Return how far each column has moved from the first third of the rows to the last; of keys there is no such."""
    known = ~np.isnan(seconds)
    if known.sum() < LEAST_DRIFT_ROWS:
        return {}
    first, second = np.quantile(seconds[known], (1 / 3, 2 / 3))
    earlier, later = known & (seconds <= first), known & (seconds > second)
    if not earlier.any() or not later.any():
        return {}
    usable = {
        name: values
        for name, values in columns.items()
        if values.type != "timestamp" and values.distinct > 1
        if values.numbers is not None or values.distinct < known.sum() / 3
    }
    return {name: round(psi(values, earlier, later), 4) for name, values in usable.items()}


def _classes(codes: Codes) -> Codes:
    """Return the 20 most frequent classes as numbers from 1 on, all others together as 0, and missing ones last."""
    counts = np.bincount(codes[codes >= 0])
    place = np.zeros(len(counts) + 1, dtype=np.int64)
    place[np.argsort(-counts, kind="stable")[: 2 * PSI_BINS]] = np.arange(1, min(len(counts), 2 * PSI_BINS) + 1)
    place[-1] = place.max() + 1
    return place[codes]


def _deciles(numbers: Floats, earlier: Rows) -> Codes:
    known = numbers[earlier & ~np.isnan(numbers)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, PSI_BINS + 1)[1:-1])) if len(known) else np.array([])
    return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="left")).astype(np.int64)


def _counts(number: Codes) -> tuple[int, int]:
    return len(np.unique(number)), int(number.max() - number.min() + 1)


def _series(seconds: Floats, columns: Mapping[str, Values]) -> tuple[tuple[str, ...] | None, Grain | None]:
    """Return the columns that with the time name each row, none if the time alone does, and the series' grain."""
    known = ~np.isnan(seconds)
    if _differ(spread(seconds[known].astype(np.int64).astype(np.uint64))):
        return (), _step(seconds[known], np.zeros(known.sum(), dtype=np.uint64))
    likely = [
        name
        for name, values in columns.items()
        if values.type in ("string", "int64") and 1 < values.distinct <= len(seconds) / LEAST_STEPS
    ]
    likely = sorted(likely, key=lambda name: columns[name].type != "string")[:MOST_KEYS]
    for keys in (each for size in (1, 2) for each in combinations(likely, size)):
        named = row_hashes({name: columns[name] for name in keys})[known]
        moments = spread(seconds[known].astype(np.int64).astype(np.uint64))
        if _differ(spread(named ^ moments)):
            return keys, _step(seconds[known], named)
    return None, None


def _differ(rows: Hashes) -> bool:
    """Say whether almost all rows differ: where clocks are put back an hour comes twice."""
    return all(len(np.unique(some)) > UNIQUE * len(some) for some in (rows[:FIRST_ROWS], rows))


def _step(seconds: Floats, named: Hashes) -> Grain | None:
    """Return the finest grain of which series have almost each interval; None if they are irregular, or too short."""
    _, series, rows = np.unique(named, return_inverse=True, return_counts=True)
    if np.median(rows) < LEAST_STEPS:
        return None
    for grain in GRAINS:
        at = intervals(seconds, grain)
        low, high = np.full(len(rows), at.max()), np.full(len(rows), at.min())
        np.minimum.at(low, series, at)
        np.maximum.at(high, series, at)
        there = len(np.unique(series * (np.ptp(at) + 1) + at - at.min()))
        if there / (high - low + 1).sum() >= FILLED[grain]:
            return grain if there > 0.9 * len(seconds) or _even(seconds, series) else None
    return None


def _even(seconds: Floats, series: Codes) -> bool:
    """Say whether the rows of each series follow each other by the same time, as those of a sensor do."""
    order = np.lexsort((seconds, series))
    gaps = np.diff(seconds[order])[np.diff(series[order]) == 0]
    return bool((np.abs(gaps - np.median(gaps)) < 1).mean() > 0.9)
