"""A model version's lineage as a page: the drawing, and how the model was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape

from airflow_mlops_provider.lifecycle.records.lineage import Lineage, Process
from airflow_mlops_provider.render.parts import card, document, pill, quiet, table, way_back
from airflow_mlops_provider.ui.evidence import page_of
from airflow_mlops_provider.ui.lineage import drawing

SHORT = 12
LEGEND = (
    "Each box is a result with the beginning of its hash, and leads to its manifest; point at it for all that is "
    "known of it. "
    "An amber commit had changes beyond it when the code ran."
)


def page(graph: Lineage) -> str:
    """Return the whole page."""
    rows = [(escape(name), f"<code>{escape(value)}</code>") for name, value in how(graph)]
    stands = pill(graph.status.value, graph.status.value)
    picture = f"<div class='scroll'>{drawing(graph)}</div>{quiet(LEGEND)}"
    body = (
        f"{way_back(('MLOps', './'), (graph.version.name, page_of(graph.version.name)), ('lineage', ''))}"
        f"<h1>{escape(graph.name)} {stands}</h1>"
        f"<p class='goal'>{escape(graph.moves[0].reason)}</p>"
        f"{card('Made of', picture)}"
        f"{card('How', table(('what', 'recorded'), rows))}"
    )
    return document(f"{graph.name}: lineage", body)


def how(graph: Lineage) -> Iterator[tuple[str, str]]:
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
    made = [item.made for item in graph.items if item.made]
    for digest, packages in graph.environments.items():
        within = [one for one in made if one.environment == digest]
        yield f"environment {digest[:SHORT]}", f"{len(packages)} packages: {_jobs(within)}"
    for image in sorted({one.image or "" for one in made}):
        yield "image", f"{image or 'none, a process'}: {_jobs([one for one in made if (one.image or '') == image])}"
    for repository, commit in sorted({(one.commit.repository or "", stands_at(one)) for one in made}):
        yield "code", " at ".join(filter(None, (repository, commit))) or "in no repository"


def stands_at(made: Process) -> str:
    """Return the commit that the code stood at, and whether there was more; empty if there is no repository."""
    commit = made.commit
    return f"{commit.commit[:SHORT]}{' dirty' if commit.dirty else ''}" if commit.commit else ""


def _jobs(made: list[Process]) -> str:
    return ", ".join(sorted({one.job for one in made}))
