"""Ends a search: why it stopped, which trial won and whether that is worth anything, told in a report and to MLflow."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_mlops_provider.jobs.search_page import Story, comparison, search_page
from airflow_mlops_provider.jobs.searching import StopRecord, criteria_of, keep_stop, mlflow_of, search_of, study_of
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.conclusion import Conclusion, conclude
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search import Algorithm, algorithm_of
from airflow_mlops_provider.lifecycle.trials import Trial

PAGE, DRAWING, TRIALS = "search.html", "comparison.svg", "trials.json"


def run(work: Work) -> Outcome:
    """Write the page, the comparison of all trials as a drawing, and ``trials.json``.

    The report passes if its winner is worth exporting: better than the naive baseline and than the current settings.
    """
    study = study_of(work, work.spec.params["study"])
    known = study.facts()
    trials = [one for one in study.trials() if one.slot < criteria_of(work).trials]
    offered = [algorithm_of(search_of(work.product).algorithms, name) for name in known["algorithms"]]
    found = conclude(criteria_of(work), trials, known["baseline"], known["current"])
    write(work, found, trials, offered, known)
    if found.stop:
        keep_stop(
            work.store, work.product.name, StopRecord(study=study.name, criteria=criteria_of(work), stop=found.stop)
        )
    study.note("stopped", {"kind": found.kind, "reason": found.stopped})
    facts = facts_of(work, found, offered, known)
    tell_mlflow(work, facts, found)
    work.log.info("%s stopped: %s", study.name, found.stopped)
    for line in found.broken:
        work.log.warning("nothing to export: %s", line)
    best = {work.product.metric: found.best.value} if found.best and found.best.value is not None else {}
    return Outcome(
        kind=Report,
        facts=facts,
        metrics={"trials": float(found.ended), **best},
        fields={"passed": not found.broken, "broken": found.broken, "page": PAGE},
        seed=search_of(work.product).seed,
    )


def facts_of(work: Work, found: Conclusion, offered: Sequence[Algorithm], known: dict[str, Any]) -> dict[str, Any]:
    """Return what the report says in figures: the winner as the trainer that it is, and what it was compared with."""
    note = str(work.spec.params.get("needs_data_change") or "").strip()
    return {
        "study": known["study"],
        "stopped": found.stopped,
        "stopped_by": found.kind,
        "trials": found.ended,
        "best": winner(work, found.best, offered),
        "baseline": known["baseline"],
        "current": found.current,
        "left_out": known["left_out"],
        "unfinished": list(found.unfinished),
        "needs_data_change": note or found.needs_data_change,
        "mlflow_run": known["run_id"],
        "page_url": mlflow_of(work, known["study"]).url(known["run_id"]),
    }


def winner(work: Work, best: Trial | None, offered: Sequence[Algorithm]) -> dict[str, Any] | None:
    """Return the best trial as the trainer that it is; None if no trial was complete."""
    if best is None or best.algorithm is None:
        return None
    trainer = algorithm_of(offered, best.algorithm).trainer(best.drawn)
    return {
        "trial": best.slot,
        "algorithm": best.algorithm,
        **trainer.to_json(),
        "value": best.value,
        "metric": work.product.metric,
    }


def write(
    work: Work, found: Conclusion, trials: Sequence[Trial], offered: Sequence[Algorithm], known: dict[str, Any]
) -> None:
    """Write the report's files."""
    limits = {"baseline": known["baseline"], "current": found.current, "target": criteria_of(work).target}
    story = Story(
        title=f"{work.product.name}: search {known['study']}",
        metric=work.product.metric,
        stopped=found.stopped,
        trials=trials,
        algorithms=offered,
        limits={name: value for name, value in limits.items() if value is not None},
        best=found.best,
        notes=(*found.broken, *(f"{name} was left out: {why}" for name, why in known["left_out"].items())),
    )
    (work.folder / PAGE).write_text(search_page(story))
    (work.folder / DRAWING).write_text(comparison(story))
    (work.folder / TRIALS).write_text(json.dumps([one.to_json() for one in trials], indent=1, allow_nan=False))


def tell_mlflow(work: Work, facts: dict[str, Any], found: Conclusion) -> None:
    """Keep the end with the study's run: tags, the best value, and the drawing."""
    best, mlflow = facts["best"] or {}, mlflow_of(work, facts["study"])
    tags = {"mlops.stopped": found.stopped, "mlops.stopped_by": found.kind, "mlops.best_trial": str(best.get("trial"))}
    values = {f"best_{work.product.metric}": best["value"]} if best else {}
    with tempfile.TemporaryDirectory(prefix="mlops-search-") as folder:
        for file in (PAGE, DRAWING, TRIALS):
            shutil.copy(work.folder / file, Path(folder))
        mlflow.conclude(facts["mlflow_run"], tags, values, Path(folder))
