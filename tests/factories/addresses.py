"""Prints where the reference product's results would lie, step by step; run as a program, on whatever code it finds.

A question is a line of input, the answer a line of JSON: each step's address with inputs that stay as they are
(``alone``), and with the results of the steps before it, taken to be another content wherever their address is another
(``chained``). Libraries are loaded once; for each question a child is forked that has not loaded any code of ours.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

#: Each step: its job, what it is given by role, as the step whose result that is, and its parameters. A version's
#: content is the model's, so a version is given as the step that made the model.
CRITERIA = {"trials": 2}
CHAIN: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "extract": ("extract", {}, {}),
    "validate raw": ("validate", {"dataset": "extract"}, {"what": "raw"}),
    "clean": ("clean", {"raw": "extract"}, {}),
    "compute": ("compute", {"clean": "clean"}, {}),
    "load": ("load", {"features": "compute"}, {}),
    "training_set": ("training_set", {"features": "compute"}, {"evaluate": 1}),
    "validate training": ("validate", {"dataset": "training_set"}, {"what": "training"}),
    "train": ("train", {"training_set": "training_set"}, {}),
    "evaluate": ("evaluate", {"model": "train", "training_set": "training_set"}, {}),
    "retune": ("retune", {"training_set": "training_set"}, {}),
    "register": ("register", {"model": "train", "evaluation": "evaluate"}, {"cause": "first", "reason": "first"}),
    "promote": (
        "promote", {"version": "train", "validation": "validate training", "evaluation": "evaluate"}, {},
    ),
    "retire": ("retire", {"version": "train"}, {"reason": "a sensor was replaced", "by": "ada"}),
    "approve": ("approve", {"version": "train"}, {"agreed": True, "by": "ada"}),
    "waive": (
        "waive", {"version": "train"}, {"gate": "slices", "reason": "closed", "until": "2026-12-31", "by": "ada"},
    ),
    "deploy": ("deploy", {"version": "train"}, {}),
    "reconcile": ("reconcile", {}, {}),
    "predict": ("predict", {"version": "train", "features": "compute"}, {}),
    "collect": ("collect", {}, {}),
    "drift": ("drift", {"predictions": "predict", "version": "train"}, {}),
    "performance": ("performance", {"predictions": "predict", "features": "compute"}, {}),
    "search": ("search", {"training_set": "training_set"}, {"criteria": CRITERIA}),
    "trial": ("trial", {"split": "search"}, {"slot": 0, "study": "one", "criteria": CRITERIA}),
    "conclude": ("conclude", {"split": "search"}, {"study": "one", "criteria": CRITERIA}),
    "forget": ("forget", {}, {}),
    "export_settings": ("export_settings", {"search": "conclude"}, {}),
}  # fmt: skip


def addresses() -> dict[str, dict[str, str]]:
    """Return each step's address on January, alone and chained."""
    from datetime import UTC, datetime

    from airflow_mlops_provider.lifecycle.frozen import digest
    from airflow_mlops_provider.lifecycle.interval import Interval
    from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
    from airflow_mlops_provider.lifecycle.references import ModelVersion, Reference, Report
    from airflow_mlops_provider.runtime.address import fingerprint
    from airflow_mlops_provider.runtime.code import load_product, source_file
    from airflow_mlops_provider.runtime.definition import all_jobs, find_job

    product = load_product("flight_delay")
    for module in ("airflow_mlops_provider", "flight_delay"):
        assert source_file(module).is_relative_to(Path.cwd()), "another code than that of the folder"
    january = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))

    def reference(kind: type[Reference], content: str) -> Any:
        further = {ModelVersion: {"name": product.name, "version": 1}, Report: {"passed": True}}.get(kind, {})
        return kind(uri=f"file:///{content}", hash=content, **further)  # type: ignore[call-arg, arg-type]

    def address(name: str, made: dict[str, str]) -> str:
        job, inputs, params = CHAIN[name]
        definition = find_job(job)
        given = {role: reference(definition.inputs.takes(role)[0], made[step]) for role, step in inputs.items()}
        spec = JobSpec(
            job=job, product=product.name, interval=january, inputs=given, root="/nowhere",
            services=Services(landing="", mlflow=""), **definition.parts_of(product, params),
        )  # fmt: skip
        definition.read(spec)  # the chain gives each job what it takes
        if name not in known:
            known[name] = fingerprint(spec)
        return known[name].address(spec)

    assert {job for job, _, _ in CHAIN.values()} == {
        name for name, known in all_jobs().items() if known.settings.declared
    }, "a job is in no step"
    known: dict[str, Any] = {}
    fixed, chained = {name: digest(name) for name in CHAIN}, dict[str, str]()
    for name in CHAIN:
        chained[name] = address(name, chained)
    return {"alone": {name: address(name, fixed) for name in CHAIN}, "chained": chained}


def main() -> None:
    """Answer each line of input."""
    for library in ("evidently", "optuna", "pandas", "pyarrow.parquet", "pydantic"):
        import_module(library)

    for _ in sys.stdin:
        assert not [name for name in sys.modules if name.startswith(("airflow_mlops_provider", "flight_delay"))]
        child = os.fork()
        if child == 0:
            print(json.dumps(addresses()), flush=True)
            sys.exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit("no answer")


if __name__ == "__main__":
    main()
