"""``airflow mlops check``: green on products as they are, red by the step's name on each planted fault."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider.cli.delivery.image import BUILDERS, SkippedError, build
from flight_delay import replay
from tests.factories import rain

#: Where this is set, whole trainings are checked, too.
ALL = "MLOPS_TEST_PRODUCTS"
heavy = pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has whole trainings checked")
#: By the step that is to be red: what stands in the product's code, and what is planted in its place.
LEAK = ("data", '"rain_today": days["precipitation"],', '"rain_today": days["precipitation"].shift(-1),')
BROKEN_RULE = ("data", "min_value=360, max_value=366", "min_value=3600, max_value=3660")
WRONG_MODEL = ("model", "Dataset(features, label=label)", "Dataset(features, label=label.sample(frac=1.0).to_numpy())")


class Checked:
    """A repository with a product, a DAG file and a sample of two years, and what ``check`` says of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dags = folder, folder / "dags"
        shutil.copytree(rain.PRODUCTS / rain.NAME, self.dags / rain.NAME, ignore=shutil.ignore_patterns("__pycache__"))
        (self.dags / "training.py").write_text((rain.DAGS / "training.py").read_text())

    def plant(self, old: str, new: str) -> None:
        """Change the product's code."""
        file = self.dags / rain.NAME / "weather.py"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def check(self, *arguments: str) -> tuple[dict[str, tuple[str, str]], str]:
        """Return mark and words of each step, and the last line."""
        command = [sys.executable, "-m", "airflow", "mlops", "check", "--dags", "dags", *arguments]
        env = {**os.environ, "AIRFLOW_HOME": str(self.folder / "home"), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=False)
        lines = re.findall(r"^([✓✗-]) (\w+) +[\d.]+ s  (.+)$", done.stdout, re.MULTILINE)
        assert lines, done.stderr
        assert done.returncode == any(mark == "✗" for mark, *_ in lines), done.stderr
        return {name: (mark, said) for mark, name, said in lines}, (done.stderr.splitlines() or [""])[-1]


@pytest.fixture
def repository(tmp_path: Path) -> Checked:
    """A product repository in which nothing is wrong."""
    made = Checked(tmp_path)
    for year in (2012, 2013):
        rain.deliver(tmp_path / "sample", rain.year(year))
    return made


def test_a_broken_dag_file_is_red(repository: Checked) -> None:
    """The file and its error are named; what can't run here is skipped and says why; other steps go on."""
    (repository.dags / "broken.py").write_text("from airflow.sdk import DAG\nimport nothing_of_the_kind\n")
    steps, last = repository.check()
    assert [*steps] == ["dags", "declaration", "data", "model", "serving", "image"]
    mark, said = steps["dags"]
    assert mark == "✗" and "broken.py" in said and "nothing_of_the_kind" in said
    assert steps["declaration"] == ("✓", "rain_tomorrow: binary_classification, judged by roc_auc")
    assert steps["data"] == ("-", "rain_tomorrow: skipped: no sample to run on; give --landing")
    assert steps["image"][0] == "-" and "--dockerfile" in steps["image"][1]
    assert last == "red: dags"


def test_a_declaration_that_does_not_hold_is_red(repository: Checked) -> None:
    """File and line are named, and no step of the product runs."""
    file = repository.dags / rain.NAME / "product.py"
    file.write_text(file.read_text().replace('cron="0 0 1 1 *"', 'cron="every year"'))
    steps, last = repository.check("--only", "data", "--landing", "sample")
    assert [*steps] == ["declaration"]
    assert steps["declaration"][0] == "✗" and "product.py" in steps["declaration"][1]
    assert last == "red: declaration"


def test_a_leak_is_red(repository: Checked) -> None:
    """The probe names the feature; what would be made of the data is not tried."""
    step, *fault = LEAK
    repository.plant(*fault)
    steps, last = repository.check("--only", "data", "--only", "model", "--landing", "sample")
    assert steps[step][0] == "✗" and "LeakageError" in steps[step][1] and "rain_today" in steps[step][1]
    assert steps["model"] == ("-", "rain_tomorrow: data is red")
    assert last == "red: data of rain_tomorrow"


@heavy
@pytest.mark.parametrize(
    ("step", "old", "new", "why"),
    [(*BROKEN_RULE, "between 3600 and 3660"), (*WRONG_MODEL, "does not clear the naive baseline")],
    ids=["expectation", "model"],
)
def test_a_planted_fault_is_red(repository: Checked, step: str, old: str, new: str, why: str) -> None:
    """Data that broke an expectation, and a model that is not better than naive, each with its reason."""
    repository.plant(old, new)
    steps, last = repository.check("--landing", "sample")
    assert steps[step][0] == "✗" and why in steps[step][1]
    assert {name for name, (mark, _) in steps.items() if mark == "✗"} == {step}
    assert last == f"red: {step} of rain_tomorrow"


@heavy
def test_a_whole_product_is_green(repository: Checked) -> None:
    """From sample to served answers, with nobody asked; what was made is found again, too short a sample is red."""
    declared = repository.dags / rain.NAME / "product.py"
    people = declared.read_text().replace(
        "    serving=Serving(", '    deployment={"approval": {}},\n    serving=Serving('
    )
    declared.write_text(people)
    assert "approval" in people
    steps, _ = repository.check("--landing", "sample", "--work", "work")
    assert {mark for name, (mark, _) in steps.items() if name != "image"} == {"✓"}, steps
    assert steps["serving"][1] == "rain_tomorrow: 50 rows answered as in batch"
    again, _ = repository.check("--landing", "sample", "--work", "work", "--only", "model")
    assert again["model"] == steps["model"]
    (repository.folder / "sample" / "days" / "2013.csv").unlink()
    short, _ = repository.check("--landing", "sample", "--only", "data")
    assert short["data"][0] == "✗" and "1 of the 2 intervals" in short["data"][1]


@heavy
def test_the_reference_product_is_green(tmp_path: Path) -> None:
    """Three months of real flights."""
    for month in ("2013-01", "2013-02", "2013-03"):
        replay.deliver(tmp_path / "sample", replay.month(month))
    made = Checked(tmp_path)
    shutil.rmtree(made.dags)
    shutil.copytree(rain.DAGS, made.dags, ignore=shutil.ignore_patterns("__pycache__"))
    steps, _ = made.check("--landing", "sample")
    assert {mark for name, (mark, _) in steps.items() if name != "image"} == {"✓"}, steps


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the Dockerfile of a folder that Python is in."""
    monkeypatch.chdir(tmp_path)
    return lambda text: (tmp_path / "Dockerfile").write_text(text) and None


def test_an_image_that_does_not_build_is_red(here: Callable[[str], None], repository: Checked) -> None:
    """Built by what is here, from nothing; a file that is missing is named."""
    here("FROM scratch\nCOPY Dockerfile /\n")
    try:
        assert build(None).startswith("Dockerfile builds by ")
    except SkippedError as why:
        pytest.skip(str(why))
    here("FROM scratch\nCOPY nothing.of.the.kind /\n")
    steps, last = repository.check("--only", "image")
    assert [*steps] == ["image"]
    mark, said = steps["image"]
    assert mark == "✗" and "Dockerfile does not build" in said and "nothing.of.the.kind" in said
    assert last == "red: image"


def test_without_a_builder_the_image_is_skipped(
    here: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says which would do; a client whose daemon is down is none."""
    here("FROM scratch\n")
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SkippedError, match=", ".join(BUILDERS[:-1])):
        build(None)
