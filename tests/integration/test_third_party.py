"""A distribution of somebody else's adds a part of each kind: they keep the contracts, and a product runs with them."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import __version__, extensions
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.extensions import ExtensionPoint
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.runner import look
from airflow_mlops_provider.storage.artifacts import open_store
from tests.factories.declared import specify
from tests.factories.tiny import DAY, TinyWorld

DISTRIBUTION = Path(__file__).parents[1] / "third_party" / "acme_mlops"
PIP = ("pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
#: What the tiny product says otherwise, and its code.
DECLARED = {
    '"binary_classification"': '"acme_amount"',
    'expectations="': 'validator="acme_rules", expectations="',
    'requires=("lightgbm", "numpy")': 'flavor="acme_means", requires=("numpy",)',
    "gates=Gates(min_metric=0.6)": 'metric="mean_absolute_error", gates=Gates(min_metric=9.0)',
}
CODE = {
    "expectations": """
        from acme_mlops.validator import Rule

        def expectations(name):
            return [Rule("amounts are positive", lambda table: (table["amount"] > 0).all())]
        """,
    "features": """
        def compute(tables, interval):
            sales = tables["sales"]
            rows = sales.assign(mean_amount=sales.groupby("shop")["amount"].transform(lambda values: values.shift()))
            return {"takings": rows[["shop", "mean_amount"]].assign(event_time=sales["at"])}
        """,
    "examples": """
        def examples(tables, interval):
            sales = tables["sales"]
            return sales[["shop"]].assign(event_time=sales["at"], much=sales["amount"], known_at=sales["at"])
        """,
    "assemble": """
        def assemble(rows):
            return rows[["mean_amount"]]
        """,
    "trainer": """
        from acme_mlops.flavor import Line

        def train(features, label, settings, seed):
            known = features["mean_amount"].notna()
            return Line({"mean_amount": 0.5}, float((label - 0.5 * features["mean_amount"])[known].mean()))
        """,
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which pip has installed the distribution."""
    source, target = tmp_path_factory.mktemp("source") / "acme", tmp_path_factory.mktemp("site")
    shutil.copytree(DISTRIBUTION, source)  # building writes beside the sources
    subprocess.run([sys.executable, "-m", *PIP, "--target", str(target), str(source)], check=True, timeout=300)
    return target


@pytest.fixture
def site(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, for this test alone, from which this process and its children import."""
    folder = tmp_path / "site"
    shutil.copytree(installed, folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    extensions._elsewhere.cache_clear()
    extensions._entries.cache_clear()
    yield folder
    extensions._elsewhere.cache_clear()
    extensions._entries.cache_clear()
    for module in [name for name in sys.modules if name.partition(".")[0] == "acme_mlops"]:
        del sys.modules[module]


def points() -> list[ExtensionPoint]:
    """Return each kind of part."""
    return [value for value in vars(extensions).values() if isinstance(value, ExtensionPoint)]


def test_one_of_each_kind_is_found_by_name(site: Path) -> None:
    """Each kind has a part from there, by its entry point and by its import path; ours stay what they were."""
    for point in points():
        (name,) = set(point.known()) - set(point.builtin)
        assert any(module.startswith("acme_mlops.") for module in point.modules(name)), point.kind
        assert type(point.find(point.where(name))) is type(point.find(name))


def test_it_keeps_every_contract(installed: Path, tmp_path: Path) -> None:
    """Its own tests, inherited from ours, pass in a process that knows it as installed, and nothing of our tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    tests = DISTRIBUTION / "tests"
    options = ("-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini"), "--confcutdir", str(tests))
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tests / "contracts.py")],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout


class World(TinyWorld):
    """The tiny product, declared with the others' parts, in a root of theirs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        declaration = (self.package / "product.py").read_text()
        for old, new in DECLARED.items():
            assert old in declaration, old
            declaration = declaration.replace(old, new)
        self.write("product.py", declaration)
        for module, text in CODE.items():
            self.write(f"{module}.py", text)
        amounts = np.random.default_rng(2).normal(5, 1, 40).round(3)
        times = [f"2024-01-01T{hour:02d}:{minute}:00Z" for hour in range(20) for minute in ("00", "30")]
        shops = ["north", "south"] * 20
        lines = [",".join(map(str, row)) for row in zip(shops, amounts, times, strict=True)]
        self.deliver("\n".join(["shop,amount,at", *lines]) + "\n")
        self.uri = f"acme-table://{folder}/root.db"
        self.services = Services(landing=str(self.landing), mlflow=f"sqlite:///{folder}/mlflow.db")

    def asking(self, job: str, params: dict[str, Any] | None = None, **inputs: Any) -> JobSpec:
        """Return what asks for a job."""
        run = RunIdentity(dag_id="acme", run_id="one", task_id=job)
        given: dict[str, Any] = {"interval": DAY, "inputs": inputs, "run": run}
        return specify(job, self.product, params, root=self.uri, services=self.services, **given)

    def do(self, job: str, params: dict[str, Any] | None = None, **inputs: Any) -> Any:
        """Run a job in a child process, and return its result."""
        return LocalProcess().run(self.asking(job, params, **inputs), {}, logging.getLogger("acme")).result


@pytest.fixture
def world(site: Path, tmp_path: Path) -> Iterator[World]:
    """The product."""
    tiny = World(tmp_path)
    yield tiny
    tiny.close()


def test_a_product_runs_with_its_parts(world: World, site: Path, tmp_path: Path) -> None:
    """From delivery to evaluation in their store, judged by their validator and problem, kept by their flavor."""
    raw = world.do("extract")
    valid = world.do("validate", {"what": "raw"}, dataset=raw)
    assert (valid.passed, valid.facts["checked"]) == (True, 1)
    features = world.do("compute", clean=(world.do("clean", raw=raw),))
    data = world.do("split_by_time", features=features)
    assert data.facts["rows"] == {"train": 20, "evaluate": 20}
    model = world.do("train", training_set=data)
    report = world.do("evaluate", model=model, training_set=data)
    assert 0 < report.facts["evaluation"]["challenger"]["value"] < 3
    store = open_store(world.uri)
    assert all(reference.uri.startswith(f"{store.uri}/") for reference in (raw, features, data, model, report))

    kept = store.download(model.uri.removeprefix(f"{store.uri}/"), tmp_path / "kept")
    loaded, rows = models.load(kept), pd.DataFrame({"mean_amount": [1.0, 4.0]})
    assert loaded.flavor == model.facts["flavor"] == "acme_means"
    logged = mlflow_model(world.services.mlflow, model.facts["run_id"])
    np.testing.assert_array_equal(logged.predict(rows), loaded.predict(rows))
    needed = Path(mlflow.pyfunc.get_model_dependencies(f"models:/{logged.metadata.model_id}")).read_text()
    assert {"acme-mlops==1.0", f"airflow-mlops-provider=={__version__}"} < set(needed.split())

    # An edit to what the flavor imports moves what was made with it, and nothing else.
    asked = {
        "validate": world.asking("validate", {"what": "raw"}, dataset=raw),
        "split_by_time": world.asking("split_by_time", features=features),
        "train": world.asking("train", training_set=data),
        "evaluate": world.asking("evaluate", model=model, training_set=data),
    }
    assert {job for job, spec in asked.items() if look(spec)[0] is None} == set()
    for module, moved in (("means", {"train", "evaluate"}), ("validator", {"validate"}), ("job", {"split_by_time"})):
        file = site / "acme_mlops" / f"{module}.py"
        before = file.read_text()
        file.write_text(f"{before}# edited\n")
        assert {job for job, spec in asked.items() if look(spec)[0] is None} == moved
        file.write_text(before)


def mlflow_model(uri: str, run_id: str) -> Any:
    """Return the model that a run logged, as MLflow loads it."""
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    (logged,) = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    return mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
