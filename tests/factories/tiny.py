"""A tiny product for tests: a package of its own in a folder of its own, with whatever rules the test needs."""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.records import declare

DAY = Interval(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))
DELIVERY = "shop,amount,at\nnorth,1.5,2024-01-01T08:00:00Z\nsouth,2.5,2024-01-01T09:00:00Z\n"
KEEP_ALL = """
def clean(raw, interval):
    return dict(raw)
"""
_NUMBERS = itertools.count()
_FUNCTIONS = {
    "features": "compute(tables, interval)",
    "examples": "examples(tables, interval)",
    "assemble": "assemble(rows)",
    "expectations": "expectations(name)",
    "trainer": "train(features, label, settings, seed)",
}
_PRODUCT = """
from datetime import UTC, datetime
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.sections import *

product = MLProduct(
    name="{name}",
    goal="Will a shop sell much tomorrow?",
    problem="binary_classification",
    business=Business(
        kpi=Kpi(name="days foreseen", target=0.5, unit="share"),
        value=Value(per_hit=1.0),
        owners=Owners(**dict.fromkeys(Owners.model_fields, "somebody@shop.example")),
    ),
    schedule=Schedule(cron="0 0 * * *", start=datetime(2024, 1, 1, tzinfo=UTC)),
    data=Data(
        sources=(
            Source(
                name="sales",
                path="sales/{{start:%Y-%m-%d}}.csv",
                time="at",
                settle_seconds=0,
                columns={{"shop": "string", "amount": "float64", "at": "timestamp"}},
            ),
        ),
        clean="{name}.rules:clean",
        expectations="{name}.expectations:expectations",
    ),
    features=Features(
        compute="{name}.features:compute",
        views=(View(name="takings", keys=("shop",), features={{"mean_amount": "float64"}}),),
        request={{"shop": "string"}},
        assemble="{name}.assemble:assemble",
    ),
    label=Label(column="much", known_at="known_at", examples="{name}.examples:examples"),
    training=Training(trainer=Trainer(code="{name}.trainer:train", requires=("lightgbm", "numpy"))),
    evaluation=EvaluationSettings(gates=Gates(min_metric=0.6)),
)
"""


class TinyWorld:
    """A product package, a landing folder and an artifact root, all below one folder.

    The package's name is new each time: one interpreter imports many of them, and keeps what it imported.
    """

    def __init__(self, folder: Path, rules: str = KEEP_ALL) -> None:
        self.name = f"tiny_{next(_NUMBERS)}_{os.getpid()}"
        self.products, self.landing, self.root = folder / "products", folder / "landing", folder / "artifacts"
        self.package = self.products / self.name
        self.write("__init__.py", "")
        self.write("product.py", _PRODUCT.format(name=self.name))
        self.write("rules.py", rules)
        for module, signature in _FUNCTIONS.items():
            self.write(f"{module}.py", f"def {signature}:\n    raise NotImplementedError\n")
        self.deliver(DELIVERY)
        sys.path.insert(0, str(self.products))

    def write(self, module: str, text: str) -> Path:
        """Write one of the package's files."""
        file = self.package / module
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).replace("PACKAGE", self.name))
        importlib.invalidate_caches()
        return file

    def deliver(self, text: str | bytes) -> Path:
        """Write the day's delivery."""
        file = self.landing / "sales" / "2024-01-01.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def close(self) -> None:
        """Take the package off the path."""
        sys.path.remove(str(self.products))

    @property
    def product(self) -> MLProduct:
        """The declaration."""
        return load_product(self.name)

    def spec(self, job: str, *, attempt: int = 1, **fields: Any) -> JobSpec:
        """Return what asks for a job of this product on its one day."""
        services = Services(landing=str(self.landing), mlflow=f"sqlite:///{self.root}/mlflow.db")
        run_of = RunIdentity(dag_id="tests", run_id="one", task_id=job, try_number=attempt)
        declare(open_store(str(self.root)), self.product)  # as the operator does
        parts = find_job(job).parts_of(self.product, fields.pop("params", {}))
        return JobSpec(
            **{"interval": DAY, "root": str(self.root), "run": run_of, **parts, **fields},
            job=job,
            product=self.name,
            services=services,
        )

    def extracted(self) -> Dataset:
        """Return the day's raw snapshot."""
        manifest: Manifest = run(self.spec("extract"))
        assert isinstance(manifest.result, Dataset), manifest.failure
        return manifest.result

    def cleaning(self, *, attempt: int = 1, **fields: Any) -> JobSpec:
        """Return what asks for the rules to be applied to the day."""
        return self.spec("clean", attempt=attempt, inputs={"raw": self.extracted()}, **fields)


def manifests(world: TinyWorld, job: str) -> list[Manifest]:
    """Return every manifest that lies in a job's folder."""
    files = sorted((world.root / world.name / job).glob("*/manifest.json"))
    return [Manifest.model_validate_json(file.read_text()) for file in files]
