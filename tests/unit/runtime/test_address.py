"""Same inputs, same address: what moves a job's result, and what does not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.modules import source_file
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.code import closure, load_product
from airflow_mlops_provider.runtime.definition import all_jobs, find_job
from airflow_mlops_provider.runtime.reproduction.recorded_code import code_here, code_in
from tests.factories.declared import changed, specify
from tests.factories.tiny import DAY, TinyWorld

JOBS = {name: job for name, job in all_jobs().items() if job.settings.declared}
SEARCHING = {"search", "trial"}
MODEL_JOBS = {"train", "evaluate", "predict", "retune", *SEARCHING}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TinyWorld]:
    """A product package of its own."""
    one = TinyWorld(tmp_path)
    yield one
    one.close()


def searching(world: TinyWorld, **changes: Any) -> MLProduct:
    """Return the product with experiments, and with some values declared otherwise."""
    algorithm = {"name": "trees", "code": f"{world.name}.searched:train", "requires": ["lightgbm", "numpy"]}
    return changed(world.product, {"search": {"algorithms": [algorithm]}, **changes})


def addresses(world: TinyWorld, product: MLProduct | None = None) -> dict[str, str]:
    """Return every job's address."""
    world.write("searched.py", "def train(features, label, settings, seed):\n    pass\n")
    root = str(world.root)
    services = Services(landing="", mlflow="")
    return {name: address(specify(name, product or searching(world), root=root, services=services)) for name in JOBS}


def moved(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the jobs whose address is another."""
    return {name for name in JOBS if before[name] != after[name]}


def test_jobs_have_addresses_of_their_own(world: TinyWorld) -> None:
    """No two jobs share an address, and asking again gives the same one."""
    first = addresses(world)
    assert len(set(first.values())) == len(JOBS)
    assert addresses(world) == first


@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("rules", {"clean"}),
        ("features", {"compute"}),
        ("examples", {"compute"}),
        ("assemble", {*MODEL_JOBS, "deploy", "reconcile"}),
        ("trainer", {"train", "retune", "search"}),
        ("expectations", {"validate"}),
        ("__init__", {"clean", "compute", "validate", "conclude", "deploy", "reconcile", *MODEL_JOBS}),
        ("product", set()),
        ("unused", set()),
    ],
)
def test_a_changed_source_moves_those_that_run_it(world: TinyWorld, module: str, jobs: set[str]) -> None:
    """An edit to a source file moves exactly the jobs whose code lies in it; the declaration counts by field."""
    before = addresses(world)
    world.write(f"{module}.py", (world.package / f"{module}.py").read_text() + "# edited\n" if jobs else "# edited\n")
    assert moved(before, addresses(world)) == jobs


IMPORTS = {
    "import": "import PACKAGE.helper",
    "import as": "import PACKAGE.helper as h",
    "from module": "from PACKAGE.helper import VALUE",
    "from package": "from PACKAGE import helper",
    "relative": "from .helper import VALUE",
    "relative package": "from . import helper",
    "inside a function": "def later():\n    from PACKAGE.helper import VALUE",
    "through another": "from PACKAGE.between import VALUE",
    "through a subpackage": "from PACKAGE.sub import VALUE",
    "through a relative subpackage": "from PACKAGE.sub.up import VALUE",
}


@pytest.mark.parametrize("how", IMPORTS)
def test_a_changed_helper_moves_those_that_import_it(world: TinyWorld, how: str) -> None:
    """An edit to a module that only the rules import, directly or not, moves the cleaning job alone."""
    world.write("helper.py", "VALUE = 1\n")
    world.write("between.py", "from PACKAGE.helper import VALUE\nfrom PACKAGE import rules\n")
    world.write("sub/__init__.py", "from PACKAGE.helper import VALUE\n")
    world.write("sub/up.py", "from ..helper import VALUE\n")
    world.write("rules.py", IMPORTS[how] + "\n\ndef clean(raw, interval):\n    return raw\n")
    before = addresses(world)
    world.write("helper.py", "VALUE = 2\n")
    assert moved(before, addresses(world)) == {"clean"}


def test_what_products_share_counts_for_each(world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the user's in another folder is imported by jobs as by the DAG file, and an edit to it is seen."""
    shared = tmp_path / "shared" / f"shared_by_{world.name}" / "units.py"
    shared.parent.mkdir(parents=True)
    (shared.parent / "__init__.py").write_text("")
    shared.write_text("PENCE = 100\n")
    monkeypatch.syspath_prepend(str(tmp_path / "shared"))
    world.write(
        "rules.py",
        f"""
        from shared_by_{world.name}.units import PENCE

        def clean(raw, interval):
            return {{"sales": raw["sales"].assign(pence=raw["sales"]["amount"] * PENCE)}}
        """,
    )
    before = addresses(world)
    manifest = LocalProcess().run(world.cleaning(), {}, logging.getLogger())
    assert manifest.state == "success" and f"shared_by_{world.name}.units" in manifest.code_hashes
    shared.write_text("PENCE = 1000\n")
    assert moved(before, addresses(world)) == {"clean"}
    assert code_here(manifest) is None
    shared.write_text("PENCE = 100\n")
    assert code_here(manifest) is not None
    assert code_in(tmp_path, manifest) is not None


def test_a_closure_stays_in_its_package(world: TinyWorld) -> None:
    """Libraries, names that are no modules, and the declaration are not among what code imports."""
    world.write(
        "rules.py", "import json, pandas\nfrom PACKAGE.product import product\nfrom PACKAGE.features import compute\n"
    )
    assert closure(f"{world.name}.rules") == {
        world.name,
        f"{world.name}.rules",
        f"{world.name}.features",
    }
    assert f"{world.name}.product" in closure(f"{world.name}.product")


def test_code_that_is_no_python_is_named(world: TinyWorld) -> None:
    """A source file with a slip of the pen is named, with its line."""
    world.write("rules.py", "def clean(raw, interval:\n")
    with pytest.raises(ConfigurationError, match=r"rules\.py is no valid Python: .*line 1"):
        address(world.spec("clean"))


def test_a_missing_module_is_named(world: TinyWorld) -> None:
    """Code in a module or package that is not there is named."""
    for module in (f"{world.name}.nowhere", "no_such_package.rules"):
        with pytest.raises(ConfigurationError, match=f"module '{module}' is not to be found"):
            source_file(module)


def test_a_touched_file_moves_nothing(world: TinyWorld) -> None:
    """A file's time is no part of an address."""
    before = addresses(world)
    for file in world.package.glob("*.py"):
        os.utime(file, (1, 1))
    assert moved(before, addresses(world)) == set()


@pytest.mark.parametrize(
    ("package", "jobs"),
    [
        ("pandas", {"extract", "clean", "compute", "validate", *MODEL_JOBS, "training_set", "load", "forget"}),
        ("optuna", {"retune", *SEARCHING}),
        ("feast", {"load", "training_set", "predict", "forget"}),
        ("great-expectations", {"validate"}),
        ("evidently", {"drift"}),
        ("mlflow", {"register", "promote", "retire", "approve", "waive"}),
        ("a-package-nobody-needs", set()),
    ],
)
def test_another_package_version_moves_those_that_need_it(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch, package: str, jobs: set[str]
) -> None:
    """An upgraded distribution moves exactly the jobs that depend on it."""
    before, real = addresses(world), environment.all_versions
    monkeypatch.setattr(environment, "all_versions", lambda: {**real(), package: "99"})
    also = {"collect", "drift", "performance"} if package == "pandas" else set()
    assert moved(before, addresses(world)) == jobs | also


def test_the_trainers_own_requirements_count(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that only the product's trainer asks for moves what trains alone."""
    trainer = {"code": f"{world.name}.trainer:train", "requires": ["moto"]}
    product, real = searching(world, **{"training.trainer": trainer}), environment.all_versions
    before = addresses(world, product)
    monkeypatch.setattr(environment, "all_versions", lambda: {**real(), "moto": "99"})
    assert moved(before, addresses(world, product)) == {"train", "retune", "search"}


OWNERS = dict.fromkeys(load_product("flight_delay").business.owners.model_dump(), "x")
CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "goal": ({"goal": "Another question?"}, set()),
    "owners": ({"business.owners": OWNERS}, {"export_settings", "approve", "promote"}),
    "schedule": ({"schedule": {"cron": "0 0 1 * *", "start": DAY.start}}, set()),
    "retraining": ({"training.retraining": {"after_intervals": 9}}, set()),
    "windows": ({"training.windows": {"train": 7}}, set()),
    "lookback": ({"features.lookback": 0}, set()),
    "value": ({"business.value": {"per_hit": 5}}, {"evaluate", "performance"}),
    "metric": (
        {"evaluation.metric": "average_precision"},
        {"evaluate", "performance", "retune", "conclude", "register", "promote", "deploy", "reconcile", *SEARCHING},
    ),
    "baseline": ({"evaluation.baseline": "shop"}, {"evaluate", "retune", "search"}),
    "gates": ({"evaluation.gates": {"min_metric": 0.9}}, {"promote", "evaluate", "retune"}),
    "slice rows": ({"evaluation.gates": {"min_metric": 0.6, "slice_rows": 5}}, {"promote", "evaluate", "retune"}),
    "retuning": ({"training.retuning": {"trials": 3}}, {"retune"}),
    "when a search stops": ({"search.trials": 3}, set()),
    "drift limit": ({"monitoring": {"drift_share": 0.9}}, {"drift"}),
    "least metric": ({"monitoring": {"min_metric": 0.9}}, {"drift", "performance"}),
    "approval": ({"deployment": {"approval": {}}}, {"approve", "deploy", "reconcile"}),
    "serving": ({"serving": {"port": 8901}}, {"deploy", "reconcile"}),
    "known later": ({"data.known_later": {"sales": {"at": ("amount",)}}}, {"compute"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_declaration_moves_those_that_read_it(world: TinyWorld, name: str) -> None:
    """A field declared otherwise moves exactly the jobs that read it."""
    changes, jobs = CHANGES[name]
    assert moved(addresses(world), addresses(world, searching(world, **changes))) == jobs


def test_inputs_interval_and_parameters_move_a_job(world: TinyWorld) -> None:
    """Other data, another interval or another parameter is another address; every one of them counts."""
    data = [Dataset(uri="file:///a", hash=digit * 64) for digit in "01"]
    next_day = Interval(start=DAY.end, end=DAY.end + timedelta(days=1))
    variants: list[dict[str, Any]] = [
        {},
        {"inputs": {"raw": data[0]}},
        {"inputs": {"raw": data[1]}},
        {"inputs": {"other": data[0]}},
        {"inputs": {"raw": (data[0], data[1])}},
        {"inputs": {"raw": (data[1], data[0])}},
        {"params": {"what": "raw"}},
        {"params": {"what": "training"}},
        {"interval": next_day},
        {"interval": None},
    ]
    assert len({address(world.spec("clean", **variant)) for variant in variants}) == len(variants)


def test_who_asks_and_where_things_lie_moves_nothing(world: TinyWorld) -> None:
    """The run, the root, addresses of services, force, and where equal data lies are no part of an address."""
    asked = world.spec("clean", inputs={"raw": Dataset(uri="file:///a", hash="0" * 64)})
    changes = {
        "run": RunIdentity(dag_id="other", try_number=7),
        "root": "s3://elsewhere",
        "services": Services(landing="/x", mlflow="http://y"),
        "force": True,
        "inputs": {"raw": Dataset(uri="s3://b", hash="0" * 64, facts={"rows": 1})},
    }
    for field, value in changes.items():
        assert address(asked.model_copy(update={field: value})) == address(asked), field


def test_an_unknown_job_names_the_known_ones(world: TinyWorld) -> None:
    """A job that nobody knows is refused, with the list."""
    with pytest.raises(
        UnknownNameError,
        match="unknown job 'polish'; known: apply_repository, approve, clean, collect, compare",
    ):
        find_job("polish")
