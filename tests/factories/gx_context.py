"""A Great Expectations file context as Great Expectations leaves it: a suite of trips, as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

SUITE = {
    "name": "trips",
    "expectations": [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "distance km", "mostly": 0.9}},
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "zone", "value_set": ["north", "Süd", "east end"]},
        },
        {
            "type": "expect_column_max_to_be_between",
            "kwargs": {"column": "distance km", "max_value": {"$PARAMETER": "farthest"}},
        },
    ],
    "meta": {"great_expectations_version": "1.24.1"},
}


def deliver(folder: Path) -> None:
    """Write the context."""
    (folder / "expectations").mkdir(parents=True)
    (folder / "expectations" / "trips.json").write_text(json.dumps(SUITE, indent=2), "utf-8")
    (folder / "great_expectations.yml").write_text("config_version: 4.0\n", "utf-8")
