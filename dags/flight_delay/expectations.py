"""What each dataset must look like before anything is built on it, as Great Expectations expectations.

The limits hold in every month of 2013 and leave room around the worst of them; a unit that shifts, an origin that is
misspelt or half a delivery does not fit in.
"""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.exceptions import UnknownNameError
from flight_delay.examples import CARRIERS, ORIGINS, STORED
from flight_delay.product import product

Ranges = dict[str, tuple[float, float]]

# Every value, ends included.
_ALWAYS: dict[str, Ranges] = {
    "flights": {
        "distance": (10, 6000),
        "hour": (0, 23),
        "minute": (0, 59),
        "sched_arr_time": (0, 2400),
        "dep_delay": (-120, 2880),
        "arr_delay": (-240, 2880),
        "air_time": (10, 1200),
    },
    "weather": {"humid": (0, 100), "wind_gust": (0, 120), "precip": (0, 5), "visib": (0, 10)},
    "outcomes": {"late": (0, 1)},
    "planes": {"seats": (1, 900)},
    "airports": {},
    "training": {
        "late": (0, 1),
        "distance": (10, 6000),
        "hour": (0, 23),
        **{name: (0, 1) for name in STORED if "late" in name or "overdue" in name},
        "humid": (0, 100),
        "aircraft_legs_24h": (1, 24),
    },
}

# All but one value in a hundred: real instruments and registers slip.
_MOSTLY: dict[str, Ranges] = {
    "flights": {},
    "outcomes": {},
    "weather": {"temp": (-20, 115), "wind_speed": (0, 100), "pressure": (950, 1060)},
    "planes": {"year": (1930, 2013)},
    "airports": {},
    "training": {"wind_speed": (0, 100), "pressure": (950, 1060), "aircraft_seats": (1, 900)},
}

# The month's mean: a shifted unit (hours for minutes, kilometres for miles) keeps every range and moves this.
_MEAN: dict[str, Ranges] = {
    "flights": {"distance": (900, 1200), "air_time": (120, 180), "dep_delay": (0, 40), "arr_delay": (-15, 40)},
    "outcomes": {"late": (0.08, 0.45)},
    "weather": {"temp": (20, 95), "wind_speed": (5, 20), "visib": (7, 10)},
    "planes": {"seats": (100, 220)},
    "airports": {},
    "training": {"late": (0.08, 0.45), "distance": (900, 1200), "origin_delay_24h": (0, 40)},
}

# Least share of values present.
_PRESENT: dict[str, dict[str, float]] = {
    "flights": {
        **dict.fromkeys(("carrier", "origin", "dest", "flight", "distance", "time_hour", "sched_dep_time"), 1.0),
        **dict.fromkeys(("tailnum", "dep_delay", "arr_delay", "air_time"), 0.9),
    },
    "weather": {
        **dict.fromkeys(("origin", "time_hour", "precip", "visib"), 1.0),
        **dict.fromkeys(("temp", "humid", "wind_speed"), 0.98),
        "pressure": 0.7,
    },
    "outcomes": dict.fromkeys(("origin", "carrier", "flight", "sched_dep", "late", "label_known_at"), 1.0),
    "planes": {"tailnum": 1.0, "seats": 1.0, "year": 0.9},
    "airports": {"faa": 1.0, "tzone": 0.95},
    "training": {
        **dict.fromkeys((*product.features.request, "event_time", "late"), 1.0),
        **dict.fromkeys(("carrier_late_7d", "dest_late_7d", "humid", "visib", "aircraft_arr_delay"), 0.8),
    },
}

_VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "flights": {"origin": ORIGINS, "carrier": CARRIERS},
    "weather": {"origin": ORIGINS},
    "outcomes": {"origin": ORIGINS, "carrier": CARRIERS},
    "planes": {},
    "airports": {},
    "training": {"origin": ORIGINS, "carrier": CARRIERS},
}

# Rows of one delivery, or of one training window; a month brings 24,936 to 29,428 flights.
_ROWS: dict[str, tuple[int, int | None]] = {
    "flights": (20_000, 40_000),
    "weather": (1_800, 2_400),
    "outcomes": (20_000, 40_000),
    "planes": (3_000, 10_000),
    "airports": (1_000, 5_000),
    "training": (15_000, None),
}


def expectations(dataset: str) -> list[Any]:
    """Return what is expected of a dataset: one of the sources as delivered, or ``training``.

    :raises UnknownNameError: if nothing is declared for that name.
    """
    if dataset not in _ROWS:
        raise UnknownNameError("dataset", dataset, _ROWS)
    import great_expectations.expectations as gxe

    least, most = _ROWS[dataset]
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=least, max_value=most),
        *(gxe.ExpectColumnToExist(column=column) for column in _columns(dataset)),
        *_ranges(gxe, dataset),
        *_shares(gxe, dataset),
    ]


def _columns(dataset: str) -> list[str]:
    if dataset != "training":
        return list(product.data.source(dataset).columns)
    return [*product.features.request, "event_time", product.label.column, *product.shape.feature_types]


def _ranges(gxe: Any, dataset: str) -> list[Any]:
    between = gxe.ExpectColumnValuesToBeBetween
    always, mostly, mean = _ALWAYS[dataset].items(), _MOSTLY[dataset].items(), _MEAN[dataset].items()
    return [
        *(between(column=name, min_value=low, max_value=high) for name, (low, high) in always),
        *(between(column=name, min_value=low, max_value=high, mostly=0.99) for name, (low, high) in mostly),
        *(gxe.ExpectColumnMeanToBeBetween(column=name, min_value=low, max_value=high) for name, (low, high) in mean),
    ]


def _shares(gxe: Any, dataset: str) -> list[Any]:
    present, values = _PRESENT[dataset].items(), _VALUES[dataset].items()
    return [
        *(gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=share) for name, share in present),
        *(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=list(known)) for name, known in values),
    ]
