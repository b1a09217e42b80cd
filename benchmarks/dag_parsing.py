"""What parsing each reference DAG file costs beyond what every DAG file costs: in a DAG processor, and without one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import Result

DAGS = Path(__file__).parent.parent / "dags"
LIMIT = 50.0
RUNS = 7

# Airflow's DAG processor has loaded itself, and by the provider's listener our operators, and has frozen what it holds,
# before it forks a parser, so that a full garbage collection of Airflow's own objects (0.1 s) falls into no parse; the
# same is done here. Any asset has Airflow load its models, and every provider's kinds of assets.
_PROBE = """
import gc, runpy, sys, time
from airflow.sdk import DAG, Asset, BaseOperator, TaskGroup, conf
Asset("file:///any")
if sys.argv[3] == "forked":
    import airflow.dag_processing.manager
    from airflow_mlops_provider.preload import load
    load()
with DAG("any"), TaskGroup("any"):
    BaseOperator(task_id="any")
gc.freeze()
sys.path.insert(0, sys.argv[2])
began = time.perf_counter()
runpy.run_path(sys.argv[1])
print(1000 * (time.perf_counter() - began))
"""


def measure() -> Result:
    """Return the median and the worst of several parses of each file, in milliseconds."""
    files = sorted(DAGS.glob("*.py"))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        _parse(files[0], home)  # compiles what is not compiled yet
        taken = {file.name: [] for file in files}
        alone = {file.name: [] for file in files}
        for _ in range(RUNS):
            for file in files:
                taken[file.name].append(_parse(file, home))
                alone[file.name].append(_parse(file, home, "alone"))
    return Result(
        title="Parsing a DAG file, ms beyond Airflow's own",
        columns=("file", "median", "worst", f"limit {LIMIT:.0f}", "in a fresh interpreter"),
        rows=tuple(
            (
                *(name, f"{median(ms):.0f}", f"{max(ms):.0f}", "kept" if median(ms) <= LIMIT else "exceeded"),
                f"{median(alone[name]):.0f}",
            )
            for name, ms in taken.items()
        ),
        violations=tuple(f"{name}: {median(ms):.0f} ms" for name, ms in taken.items() if median(ms) > LIMIT),
        note=f"{RUNS} processes for each file, as a DAG processor forks them, with our operators loaded, and as many "
        "without. An empty DAG and an asset are made before the clock starts",
    )


def _parse(file: Path, home: str, how: str = "forked") -> float:
    # Airflow keeps compiled files; whoever runs this may not.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    settings = {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(file), str(DAGS), how],
        env={**inherited, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])
