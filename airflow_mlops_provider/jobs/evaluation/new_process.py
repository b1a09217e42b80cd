"""Has a model predict in a process that holds nothing else: what was kept with it, how fast, and in how much memory.

Run as a program it is that process. It needs the model's folder alone: none of the product's code, and no service.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.lifecycle.release.evaluation import Compared, Cost

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from airflow_mlops_provider.backends.models.base import LoadedModel
    from airflow_mlops_provider.problems.base import Problem

LIMIT_SECONDS = 600
SINGLE_ROWS, SECONDS, ROWS, REPEATS = 500, 5.0, 1000, 5
_INPUTS, _SCORES, _COST = "inputs.parquet", "scores.npy", "cost.json"


def predicted_again(folder: Path, kept: pd.DataFrame, problem: Problem) -> tuple[Compared, Cost | None]:
    """Return whether a model predicts anew what was kept with it, and what that took; None if it failed.

    :param kept: some of its inputs, with what was predicted of them when it was trained.
    """
    import numpy as np

    if kept.empty:
        return Compared(first="no rows were kept with the model"), None
    with tempfile.TemporaryDirectory(prefix="mlops-new-process-") as scratch:
        work = Path(scratch)
        kept.drop(columns=list(problem.columns(problem.scores(kept)))).to_parquet(work / _INPUTS)
        if why := _run(folder, work):
            return Compared(rows=len(kept), differing=len(kept), first=why), None
        scores, before = problem.checked(np.load(work / _SCORES)), problem.scores(kept)
        differs = ~(scores == before).reshape(len(kept), -1).all(axis=1)
        first = f"{scores[differs][0]}, and {before[differs][0]} when it was trained" if differs.any() else ""
        compared = Compared(rows=len(kept), differing=int(differs.sum()), first=first)
        return compared, Cost.from_file((work / _COST).read_bytes())


def _run(folder: Path, work: Path) -> str:
    """Run the process; return why it failed, empty if it did not."""
    command = [sys.executable, "-m", __name__, str(folder), str(work)]
    # Flavors of one's own lie where the job's modules do.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {LIMIT_SECONDS} s"
    lines = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
    return lines[-1].replace(str(folder), "the model's folder")[:300] if done.returncode else ""


def main(folder: Path, work: Path) -> None:
    """Load and predict, and write scores and cost."""
    import numpy as np
    import pandas as pd

    from airflow_mlops_provider.backends.models import base as models

    inputs = pd.read_parquet(work / _INPUTS)
    before = _memory()
    model = models.load(folder)
    np.save(work / _SCORES, model.predict(inputs))
    singles = _milliseconds(model, [inputs.iloc[[row % len(inputs)]] for row in range(SINGLE_ROWS)])
    many = inputs.iloc[np.resize(np.arange(len(inputs)), ROWS)]
    batches = _milliseconds(model, [many] * REPEATS)
    p50, p99 = np.percentile(singles, [50, 99])
    cost = {"p50_ms": p50, "p99_ms": p99, "batch_ms": np.median(batches), "memory_mib": _memory() - before}
    (work / _COST).write_text(json.dumps({name: float(value) for name, value in cost.items()}))


def _milliseconds(model: LoadedModel, frames: list[pd.DataFrame]) -> np.ndarray:
    """Return how long each prediction took, of as many as there is time for; the first, which warms up, not counted."""
    import numpy as np

    took, began = list[float](), time.monotonic()
    model.predict(frames[0])
    for frame in frames:
        start = time.perf_counter()
        model.predict(frame)
        took.append(1000 * (time.perf_counter() - start))
        if time.monotonic() - began > SECONDS:
            break
    return np.array(took)


def _memory() -> float:
    """Return the most memory that this process ever had, in MiB.

    ``getrusage`` would do, but that Linux hands its figure on from the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
