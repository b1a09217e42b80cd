"""What has not changed is not done again: each change reruns exactly the steps that depend on it."""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity, Services
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to
from tests.factories.declared import specify
from tests.factories.rain import NAME, PRODUCTS, deliver, product, year

YEARS = (year(2012), year(2013))
MODEL = {"train", "evaluate"}
FROM_2013 = {"clean 2013", "compute 2013", "training_set", "validate", *MODEL}


class Pipeline:
    """A copy of the second product, its trainer in a file of its own, and every job up to its registered version."""

    def __init__(self, folder: Path) -> None:
        self.name = f"rain_again_{os.getpid()}"
        self.package, self.landing, self.root = (
            folder / "products" / self.name,
            folder / "landing",
            folder / "artifacts",
        )
        shutil.copytree(PRODUCTS / NAME, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        for file in self.package.glob("*.py"):
            file.write_text(file.read_text().replace(NAME, self.name).replace("weather:train", "trainer:train"))
        trainer = (self.package / "weather.py").read_text().partition("\ndef train(")[2]
        (self.package / "trainer.py").write_text(f"from __future__ import annotations\n\n\ndef train({trainer}")
        self.runs = itertools.count()
        product()
        for interval in YEARS:
            deliver(self.landing, interval)

    def delivery(self) -> Path:
        """The last year's raw file."""
        return self.landing / product().data.sources[0].delivery(YEARS[-1])

    def rerun(self, *, force: bool = False) -> set[str]:
        """Run it all once more, as fresh processes would see it; return the steps that did their work."""
        for module in [name for name in sys.modules if name.partition(".")[0] == self.name]:
            del sys.modules[module]
        importlib.invalidate_caches()
        run, done = f"run {next(self.runs)}", set()

        def job(
            name: str, interval: Interval | None = None, params: dict[str, Any] | None = None, **inputs: Any
        ) -> Any:
            spec = specify(
                name, load_product(self.name), params, interval=interval, inputs=inputs, root=str(self.root),
                services=Services(landing=str(self.landing), mlflow=f"sqlite:///{self.root}/mlflow.db"),
                run=RunIdentity(dag_id="rain", run_id=run, task_id=name), force=force,
            )  # fmt: skip
            manifest = runner.run(spec)
            assert manifest.state == "success", manifest.failure
            if manifest.spec.run.run_id == run and not find_job(name).side_effects:
                done.add(f"{name} {interval.start:%Y}" if interval else name)
            return manifest.result

        features = []
        for interval in YEARS:
            job("clean", interval, raw=job("extract", interval))
            clean = leading_to(current(open_store(str(self.root)), self.name, "clean"), interval, 2)
            features.append(job("compute", interval, clean=clean))
            job("load", interval, features=features[-1])
        data = job("training_set", params={"evaluate": 1}, features=tuple(features))
        job("validate", params={"what": "training"}, dataset=data)
        model = job("train", training_set=data)
        evaluation = job("evaluate", model=model, training_set=data)
        job("register", params={"cause": "first"}, model=model, evaluation=evaluation)
        return done


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline that ran once."""
    made = Pipeline(tmp_path_factory.mktemp("reruns"))
    sys.path.insert(0, str(made.package.parent))
    assert made.rerun() == {"clean 2012", "compute 2012", *FROM_2013}
    yield made
    sys.path.remove(str(made.package.parent))


def test_unchanged_nothing_is_done_again(pipeline: Pipeline) -> None:
    """Neither another run, nor touched files, nor a remark about the product make any step work; force makes all."""
    assert pipeline.rerun() == set()
    for file in (pipeline.delivery(), *pipeline.package.glob("*.py")):
        os.utime(file, (1, 1))
    assert pipeline.rerun() == set()
    edit(pipeline.package / "product.py", "weather@city.example", "rain@city.example")
    assert pipeline.rerun() == set()
    assert pipeline.rerun(force=True) == {"clean 2012", "compute 2012", *FROM_2013}


def test_one_row_of_the_source(pipeline: Pipeline) -> None:
    """A corrected row redoes its interval and all that was made of it; the interval before stays as it is."""
    first, header = pipeline.delivery().read_text(), "2013-07-01 00:00:00+00:00,0.0,"
    assert header in first
    pipeline.delivery().write_text(first.replace(header, "2013-07-01 00:00:00+00:00,9.9,"))
    assert pipeline.rerun() == FROM_2013
    pipeline.delivery().write_text(first)
    assert pipeline.rerun() == set(), "the earlier work is still there to be found"


def test_one_character_of_the_trainer(pipeline: Pipeline) -> None:
    """A round more trains and judges another model; a remark trains again, and finds the same model judged."""
    edit(pipeline.package / "trainer.py", "num_boost_round=80", "num_boost_round=81")
    assert pipeline.rerun() == MODEL
    edit(pipeline.package / "trainer.py", "import lightgbm\n", "import lightgbm  #\n")
    assert pipeline.rerun() == {"train"}


def test_one_pinned_version(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of a package redoes the steps that ask for it."""
    for name, steps in {"lightgbm": MODEL, "great-expectations": {"validate"}, "duckdb": {"training_set"}}.items():
        folder = tmp_path / name / f"{name.replace('-', '_')}-99.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder.parent))
            assert pipeline.rerun() == steps
    assert pipeline.rerun() == set()


def test_one_setting(pipeline: Pipeline) -> None:
    """Another learning rate trains and judges another model; a gate's limit is shown by its evaluation's page."""
    edit(pipeline.package / "product.py", '"learning_rate": 0.05', '"learning_rate": 0.06')
    assert pipeline.rerun() == MODEL
    edit(pipeline.package / "product.py", "min_metric=0.7,", "min_metric=0.71,")
    assert pipeline.rerun() == {"evaluate"}


def edit(file: Path, old: str, new: str) -> None:
    """Change one place of a file."""
    text = file.read_text()
    assert text.count(old) == 1, (file.name, old)
    file.write_text(text.replace(old, new))
