"""From a file that nobody has declared to a model that answers, as the tutorial says: ``init``, then ``up``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from airflow_mlops_provider.demo.home import ARTIFACTS
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime.code import load_product, make_importable
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.initiated import ALL, CHOSEN, PUBLIC, write
from tests.factories.ports import free_port
from tests.factories.products import ask

MINUTES = 15
#: What is no better than naive is refused, rightly; of five sets one may be so.
REFUSED: list[str] = []

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(MINUTES * 60),
    pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has five files become products in a real Airflow"),
]


@pytest.fixture
def mlops(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that runs ``airflow mlops …`` and returns what it printed."""

    def run(*arguments: str) -> str:
        env = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "home"), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "airflow", "mlops", *arguments]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "home").mkdir()
    yield run
    run("down", "--home", str(tmp_path / "home"))


@pytest.mark.parametrize("name", CHOSEN)
def test_from_a_file_to_an_answer(name: str, mlops: Callable[..., str], tmp_path: Path) -> None:
    """Two commands and no line by hand: what is learned from the history is served, unless naive is as good."""
    begun, home, dags = time.monotonic(), tmp_path / "home", tmp_path / "dags"
    dags.mkdir()
    said = [f"--{option}={value}" for option, value in PUBLIC[name].said.items()]
    landing = ("--landing", str(home / "landing"))
    mlops("init", str(write(name, tmp_path / "data")), "--to", str(dags), *landing, "--yes", *said)
    airflow, mlflow, server = (str(free_port()) for _ in range(3))
    ports = ("--port", airflow, "--mlflow-port", mlflow, "--serving-port", server)
    mlops("up", "--dags", str(dags), "--home", str(home), *ports)
    store, waited = open_store(str(home / ARTIFACTS)), begun + MINUTES * 60 - 30
    while not (moves := Ledger(store, name).entries()) or moves[-1].status not in (Status.LIVE, Status.REJECTED):
        assert time.monotonic() < waited, mlops("history", name)
        time.sleep(2)
    print(f"\n{name}: {moves[-1].status} {time.monotonic() - begun:.0f} s after it was a file; {moves[-1].reason}")
    if moves[-1].status is Status.REJECTED:
        REFUSED.append(name)
        assert len(REFUSED) < 2, REFUSED
        return
    (features,) = current(store, name, "features")[-1:]
    assert features.interval
    make_importable([dags])
    rows = pd.read_parquet(Path(features.uri.removeprefix("file://")) / "examples.parquet").tail(3)
    rows["event_time"] = pd.Timestamp(features.interval.end)  # the online store knows what is newest
    columns = [*load_product(name).shape.row_columns]
    given = json.loads(rows[columns].to_json(orient="records", date_format="iso", date_unit="us"))
    answers = ask(f"http://127.0.0.1:{server}", given)["predictions"]
    assert len(answers) == 3 and all(len(answer) > 1 for answer in answers)
