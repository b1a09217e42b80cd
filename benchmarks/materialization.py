"""A year of flights brought online, to SQLite and to Redis, against Feast's own materialization."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import Result
from benchmarks._processes import python, redis

ROWS = int(os.environ.get("BENCHMARK_ROWS", "336776"))
RUNS = 3
MEASURED = {"s": ".1f", "s of processor time": ".1f", "MB on top": ".0f"}
#: How many times as long Feast's own must take at least.
LEAST = 8.0

# A year of flights, one an entity, in no order; the process says how much memory it held on top.
_MATERIALIZE = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path

folder, online, who, count = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])
import numpy as np
import pandas as pd
from airflow_mlops_provider.backends.feature_store.feast import bulk
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Shape, View

if who == "Feast":
    bulk.fits = lambda settings: False
numbers = [f"number_{place}" for place in range(5)]
features = {**dict.fromkeys(numbers, "float64"), "seats": "int64", "origin": "string"}
shape = Shape(name="bench", problem="regression", label=LabelColumns(column="y", known_at="known"),
              views=(View(name="flights", keys=("flight",), features=features),), request={"flight": "int64"})
year = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2014, 1, 1, tzinfo=UTC))
draw = np.random.default_rng(0)
rows = pd.DataFrame({"flight": draw.permutation(count), **{name: draw.normal(size=count) for name in numbers}})
rows["event_time"] = pd.Timestamp(year.start) + pd.to_timedelta(draw.integers(0, 365 * 86400, count), unit="s")
rows = rows.assign(seats=draw.integers(9, 400, count), origin=draw.choice(["JFK", "LGA", "EWR"], count))
rows.to_parquet(folder / "rows.parquet", index=False)
del rows
store = FeatureStoreBackend(shape, folder / "store", online)
store.apply()
store.offline.load(year, {"flights": folder / "rows.parquet"})


def held(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1000


Path("/proc/self/clear_refs").write_text("5")  # the most that was held is counted from here
before, began, worked = held("VmRSS"), time.perf_counter(), time.process_time()
store.materialize(year)
print(json.dumps([time.perf_counter() - began, time.process_time() - worked, held("VmHWM") - before]))
"""


def measure() -> Result:
    """Return medians of ours and Feast's own, turn and turn about: seconds, processor time, and memory on top."""
    rows, violations = [], []
    with redis() as port:
        stores: dict[str, dict[str, Any]] = {"SQLite": {"type": "sqlite"}}
        if port:
            stores["Redis"] = {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
        for store, online in stores.items():
            medians = {who: [median(run) for run in zip(*runs, strict=True)] for who, runs in _measured(online).items()}
            for place, (what, number) in enumerate(MEASURED.items()):
                ours, feasts = medians["ours"][place], medians["Feast"][place]
                rows.append((f"{store}, {what}", f"{ours:{number}}", f"{feasts:{number}}", f"{feasts / ours:.1f}"))
            ratio = medians["Feast"][0] / medians["ours"][0]
            if ratio < LEAST:
                violations.append(f"{store}: {ratio:.1f} times as fast as Feast's own, not {LEAST:.0f}")
    return Result(
        title=f"{ROWS:,} rows brought online",
        columns=("", "ours", "Feast's own", "ratio"),
        rows=tuple(rows),
        violations=tuple(violations),
        note=f"Medians of {RUNS} runs in fresh processes, turn and turn about; seven features of each entity.",
    )


def _measured(online: dict[str, Any]) -> dict[str, list[list[float]]]:
    runs: dict[str, list[list[float]]] = {"ours": [], "Feast": []}
    for _ in range(RUNS):
        for who, into in runs.items():
            at = Path(tempfile.mkdtemp(prefix="benchmark-"))
            try:
                printed = python(_MATERIALIZE, str(at), json.dumps(online), who, str(ROWS))
                into.append(json.loads(printed.splitlines()[-1]))
            finally:
                shutil.rmtree(at)
    return runs
