"""Features as they were known at millions of moments, against plain DuckDB and Feast's own store on DuckDB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks import Result
from benchmarks._processes import environment, python

ROWS = int(os.environ.get("BENCHMARK_ROWS", "3400000"))
RUNS = 3
#: How many times as long as plain DuckDB it may take, and the memory that it may hold on top.
MOST, MOST_MB = 1.3, 2000
#: What Feast's own store may take: it makes a row of each pair of rows before it picks the last.
FEAST_GB, FEAST_SECONDS = 12, 300
MEASURED = {"s": ".1f", "s of processor time": ".1f", "MB on top": ".0f"}

_WORLD = """
import json, resource, sys, time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Shape, View

folder = Path(sys.argv[1])
views = tuple(View(name=name, keys=(name,), features={f"{name}_{place}": "float64" for place in range(4)})
              for name in ("flight", "plane", "town"))
shape = Shape(name="bench", problem="regression", label=LabelColumns(column="y", known_at="known"), views=views,
              request={view.name: "int64" for view in views})
year = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2014, 1, 1, tzinfo=UTC))
store = FeatureStoreBackend(shape, folder / "store")
"""
# Rows of three views, a tenth as many each as there are moments to join, and those moments.
_PREPARE = """
count, draw, files = int(sys.argv[2]), np.random.default_rng(0), {}


def write(name, number, **columns):
    at = pd.Timestamp(year.start) + pd.to_timedelta(draw.choice(365 * 86400, number, replace=False), unit="s")
    files[name] = folder / f"{name}.parquet"
    pd.DataFrame(columns | {"event_time": at.as_unit("us")}).to_parquet(files[name], index=False)


for view in views:
    values = {name: draw.normal(size=count // 10) for name in view.features}
    write(view.name, count // 10, **{view.name: draw.integers(0, 5000, count // 10)}, **values)
store.apply()
store.offline.load(year, files)
write("moments", count, **{view.name: draw.integers(0, 5000, count) for view in views})
"""
_JOIN = """
def by_us(moments):
    return store.historical(moments)


def by_duckdb(moments):
    import duckdb

    joins = (f"ASOF LEFT JOIN read_parquet('{folder}/store/offline/{view.name}/*.parquet') {view.name} "
             f"ON moments.{view.name} = {view.name}.{view.name} AND moments.event_time >= {view.name}.event_time"
             for view in views)
    return duckdb.sql(f"SELECT moments.*, {', '.join(shape.feature_types)} FROM moments {' '.join(joins)}").df()


def by_feast(moments):
    from feast import FeatureStore, RepoConfig

    own = store._store.config
    theirs = FeatureStore(config=RepoConfig(project=own.project, provider="local", registry=own.registry,
                          offline_store={"type": "duckdb"}, entity_key_serialization_version=3))
    rows = moments.rename(columns={"event_time": "event_timestamp"})
    names = [f"{view.name}:{name}" for view in views for name in view.features]
    return theirs.get_historical_features(rows, names).to_df().rename(columns={"event_timestamp": "event_time"})


def held(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1000


join, moments = {"ours": by_us, "DuckDB": by_duckdb, "Feast": by_feast}[sys.argv[2]], None
join(pd.read_parquet(folder / "moments.parquet").head(10))  # what is imported is not counted
moments = pd.read_parquet(folder / "moments.parquet")
if sys.argv[2] == "Feast":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]) * 2**30, -1))
Path("/proc/self/clear_refs").write_text("5")  # the most that was held is counted from here
before, began, worked = held("VmRSS"), time.perf_counter(), time.process_time()
frame = join(moments)
spent = [time.perf_counter() - began, time.process_time() - worked, held("VmHWM") - before]
frame = frame.sort_values([*shape.request, "event_time"])
known = np.ascontiguousarray(frame[[*shape.feature_types]].to_numpy("float64"))
print(json.dumps([*spent, [len(frame), sha256(known.tobytes()).hexdigest()]]))
"""


def measure() -> Result:
    """Return medians of ours and plain DuckDB's, turn and turn about: seconds, processor time, and memory on top."""
    runs: dict[str, list[list[float]]] = {"ours": [], "DuckDB": []}
    answers = set[tuple[int, str]]()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        python(_WORLD + _PREPARE, folder, str(ROWS))
        for _ in range(RUNS):
            for who, into in runs.items():
                *spent, answer = json.loads(python(_WORLD + _JOIN, folder, who).splitlines()[-1])
                into.append(spent)
                answers.add(tuple(answer))
        feast = _by_feast(folder)
    medians = {who: [median(run) for run in zip(*spent, strict=True)] for who, spent in runs.items()}
    rows = [
        (what, *(f"{medians[who][place]:{number}}" for who in runs), f"{_ratio(medians, place):.2f}", feast[place])
        for place, (what, number) in enumerate(MEASURED.items())
    ]
    checks = {
        f"{_ratio(medians, 0):.2f} times as long as plain DuckDB, not {MOST}": _ratio(medians, 0) > MOST,
        f"{medians['ours'][2]:.0f} MB on top, not {MOST_MB}": medians["ours"][2] > MOST_MB,
        "ours and DuckDB give other values": len(answers) > 1,
    }
    return Result(
        title=f"{ROWS:,} rows joined with three views as they were known",
        columns=("", "ours", "plain DuckDB", "ratio", "Feast's own on DuckDB"),
        rows=tuple(rows),
        violations=tuple(line for line, holds in checks.items() if holds),
        note=f"Medians of {RUNS} runs in fresh processes, turn and turn about, from a frame to a frame; four features "
        f"a view, of {ROWS // 10:,} rows each. Feast's own once, with {FEAST_GB} GB and {FEAST_SECONDS} s at most.",
    )


def _ratio(medians: dict[str, list[float]], place: int) -> float:
    return medians["ours"][place] / medians["DuckDB"][place]


def _by_feast(folder: str) -> list[str]:
    """Return what Feast's own store takes, or how it ended."""
    command = [sys.executable, "-c", _WORLD + _JOIN, folder, "Feast", str(FEAST_GB)]
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=FEAST_SECONDS)  # noqa: PLW1510
    except subprocess.TimeoutExpired:
        return [f"over {FEAST_SECONDS}"] * 2 + [""]
    if done.returncode:
        if not any(name in done.stderr for name in ("OutOfMemoryException", "MemoryError", "bad_alloc")):
            raise RuntimeError(f"Feast's own: {done.stderr[-3000:]}")
        return ["out of memory", "out of memory", f"over {FEAST_GB * 1000}"]
    spent = json.loads(done.stdout.splitlines()[-1])
    return [f"{spent[place]:{number}}" for place, number in enumerate(MEASURED.values())]
