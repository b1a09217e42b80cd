"""Ten million rows through extract and clean, as CSV and as Parquet, against DuckDB alone: seconds and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import Result

ROWS = int(os.environ.get("BENCHMARK_ROWS", "10000000"))
RUNS = 3
#: What memory may at most be held, in GB.
LIMIT = 1.5

_DELIVER = """
import sys
import duckdb

target, rows, how = sys.argv[1:]
duckdb.sql(f'''copy (
    select 'shop ' || (range % 997) as shop, (range * 7919 % 100003) / 100.0 as amount, range % 5 as sold,
           timestamptz '2024-01-01 00:00:00+00' + to_microseconds(range * 86400000000 // {rows}) as at
    from range({rows})) to '{target}' ({how})''')
"""
# Each in a process of its own, whose peak the system tells.
_OURS = """
import sys, logging
from datetime import UTC, datetime

sys.path.insert(0, sys.argv[3])
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.runtime import runner

landing, name, _, root = sys.argv[1:]
day = Interval(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
columns = {"shop": "string", "amount": "float64", "sold": "int64", "at": "timestamp"}
sources = [{"name": "sales", "path": name, "time": "at", "settle_seconds": 0, "columns": columns}]
about = {"product": "benchmark", "interval": day, "root": root, "force": True,
         "services": Services(landing=landing, mlflow=f"sqlite:///{root}/mlflow.db")}
raw = runner.run(JobSpec(job="extract", settings={"sources": sources}, **about))
assert raw.result, raw.failure
clean = runner.run(JobSpec(job="clean", settings={"sources": sources, "clean": "benchmark_rules:clean"},
                           inputs={"raw": raw.result}, **about))
assert clean.result, clean.failure
"""
_RULES = """
import pyarrow as pa
import pyarrow.compute as pc


def clean(raw: dict[str, pa.Table], interval):
    return {"sales": raw["sales"].filter(pc.greater(raw["sales"]["amount"], 1.0))}
"""
_DUCKDB = """
import sys
import duckdb

landing, name, _, root = sys.argv[1:]
columns = "{'shop': 'varchar', 'amount': 'double', 'sold': 'bigint', 'at': 'timestamptz'}"
csv = f"read_csv('{landing}/{name}', columns={columns})"
read = f"read_parquet('{landing}/{name}')" if name.endswith("parquet") else csv
duckdb.sql("set memory_limit = '1GB'")
day = "\\"at\\" >= '2024-01-01' and \\"at\\" < '2024-01-02'"
duckdb.sql(f"copy (select * from {read} where {day}) to '{root}/raw.parquet'")
duckdb.sql(f"copy (select * from read_parquet('{root}/raw.parquet') where amount > 1.0) to '{root}/clean.parquet'")
"""


def measure() -> Result:
    """Return seconds and peak memory, medians of several runs, turn and turn about."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        measured = _measured(Path(folder))
    rows, violations = [], []
    for name, (ours, duckdb) in measured.items():
        seconds, peak = (median(values) for values in zip(*ours, strict=True))
        theirs, their_peak = (median(values) for values in zip(*duckdb, strict=True))
        rows += [
            (f"{name}, extract and clean", f"{seconds:.1f}", f"{peak:.2f}", f"{seconds / theirs:.1f}"),
            (f"{name}, DuckDB alone", f"{theirs:.1f}", f"{their_peak:.2f}", ""),
        ]
        if peak > LIMIT:
            violations.append(f"{name}: {peak:.2f} GB at the peak, and {LIMIT} are allowed")
    return Result(
        title=f"{ROWS:,} rows of four columns through extract and clean",
        columns=("", "median s", "peak GB", "times DuckDB's seconds"),
        rows=tuple(rows),
        violations=tuple(violations),
        note="Ours checks each value against its declared type, counts what it leaves out, hashes what it reads and "
        f"writes, and leaves manifests; DuckDB does none of it. Medians of {RUNS} runs, turn and turn about.",
    )


def _measured(folder: Path) -> dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]]:
    (folder / "benchmark_rules.py").write_text(_RULES)
    results: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]] = {}
    for name, how in (("sales.csv", "header"), ("sales.parquet", "format parquet")):
        subprocess.run([sys.executable, "-c", _DELIVER, str(folder / name), str(ROWS), how], check=True)
        results[name.partition(".")[2]] = ours, duckdb = [], []
        for run in range(RUNS):
            for program, into in ((_OURS, ours), (_DUCKDB, duckdb)):
                root = folder / f"{run}-{len(into)}-{program is _OURS}"
                root.mkdir()
                into.append(_run(program, folder, name, root))
                subprocess.run(["rm", "-r", str(root)], check=True)
        (folder / name).unlink()
    return results


def _run(program: str, folder: Path, name: str, root: Path) -> tuple[float, float]:
    """Run a program, and return its seconds and the most memory that it held at once, in GB."""
    watched = (
        "import json, resource, subprocess, sys, time; began = time.perf_counter(); "
        "subprocess.run([sys.executable, '-c', *sys.argv[1:]], check=True, stdout=2); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss; "
        "print(json.dumps([time.perf_counter() - began, used * 1024 / 1e9]))"
    )
    command = [sys.executable, "-c", watched, program, str(folder), name, str(folder), str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, peak = json.loads(done.stdout)
    return seconds, peak
