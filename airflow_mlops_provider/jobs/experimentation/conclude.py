"""Ends a search: why it stopped, which trial won and whether that is worth exporting, in a report and in MLflow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.jobs.experimentation.search_page import SearchSummary, comparison, search_page
from airflow_mlops_provider.jobs.experimentation.study import RunningSearch, SearchSettings, StudyParams
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.search.conclusion import Conclusion
from airflow_mlops_provider.lifecycle.search.conclusion import conclude as concluded
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, algorithm_of
from airflow_mlops_provider.lifecycle.search.trials import Trial
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

PAGE, CHART, TRIALS = "search.html", "comparison.svg", "trials.json"


class Inputs(JobInputs):
    split: Dataset


class Params(StudyParams):
    needs_data_change: str | None = None


Context = JobContext[Inputs, SearchSettings, Params]


@job(stage=Stage.EXPERIMENTATION, makes="search", result=Report, services=("search",), side_effects=True)
def conclude(context: Context) -> JobResult:
    """Write the page, the comparison of all trials as a chart, and ``trials.json``.

    The report passes if its winner is worth exporting: better than the naive baseline and than the current settings.
    """
    metric, criteria = context.settings.metric, context.params.criteria
    running = RunningSearch(context, context.params.study)
    trials = [trial for trial in running.study.trials() if trial.slot < criteria.trials]
    conclusion = concluded(criteria, trials, running.opened.baseline, running.opened.current, metric)
    write(context, running, conclusion, trials)
    running.decide()
    running.study.note("stopped", {"kind": conclusion.kind, "reason": conclusion.stopped})
    facts = facts_of(context, running, conclusion)
    log_to_mlflow(context, running, facts)
    context.log.info("%s stopped: %s", running.study.name, conclusion.stopped)
    for line in conclusion.broken:
        context.log.warning("nothing to export: %s", line)
    best = {metric.name: facts["best"]["value"]} if facts["best"] else {}
    metrics = {"trials": float(conclusion.ended), **best}
    broken, seed = conclusion.broken, context.settings.seed
    return JobResult(facts=facts, metrics=metrics, passed=not broken, broken=broken, page=PAGE, seed=seed)


def facts_of(context: Context, running: RunningSearch, conclusion: Conclusion) -> dict[str, Any]:
    """Return what the report says in figures: the winner as the trainer that it is, and what it was compared with."""
    opened = running.opened
    return {
        "study": opened.study,
        "stopped": conclusion.stopped,
        "stopped_by": conclusion.kind,
        "trials": conclusion.ended,
        "best": winner(context.settings.metric.name, conclusion.best, running.algorithms),
        "baseline": opened.baseline,
        "current": conclusion.current,
        "left_out": opened.left_out,
        "unfinished": list(conclusion.unfinished),
        "needs_data_change": (context.params.needs_data_change or "").strip() or conclusion.needs_data_change,
        "mlflow_run": opened.run_id,
        "page_url": running.mlflow.url(opened.run_id),
    }


def winner(metric: str, best: Trial | None, algorithms: Sequence[Algorithm]) -> dict[str, Any] | None:
    """Return the best trial as the trainer that it is; None if no trial was complete."""
    if best is None or best.algorithm is None:
        return None
    trainer = algorithm_of(algorithms, best.algorithm).trainer(best.params)
    origin = {"trial": best.slot, "algorithm": best.algorithm, "value": best.value, "metric": metric}
    return {**origin, **trainer.to_json()}


def write(context: Context, running: RunningSearch, conclusion: Conclusion, trials: Sequence[Trial]) -> None:
    """Write the report's files."""
    opened = running.opened
    limits = {"baseline": opened.baseline, "current": conclusion.current, "target": context.params.criteria.target}
    summary = SearchSummary(
        title=f"{context.product}: search {opened.study}",
        metric=context.settings.metric,
        conclusion=conclusion,
        trials=trials,
        algorithms=running.algorithms,
        limits={name: value for name, value in limits.items() if value is not None},
        left_out=opened.left_out,
    )
    (context.folder / PAGE).write_text(search_page(summary), "utf-8")
    (context.folder / CHART).write_text(comparison(summary, alone=True), "utf-8")
    (context.folder / TRIALS).write_text(json.dumps([trial.to_json() for trial in trials], indent=1, allow_nan=False))


def log_to_mlflow(context: Context, running: RunningSearch, facts: dict[str, Any]) -> None:
    """Keep the end with the study's run: tags, the best value, and the report's files."""
    best, stopped, kind = facts["best"] or {}, facts["stopped"], facts["stopped_by"]
    tags = {"mlops.stopped": stopped, "mlops.stopped_by": kind, "mlops.best_trial": str(best.get("trial"))}
    values = {f"best_{context.settings.metric.name}": best["value"]} if best else {}
    files = [context.folder / name for name in (PAGE, CHART, TRIALS)]
    running.mlflow.conclude(running.opened.run_id, tags, values, files)
