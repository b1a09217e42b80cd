"""Runs a shop's steps one after another, as its DAGs would; run as a program, on whatever code of ours it finds.

Where the shop lies comes as a line of JSON. What has side effects is run here; the rest at the default place, in a
child process for whatever is not found finished.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity, Services
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.runtime.definition import find_job
from tests.factories.declared import specify
from tests.factories.shop import DAYS, ShopWorld

#: The steps that are not simply done each time, and how often.
STEPS = {"clean": 2, "compute": 2, "training_set": 1, "train": 1, "evaluate": 1, "predict": 1, "performance": 1}


def place(shop: ShopWorld, run_id: str) -> str:
    """Return what the program is to know of a shop."""
    folders = {name: str(getattr(shop, name)) for name in ("products", "landing", "root")}
    return json.dumps({"name": shop.name, **folders, "run_id": run_id}) + "\n"


def worked(manifests: Iterable[Manifest], run_id: str) -> dict[str, set[str]]:
    """Return what the steps of a run were, by ``worked`` and ``reused``, as their manifests say."""
    of_run = [manifest for manifest in manifests if manifest.spec.run.run_id == run_id]
    steps = {True: set[str](), False: set[str]()}
    for manifest in of_run:
        if manifest.spec.job in STEPS:
            steps[manifest.reused].add(manifest.spec.run.task_id)
    return {"worked": steps[False], "reused": steps[True]}


def main() -> None:
    """Run every step."""
    shop = json.loads(sys.stdin.readline())
    sys.path.insert(0, shop["products"])
    services = Services(landing=shop["landing"], mlflow=f"sqlite:///{shop['root']}/mlflow.db")
    product, log = load_product(shop["name"]), logging.getLogger("chain")

    def step(job: str, interval: Interval, params: dict[str, Any] | None = None, **inputs: Any) -> Any:
        day = f" {interval.start:%d}" if STEPS.get(job) == 2 else ""
        spec = specify(
            job, product, params, interval=interval, inputs=inputs, root=shop["root"], services=services,
            run=RunIdentity(dag_id="shop", run_id=shop["run_id"], task_id=f"{job}{day}"),
        )  # fmt: skip
        done = runner.run(spec) if find_job(job).side_effects else LocalProcess().run(spec, {}, log)
        assert done.state == "success", done.failure
        return done.result

    assert Path(runner.__file__).is_relative_to(Path.cwd()), "another code than that of the folder"
    features = []
    for day in DAYS:
        clean = step("clean", day, raw=step("extract", day))
        features.append(step("compute", day, clean=(clean,)))
        step("load", day, features=features[-1])
    last = DAYS[-1]
    data = step("training_set", last, {"evaluate": 1}, features=tuple(features))
    model = step("train", last, training_set=data)
    evaluation = step("evaluate", last, model=model, training_set=data)
    version = step("register", last, {"cause": "first", "reason": "first"}, model=model, evaluation=evaluation)
    predictions = step("predict", last, version=version, features=features[-1])
    step("performance", last, predictions=predictions, features=features[-1])


if __name__ == "__main__":
    main()
