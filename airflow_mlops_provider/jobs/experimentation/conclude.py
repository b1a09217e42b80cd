"""Ends a search: why it stopped, which trial won and whether that is worth anything, told in a report and to MLflow."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_mlops_provider.jobs.experimentation.search_page import Story, comparison, search_page
from airflow_mlops_provider.jobs.experimentation.searching import (
    StopRecord,
    criteria_of,
    keep_stop,
    metric_of_search,
    mlflow_of,
    search_of,
    study_of,
)
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search.conclusion import Conclusion, conclude
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, algorithm_of
from airflow_mlops_provider.lifecycle.search.trials import Trial
from airflow_mlops_provider.runtime.context import JobContext, JobResult

PAGE, DRAWING, TRIALS = "search.html", "comparison.svg", "trials.json"


def run(context: JobContext) -> JobResult:
    """Write the page, the comparison of all trials as a drawing, and ``trials.json``.

    The report passes if its winner is worth exporting: better than the naive baseline and than the current settings.
    """
    study = study_of(context, context.spec.params["study"])
    known = study.facts()
    trials = [one for one in study.trials() if one.slot < criteria_of(context).trials]
    offered = [algorithm_of(search_of(context.product).algorithms, name) for name in known["algorithms"]]
    found = conclude(criteria_of(context), trials, known["baseline"], known["current"], metric_of_search(context))
    write(context, found, trials, offered, known)
    if found.stop:
        keep_stop(
            context.store,
            context.product.name,
            StopRecord(study=study.name, criteria=criteria_of(context), stop=found.stop),
        )
    study.note("stopped", {"kind": found.kind, "reason": found.stopped})
    facts = facts_of(context, found, offered, known)
    tell_mlflow(context, facts, found)
    context.log.info("%s stopped: %s", study.name, found.stopped)
    for line in found.broken:
        context.log.warning("nothing to export: %s", line)
    best = {context.product.metric: found.best.value} if found.best and found.best.value is not None else {}
    return JobResult(
        kind=Report,
        facts=facts,
        metrics={"trials": float(found.ended), **best},
        fields={"about": "search", "passed": not found.broken, "broken": found.broken, "page": PAGE},
        seed=search_of(context.product).seed,
    )


def facts_of(
    context: JobContext, found: Conclusion, offered: Sequence[Algorithm], known: dict[str, Any]
) -> dict[str, Any]:
    """Return what the report says in figures: the winner as the trainer that it is, and what it was compared with."""
    note = str(context.spec.params.get("needs_data_change") or "").strip()
    return {
        "study": known["study"],
        "stopped": found.stopped,
        "stopped_by": found.kind,
        "trials": found.ended,
        "best": winner(context, found.best, offered),
        "baseline": known["baseline"],
        "current": found.current,
        "left_out": known["left_out"],
        "unfinished": list(found.unfinished),
        "needs_data_change": note or found.needs_data_change,
        "mlflow_run": known["run_id"],
        "page_url": mlflow_of(context, known["study"]).url(known["run_id"]),
    }


def winner(context: JobContext, best: Trial | None, offered: Sequence[Algorithm]) -> dict[str, Any] | None:
    """Return the best trial as the trainer that it is; None if no trial was complete."""
    if best is None or best.algorithm is None:
        return None
    trainer = algorithm_of(offered, best.algorithm).trainer(best.params)
    return {
        "trial": best.slot,
        "algorithm": best.algorithm,
        **trainer.to_json(),
        "value": best.value,
        "metric": context.product.metric,
    }


def write(
    context: JobContext, found: Conclusion, trials: Sequence[Trial], offered: Sequence[Algorithm], known: dict[str, Any]
) -> None:
    """Write the report's files."""
    limits = {"baseline": known["baseline"], "current": found.current, "target": criteria_of(context).target}
    story = Story(
        title=f"{context.product.name}: search {known['study']}",
        metric=context.product.metric,
        stopped=found.stopped,
        trials=trials,
        algorithms=offered,
        limits={name: value for name, value in limits.items() if value is not None},
        best=found.best,
        notes=(*found.broken, *(f"{name} was left out: {why}" for name, why in known["left_out"].items())),
    )
    (context.folder / PAGE).write_text(search_page(story))
    (context.folder / DRAWING).write_text(comparison(story))
    (context.folder / TRIALS).write_text(json.dumps([one.to_json() for one in trials], indent=1, allow_nan=False))


def tell_mlflow(context: JobContext, facts: dict[str, Any], found: Conclusion) -> None:
    """Keep the end with the study's run: tags, the best value, and the drawing."""
    best, mlflow = facts["best"] or {}, mlflow_of(context, facts["study"])
    tags = {"mlops.stopped": found.stopped, "mlops.stopped_by": found.kind, "mlops.best_trial": str(best.get("trial"))}
    values = {f"best_{context.product.metric}": best["value"]} if best else {}
    with tempfile.TemporaryDirectory(prefix="mlops-search-") as folder:
        for file in (PAGE, DRAWING, TRIALS):
            shutil.copy(context.folder / file, Path(folder))
        mlflow.conclude(facts["mlflow_run"], tags, values, Path(folder))
