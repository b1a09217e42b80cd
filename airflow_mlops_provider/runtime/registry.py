"""Which jobs there are, and what each one's result depends on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.models.base import PREDICTING
from airflow_mlops_provider.exceptions import UnknownNameError

if TYPE_CHECKING:
    from airflow_mlops_provider.runtime.context import JobContext, JobResult


@dataclass(frozen=True)
class Job:
    """A job and what decides its result, beside its inputs and parameters.

    :param module: where its ``run(work) -> Outcome`` is.
    :param reads: fields of the product's declaration it depends on, such as ``label`` or ``gates.slice_rows``; of
        those that name code, the source too.
    :param packages: distributions whose versions it depends on.
    :param publishes: it makes its result the interval's current dataset of that name.
    :param effect: it changes something outside its result folder, or reads what no input names (a delivery may be
        corrected), so that finished work is no reason to skip it.
    """

    module: str
    reads: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    publishes: str | None = None
    effect: bool = False

    def load(self) -> Callable[[JobContext], JobResult]:
        """Import the job's module and return its ``run``."""
        return importlib.import_module(self.module).run  # type: ignore[no-any-return]


_HERE = "airflow_mlops_provider.jobs"
_TABLES = ("pandas", "pyarrow")
_STORE = ("feast", "duckdb", *_TABLES)
_SHAPE = ("problem", "views", "request", "label")
_SEARCH = ("search.algorithms", "search.seed", "search.validation", "search.pruning")  # when it stops decides no trial

JOBS: dict[str, Job] = {
    "extract": Job(f"{_HERE}.features.extract", ("sources",), _TABLES, publishes="raw", effect=True),
    "clean": Job(f"{_HERE}.features.clean", ("rules", "sources"), _TABLES, publishes="clean"),
    "compute": Job(
        f"{_HERE}.features.compute",
        ("features", "examples", "known_later", "sources", *_SHAPE),
        _TABLES,
        publishes="features",
    ),
    "load": Job(f"{_HERE}.features.load", ("views", "request"), _STORE, publishes="loaded", effect=True),
    "training_set": Job(f"{_HERE}.training.training_set", _SHAPE, _STORE),
    "validate": Job(
        f"{_HERE}.validation.validate", ("expectations", "sources", *_SHAPE), ("great-expectations", *_TABLES)
    ),
    "search": Job(
        f"{_HERE}.experimentation.search",
        ("assemble", "trainer", "metric", "baseline", *_SEARCH, *_SHAPE),
        ("optuna", "numpy", *_TABLES),
        effect=True,
    ),
    "trial": Job(
        f"{_HERE}.experimentation.trial",
        ("assemble", "metric", *_SEARCH, *_SHAPE),
        (*PREDICTING, "optuna", "numpy", *_TABLES),
    ),
    "conclude": Job(f"{_HERE}.experimentation.conclude", ("metric", "search.algorithms", "search.seed"), effect=True),
    "train": Job(f"{_HERE}.training.train", ("assemble", "trainer", *_SHAPE), ("numpy", *_TABLES)),
    "evaluate": Job(
        f"{_HERE}.evaluation.evaluate",
        ("assemble", "metric", "baseline", "slices", "gates.slice_rows", "trainer.seed", *_SHAPE),
        (*PREDICTING, "numpy", *_TABLES),
    ),
    "retune": Job(
        f"{_HERE}.training.retune",
        (
            *(
                "assemble",
                "trainer",
                "retuning",
                "search.algorithms",
                "metric",
                "baseline",
                "slices",
                "gates.slice_rows",
            ),
            *_SHAPE,
        ),
        (*PREDICTING, "numpy", "optuna", *_TABLES),
    ),
    "export_settings": Job(
        f"{_HERE}.experimentation.export_settings", ("owners.data_scientist", "owners.ml_engineer"), effect=True
    ),
    "register": Job(f"{_HERE}.registry.register", packages=("mlflow",), effect=True),
    "promote": Job(f"{_HERE}.registry.promote", ("problem", "metric", "gates"), ("mlflow",), effect=True),
    "deploy": Job(f"{_HERE}.deployment.deploy", ("serving",), effect=True),
    "reconcile": Job(f"{_HERE}.deployment.reconcile", ("serving",), effect=True),
    "predict": Job(f"{_HERE}.serving.predict", ("assemble", *_SHAPE), (*PREDICTING, *_STORE), publishes="predictions"),
    "drift": Job(f"{_HERE}.monitoring.drift", ("monitoring", "trainer.seed"), ("evidently", *_TABLES)),
    "performance": Job(
        f"{_HERE}.monitoring.performance",
        ("problem", "metric", "label", "value", "monitoring.min_metric", "trainer.seed"),
        ("numpy", *_TABLES),
    ),
}


def find_job(name: str) -> Job:
    """Return the job of that name. :raises UnknownNameError: if there is none; the message lists the known ones."""
    if name not in JOBS:
        raise UnknownNameError("job", name, JOBS)
    return JOBS[name]
