"""Bad input to the real product: the error says what and what to do, and everything that stood before still stands."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.backends.tracking.mlflow.mirror import HEAD, Mirror
from airflow_mlops_provider.exceptions import (
    BackendError,
    ConfigurationError,
    DeploymentError,
    SourceDataError,
    SourceError,
    UnknownNameError,
)
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, Evaluation
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import Ledger
from flight_delay import replay
from flight_delay.product import product as declared
from tests.factories.declared import changed, specify
from tests.factories.record import leave
from tests.factories.tiny import TinyWorld

JANUARY = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))
DAYS = Interval(start=JANUARY.start, end=JANUARY.start + timedelta(days=3))
FLIGHTS = "flights/2013-01.csv"
#: Its versions go live at once: who must have agreed is no matter here.
product = changed(declared, {"deployment": {}})
LOG = logging.getLogger("tests.bad_input")


class World:
    """Three days of January, taken as far as the online store; a version in the ledger and a release pointer."""

    def __init__(self, folder: Path) -> None:
        self.landing, self.root = folder / "landing", folder / "artifacts"
        for path in replay.deliver(self.landing, DAYS):
            assert path.exists()
        self.clean = self.job("clean", raw=self.job("extract"))
        self.features = self.job("compute", clean=self.clean)
        self.job("load", features=self.features)
        store = self.store = FolderStore(self.root)
        self.data: Dataset = leave(
            self.spec("training_set"), Dataset, {"t": b"t"}, facts={"rows": {"train": 9, "evaluate": 9}}
        )
        facts = {"run_id": "1", "training_set": self.data.to_json()}
        self.model: Model = leave(self.spec("train", training_set=self.data), Model, {"m": b"no model"}, facts=facts)
        self.version = ModelVersion(
            uri=self.model.uri, hash=self.model.hash, name="flight_delay", version=1, facts={"run_id": "1"}
        )
        for to in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY):
            evidence = {"report": f"{store.uri}/flight_delay/report"}
            Ledger(store, "flight_delay").move(self.version, to, reason="", by="tests", evidence=evidence)
        store.write("flight_delay/report/page.html", b"a report of a release that kept no hash of it")
        store.write("flight_delay/serving/desired.json", b"null")

    def job(self, name: str, mlflow: str = "", params: dict[str, Any] | None = None, **inputs: Any) -> Any:
        """Run a job of the product in a child process and return its result."""
        result = LocalProcess().run(self.spec(name, mlflow, params, **inputs), {}, LOG).result
        assert result is not None
        return result

    def spec(self, name: str, mlflow: str = "", params: dict[str, Any] | None = None, **inputs: Any) -> JobSpec:
        """Return what asks for a job of the product."""
        return specify(
            name,
            product,
            params,
            interval=DAYS,
            inputs=inputs,
            root=str(self.root),
            services=Services(landing=str(self.landing), mlflow=mlflow or f"sqlite:///{self.root}/mlflow.db"),
            run=RunIdentity(dag_id="tests", run_id="one", task_id=name),
        )

    def standing(self) -> dict[str, str]:
        """Return the hash of each file that others go by: pointers, offline and online store, ledger, release."""
        places = ("current", "feast", "ledger", "serving/desired.json")
        files = [path for place in places for path in self._files(self.root / "flight_delay" / place)]
        assert len({path.relative_to(self.root).parts[1] for path in files}) == len(places)
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def _files(self, path: Path) -> list[Path]:
        found = [path] if path.is_file() else path.rglob("*")
        return sorted(one for one in found if one.is_file() and not one.name.endswith((".lock", "-wal", "-shm")))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world, made once."""
    return World(tmp_path_factory.mktemp("bad_input"))


@pytest.fixture
def world(built: World) -> Iterator[World]:
    """The world as it was made; after the test, what others go by is byte for byte what it was before."""
    landing, before = built.landing.with_name("landing.before"), built.standing()
    shutil.copytree(built.landing, landing)
    yield built
    shutil.rmtree(built.landing)
    landing.rename(built.landing)
    assert built.standing() == before


def lines(world: World) -> list[str]:
    """Return the lines of the delivered flights."""
    return (world.landing / FLIGHTS).read_text().splitlines(keepends=True)


def without(text: list[str], column: str) -> str:
    """Return a CSV file without one of its columns; the flights have no quoted fields."""
    place = text[0].strip().split(",").index(column)
    rows = (line.rstrip("\n").split(",") for line in text)
    return "".join(",".join(row[:place] + row[place + 1 :]) + "\n" for row in rows)


def test_a_missing_column_is_named(world: World) -> None:
    """The message names the file, the column that is missing and those that there are."""
    (world.landing / FLIGHTS).write_text(without(lines(world), "tailnum"))
    with pytest.raises(SourceDataError, match=rf"{FLIGHTS} has no column tailnum; it has .*carrier"):
        world.job("extract")


def test_a_value_of_another_type_is_named(world: World) -> None:
    """The message names the file, the record, the column, its type and the value."""
    text = lines(world)
    row = text[5].split(",")
    row[text[0].strip().split(",").index("distance")] = "far"
    (world.landing / FLIGHTS).write_text("".join([*text[:5], ",".join(row), *text[6:]]))
    with pytest.raises(
        SourceDataError, match=rf"{FLIGHTS}: record 5, column 'distance': 'far' is no int64; correct it"
    ):
        world.job("extract")


def test_an_empty_interval_is_refused(world: World) -> None:
    """A delivery without a row of the interval is refused, and says that nothing was touched."""
    (world.landing / FLIGHTS).write_text(lines(world)[0])
    with pytest.raises(
        SourceDataError, match=r"source 'flights' has no rows in 2013-01-01 .*previous data is untouched"
    ):
        world.job("extract")


def test_a_delivery_that_is_not_there_can_be_waited_for(world: World) -> None:
    """A missing file is named, and a retry helps once it is there."""
    (world.landing / FLIGHTS).unlink()
    with pytest.raises(SourceError, match=rf"{FLIGHTS} has not been delivered yet; a retry helps") as told:
        world.job("extract")
    assert told.value.retryable


GARBAGE = {
    "binary": bytes(range(256)) * 50,
    "compressed": b"\x1f\x8b\x08\x00" + bytes(range(255, 0, -1)) * 20,
    "empty": b"",
    "page": b"<html><body>502 Bad Gateway</body></html>\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_corrupt_file_is_named(world: World, name: str) -> None:
    """A file that is no table is named, in a message that a person can read, and no retry helps."""
    (world.landing / FLIGHTS).write_bytes(GARBAGE[name])
    with pytest.raises(SourceDataError, match=rf"{FLIGHTS} (is no readable CSV file|has no column)") as told:
        world.job("extract")
    assert not told.value.retryable
    assert len(str(told.value)) < 1200


def test_a_truncated_file_is_refused(world: World) -> None:
    """A delivery that breaks off in the middle of a line is refused, with what to do."""
    data = (world.landing / FLIGHTS).read_bytes()
    (world.landing / FLIGHTS).write_bytes(data[: data.rindex(b"\n", 0, -1) + 20])
    with pytest.raises(
        SourceDataError, match=rf"{FLIGHTS} breaks off in the middle of its last line: .*; deliver it again, whole"
    ):
        world.job("extract")


def test_an_unknown_product_names_the_known_ones(world: World) -> None:
    """A product that nobody declared is refused, with a list of those that are."""
    with pytest.raises(UnknownNameError, match=r"unknown product 'flight_delays'; known: .*flight_delay"):
        load_product("flight_delays")


def test_an_unknown_metric_names_the_known_ones(world: World) -> None:
    """A metric that is none is refused when the product is declared, with those that are."""
    with pytest.raises(ValidationError, match="unknown metric 'kappa'; known: average_precision, balanced"):
        changed(product, {"evaluation.metric": "kappa"})


_FRAME = "pd.DataFrame({'shop': ['a'], 'event_time': [interval.start], 'mean_amount': [1.0]})"


@pytest.mark.parametrize(
    ("returned", "kind", "said"),
    [
        (f"{{'takings': {_FRAME}, 'spendings': {_FRAME}}}", UnknownNameError, "view .*'spendings'; known: takings"),
        (f"{{'takings': {_FRAME}.assign(sum=1.0)}}", UnknownNameError, "view 'takings' 'sum'; known: .*mean_amount"),
        (
            f"{{'takings': {_FRAME}.drop(columns='mean_amount')}}",
            UnknownNameError,
            "column of view 'takings' 'mean_amount'",
        ),
        ("{}", ConfigurationError, "returned no view takings; every declared one is needed"),
    ],
    ids=["view", "feature", "no feature", "no view"],
)
def test_features_that_nobody_declared_are_named(
    tmp_path: Path, returned: str, kind: type[Exception], said: str
) -> None:
    """A view or feature too many or too few is named with its function, beside those that are declared."""
    tiny = TinyWorld(tmp_path)
    tiny.write("features.py", f"import pandas as pd\n\ndef compute(tables, interval):\n    return {returned}\n")
    try:
        clean: Any = LocalProcess().run(tiny.cleaning(), {}, LOG).result
        assert isinstance(clean, Dataset)
        with pytest.raises(kind, match=said):
            LocalProcess().run(tiny.spec("compute", inputs={"clean": clean}), {}, LOG)
    finally:
        tiny.close()
    assert not (tiny.root / tiny.name / "current" / "features").exists()


def test_mlflow_out_of_reach_is_named(world: World, tmp_path: Path) -> None:
    """An MLflow that does not answer is named with its address and what to do; nothing moves, and a retry helps."""
    estimate = Estimate(value=0.7, low=0.6, high=0.8)
    evaluation = Evaluation(metric="roc_auc", window="w", rows=9, challenger=estimate, baseline=estimate)
    model, spec = world.model, world.spec("evaluate", model=world.model, training_set=world.data)
    files, facts = {"evaluation.json": evaluation.to_file()}, {"evaluation": evaluation.to_json()}
    report = leave(spec, Report, files, passed=True, facts=facts)
    with pytest.raises(BackendError, match=r"http://127\.0\.0\.1:1 does not answer .*; start it, or correct") as told:
        world.job("register", mlflow="http://127.0.0.1:1", model=model, evaluation=report)
    assert told.value.retryable


def test_a_model_that_cannot_be_loaded_goes_nowhere(world: World, free_port: Any) -> None:
    """A server that can't load the version says why; the pointer and the ledger stay where they were."""
    mirror, ledger = Mirror(f"sqlite:///{world.root}/mlflow.db", "flight_delay"), Ledger(world.store, "flight_delay")
    mirror.client.create_registered_model("flight_delay")
    mirror.client.set_registered_model_tag("flight_delay", HEAD, ledger.head())
    try:
        with pytest.raises(DeploymentError, match=r"could not load version 1: .*"):
            world.job("deploy", params={"port": free_port()}, version=world.version)
    finally:
        launcher.stop("flight_delay", str(world.root))
