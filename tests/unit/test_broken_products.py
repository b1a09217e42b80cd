"""One product that cannot be used takes no other with it, and says where it is broken."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.discovery import products
from tests.factories.tiny import _PRODUCT

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"
_NUMBERS = itertools.count()
PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({dags!r})
heavy = [name for name in ("pandas", "mlflow", "feast", "evidently", "great_expectations") if name in sys.modules]
print("BAG", json.dumps([sorted(bag.dags), bag.import_errors, heavy]))
"""
Declare = Callable[..., Path]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Return a function that writes a product, changed as asked, and returns its ``product.py``."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(folder: str = "products", name: str | None = None, **changes: str) -> Path:
        name = name or f"isolated_{next(_NUMBERS):03}_{os.getpid()}"
        file = tmp_path / folder / name / "product.py"
        file.parent.mkdir(parents=True)
        text = _PRODUCT.format(name=name)
        for old, new in changes.items():
            text = text.replace(CHANGED[old], new)
        file.write_text(text)
        return file

    return write


CHANGED = {
    "first": "from datetime import UTC, datetime",
    "metric": "evaluation=EvaluationSettings(gates=Gates(min_metric=0.6))",
    "named": 'name="isolated',
    "declared": "product = MLProduct(",
    "problem": 'problem="binary_classification"',
    "cron": 'cron="0 0 * * *"',
}
BROKEN: dict[str, tuple[dict[str, str], int, str]] = {
    "syntax": (
        {"metric": "evaluation=EvaluationSettings(gates=Gates(min_metric=0.6)"},
        6,
        "SyntaxError: '\\(' was never closed",
    ),
    "missing package": ({"first": "import no_such_package"}, 2, "ModuleNotFoundError: No module named 'no_such_pack"),
    "missing name": ({"first": "from datetime import UTCC"}, 2, "ImportError: cannot import name 'UTCC'"),
    "not allowed": ({"problem": 'problem="clustering"'}, 6, "unknown problem 'clustering'; known: .*binary_classif"),
    "unknown field": ({"metric": "gaits=1"}, 6, "gaits\n *Extra inputs are not permitted"),
    "no product": ({"declared": "prodact = MLProduct("}, 1, "must declare `product = MLProduct.*not nothing"),
    "no product at all": ({"declared": "product = dict("}, 6, "must declare `product = MLProduct.*not a dict"),
    "another's name": ({"named": 'name="other'}, 6, "must declare `product = MLProduct.*not name='other"),
    "unknown place": (
        {"metric": 'evaluation=EvaluationSettings(gates=Gates(min_metric=0.6), place="attic")'},
        6,
        "evaluation.place: unknown place 'attic'; known: kubernetes_pod, local_process",
    ),
    "an exit": ({"first": "raise SystemExit('bye')"}, 2, "SystemExit: bye"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_product_is_named_by_file_and_line(declare: Declare, how: str) -> None:
    """Whatever is wrong with a product is told with its file and line; the others are found all the same."""
    changes, line, said = BROKEN[how]
    good, broken, better = declare(), declare(**changes), declare()
    errors: list[str] = []
    assert [product.name for product in products([good.parents[1]], errors)] == [good.parent.name, better.parent.name]
    (error,) = errors
    assert re.match(f"{broken}:{line}: .*{said}", error, re.DOTALL)


def test_an_error_in_a_module_beside_is_told_where_it_is(declare: Declare) -> None:
    """A product that imports a module of its package is told by the line of that module which is wrong."""
    name = f"isolated_beside_{os.getpid()}"
    broken = declare(name=name, first=f"from datetime import UTC, datetime\nfrom {name}.limits import LEAST")
    (broken.parent / "limits.py").write_text("HALF = 1 / 2\nLEAST = 1 / 0\n")
    errors: list[str] = []
    assert not products([broken.parents[1]], errors)
    assert errors == [f"{broken.parent / 'limits.py'}:2: ZeroDivisionError: division by zero"]


def test_of_two_products_with_one_name_the_first_folder_s_stays(declare: Declare) -> None:
    """The second is told with both files, and is not taken for the first."""
    first = declare("here")
    second = declare("there", name=first.parent.name)
    errors: list[str] = []
    (product,) = products([first.parents[1], second.parents[1], first.parents[1]], errors)
    assert product.name == first.parent.name
    (error,) = errors
    assert error.startswith(f"{second}:1: there is a product {product.name!r} in {first} already")


@pytest.mark.parametrize("name", ["my-product", "json"])
def test_a_folder_that_cannot_be_imported_is_told(declare: Declare, name: str) -> None:
    """A folder whose name is no identifier, or another package's, is told with its file."""
    file = declare(name=name)
    errors: list[str] = []
    assert not products([file.parents[1]], errors)
    (error,) = errors
    assert re.match(f"{file}:6: a product's folder needs a name .*{name}", error)


def bag(folder: Path, home: Path) -> tuple[list[str], dict[str, str], list[str]]:
    """Parse the reference DAGs in a fresh interpreter: DAG ids, import errors by file, heavy libraries loaded."""
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": f"{ROOT}",
        "AIRFLOW__MLOPS__PRODUCTS_FOLDERS": str(folder),
    }
    code = PARSE.format(dags=str(DAGS))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("BAG "))
    found: Any = json.loads(line.removeprefix("BAG "))
    return found[0], found[1], found[2]


def test_the_dags_of_all_others_stay(declare: Declare, tmp_path: Path) -> None:
    """With four products broken in four ways, all DAGs of the others are there, and one import error names each."""
    good = declare()
    broken = [
        declare(**BROKEN["syntax"][0]),
        declare(**BROKEN["missing package"][0]),
        declare(**BROKEN["not allowed"][0]),
        declare(cron='cron="every day"'),
    ]
    dags, errors, heavy = bag(good.parents[1], tmp_path / "home")
    for name in (good.parent.name, "flight_delay"):
        assert {dag for dag in dags if dag.startswith(name)} >= {
            f"{name}_{pipeline}" for pipeline in ("feature_engineering", "training", "batch_inference", "monitoring")
        }
    assert not [dag for dag in dags if any(dag.startswith(f"{file.parent.name}_") for file in broken)]
    ((file, error),) = errors.items()
    assert file.endswith("product_errors.py")
    assert all(f"{file}" in error for file in broken)
    assert "schedule.cron 'every day'" in error
    assert heavy == []


def test_without_a_broken_product_there_is_no_import_error(declare: Declare, tmp_path: Path) -> None:
    """The file that tells of broken products tells of nothing then."""
    dags, errors, _ = bag(declare().parents[1], tmp_path / "home")
    assert errors == {}
    assert len([dag for dag in dags if dag.startswith("isolated_")]) >= 5
