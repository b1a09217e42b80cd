"""A model version's lineage as a page: the drawing, and how the model was made."""

from __future__ import annotations

import json
from collections.abc import Iterator

from airflow_mlops_provider.lifecycle.records.lineage import Lineage, Process
from airflow_mlops_provider.render.markup import Html, join, tag
from airflow_mlops_provider.render.parts import badge, breadcrumbs, card, document, muted, table
from airflow_mlops_provider.ui.evidence import product_address
from airflow_mlops_provider.ui.lineage import drawing

SHORT = 12
LEGEND = (
    "Each box is a result with the beginning of its hash, and leads to its manifest; point at it for all that is "
    "known of it. An amber commit had changes beyond it when the code ran."
)


def page(graph: Lineage) -> Html:
    """Return the whole page."""
    name = graph.version.name
    rows = [(what, tag("code", value)) for what, value in training_facts(graph)]
    return document(
        f"{graph.name}: lineage",
        breadcrumbs(("MLOps", "./"), (name, product_address(name)), ("lineage", "")),
        tag("h1", join((graph.name, badge(graph.status.value, graph.status.value)), " ")),
        tag("p", graph.moves[0].reason, class_="lead"),
        card("Made of", tag("div", drawing(graph), class_="scroll wide"), muted(LEGEND)),
        card("How", table(("what", "recorded"), rows)),
    )


def training_facts(graph: Lineage) -> Iterator[tuple[str, str]]:
    """Yield how the model was trained, and in which environments it and everything before it was made."""
    model, facts = graph.items[0].made, graph.version.facts
    if model is not None:
        yield "settings", json.dumps(model.settings) if model.settings is not None else "not recorded"
        yield "seed", "none" if model.seed is None else str(model.seed)
        yield "hardware", ", ".join(f"{name} {value}" for name, value in model.hardware.items())
    if facts.get("retuning"):
        yield "retuning", str(facts["retuning"]["summary"])
    if facts.get("run_id"):
        yield "MLflow run", str(facts["run_id"])
    if graph.registered is not None:
        yield "registered by", f"{graph.registered.dag_id}, {graph.registered.run_id}, {graph.registered.task_id}"
    yield from _environments(graph, [item.made for item in graph.items if item.made])


def _environments(graph: Lineage, processes: list[Process]) -> Iterator[tuple[str, str]]:
    for digest, packages in graph.environments.items():
        jobs = _jobs(process for process in processes if process.environment == digest)
        yield f"environment {digest[:SHORT]}", f"{len(packages)} packages: {jobs}"
    for image in sorted({process.image or "" for process in processes}):
        jobs = _jobs(process for process in processes if (process.image or "") == image)
        yield "image", f"{image or 'none, a process'}: {jobs}"
    for repository, commit in sorted({(process.commit.repository or "", commit_of(process)) for process in processes}):
        yield "code", " at ".join(filter(None, (repository, commit))) or "in no repository"


def commit_of(process: Process) -> str:
    """Return the commit of the code that ran, and whether there was more; empty if there is no repository."""
    commit = process.commit
    return f"{commit.commit[:SHORT]}{' dirty' if commit.dirty else ''}" if commit.commit else ""


def _jobs(processes: Iterator[Process]) -> str:
    return ", ".join(sorted({process.job for process in processes}))
