"""Trainers that start processes of their own: they end in the default place, and none outlives a killed task."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.places.local_process import LocalProcess
from tests.factories.shop import DAYS, TRAINER, ShopWorld

LOG = logging.getLogger("tests.forking")
ROOT = Path(__file__).parents[3]
HELPERS = """
import os


def double(number):
    print("worker", os.getpid(), "doubles", number)
    return 2 * number
"""
#: What a trainer does before it trains; each leaves its answer in ``doubled``.
WAYS = {
    "Pool by fork": """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            doubled = pool.map(double, range(4))
    """,
    "Pool by spawn": """
        import multiprocessing
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            doubled = pool.map(double, range(4))
    """,
    "Pool by forkserver": """
        import multiprocessing
        with multiprocessing.get_context("forkserver").Pool(2) as pool:
            doubled = pool.map(double, range(4))
    """,
    "Pool left open": """
        import multiprocessing
        doubled = multiprocessing.Pool(2).map(double, range(4))
    """,
    "ProcessPoolExecutor": """
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(2) as pool:
            doubled = list(pool.map(double, range(4)))
    """,
    "joblib": """
        import joblib
        doubled = joblib.Parallel(n_jobs=2)(joblib.delayed(double)(number) for number in range(4))
    """,
    "a process that reads the input": """
        import subprocess, sys
        doubled = [0, 2, 4, len(subprocess.run([sys.executable, "-c", "input()"], stderr=subprocess.PIPE).stderr) and 6]
    """,
    "a process in a session of its own": """
        import os, subprocess, sys
        from pathlib import Path
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        Path(os.environ["LEFT"]).write_text(str(left.pid))
        doubled = [0, 2, 4, 6]
    """,
}
LOADER = """
        from torch.utils.data import DataLoader
        loader = DataLoader([0, 1, 2, 3], num_workers=2, multiprocessing_context="{}", collate_fn=double_all)
        doubled = [number for batch in loader for number in batch]
"""
NO_TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="pip install 'airflow-mlops-provider[torch]'"
)
LOADERS = {f"DataLoader by {how}": LOADER.format(how) for how in ("fork", "forkserver", "spawn")}
TELLS = """
import subprocess, sys
from pathlib import Path
import multiprocessing


def keep(folder):
    Path(folder, str(os.getpid())).touch()
    import time
    time.sleep(600)


def train(features, label, settings, seed):
    with multiprocessing.get_context("{}").Pool(2) as pool:
        pool.map(keep, [r"{}"] * 2, chunksize=1)
"""
PARENT = """
import logging, sys
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.local_process import LocalProcess
LocalProcess().run(JobSpec.model_validate_json(sys.argv[1]), {}, logging.getLogger())
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopWorld]:
    """A product that learns, with both days in its feature store."""
    world = ShopWorld(tmp_path_factory.mktemp("forking"))
    world.write("helpers.py", HELPERS + "\n\ndef double_all(numbers):\n    return [double(one) for one in numbers]\n")
    yield world
    world.close()


@pytest.fixture(scope="module")
def training_set(shop: ShopWorld) -> Dataset:
    """What the trainers learn from."""
    made = shop.job("training_set", DAYS[-1], {"evaluate": 1}, features=tuple(map(shop.engineer, DAYS)))
    assert isinstance(made, Dataset)
    return made


def trainer(way: str) -> str:
    """Return a trainer that does something before it trains, and fails unless that went well."""
    before = "\n".join(f"    {line[8:]}" for line in way.strip("\n").splitlines())
    head, _, body = TRAINER.partition("    import lightgbm")
    checked = f"{head}{before}\n    assert doubled == [0, 2, 4, 6], doubled\n    import lightgbm{body}"
    return f"from PACKAGE.helpers import double, double_all\n{checked}"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", [*WAYS, *(pytest.param(name, marks=NO_TORCH) for name in LOADERS)])
def test_a_trainer_with_processes_of_its_own_ends(
    shop: ShopWorld, training_set: Dataset, tmp_path: Path, way: str
) -> None:
    """However a trainer starts its workers, the task ends with a model and leaves none of its group."""
    shop.write("trainer.py", trainer({**WAYS, **LOADERS}[way]))
    left = tmp_path / "left"
    place = LocalProcess(env={"LEFT": str(left)})
    result = place.run(shop.spec("train", interval=DAYS[-1], inputs={"training_set": training_set}), {}, LOG).result
    assert isinstance(result, Model)
    assert place._child is not None
    until(lambda: not of_group(place._child.pid))
    if left.exists():  # a daemon, as the model server is one: it lives, and holds nobody up
        os.kill(int(left.read_text()), signal.SIGKILL)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_workers_end_with_a_killed_task(shop: ShopWorld, training_set: Dataset, tmp_path: Path, how: str) -> None:
    """A task killed while a trainer's workers work leaves neither the job nor a worker."""
    shop.write("trainer.py", f"import os\n{TELLS.format(how, tmp_path)}")
    spec = shop.spec("train", interval=DAYS[-1], inputs={"training_set": training_set})
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(shop.products)))}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, spec.model_dump_json()], env=env)
    try:
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = {int(file.name) for file in tmp_path.iterdir()}
        started = of_group(os.getpgid(min(workers)))  # the job's own, whoever forked it
        assert workers < {process.pid for process in started}
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    until(lambda: not [process for process in started if alive(process)])


def of_group(number: int) -> list[Any]:
    """Return the processes of a process group that are alive."""
    return [process for process in psutil.process_iter() if group(process.pid) == number and alive(process)]


def group(pid: int) -> int | None:
    """Return a process's group; None if it is gone."""
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def alive(process: psutil.Process) -> bool:
    """Say whether a process still runs."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds; fail if it does not in time."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.05)
