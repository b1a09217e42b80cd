"""A bounded search around the fixed settings, for a training whose evaluation did not pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.search.optuna.study import SearchStudy
from airflow_mlops_provider.exceptions import JobError, SourceDataError
from airflow_mlops_provider.jobs.experimentation.holdout import columns, split
from airflow_mlops_provider.jobs.experimentation.trial_runner import run_trial
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, ModelVersion, Report
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Criteria
from airflow_mlops_provider.lifecycle.search.retuning import HOLDOUT, Retuned, around, conclude_retuning
from airflow_mlops_provider.lifecycle.search.trials import Trial, stop
from airflow_mlops_provider.lifecycle.sections import Gates, Retuning
from airflow_mlops_provider.lifecycle.shape import Scoring, TimedTarget
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.render.parts import report, table
from airflow_mlops_provider.runtime.arguments import JobInputs, JobSettings, ProductField, TrainerParams
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import OPTUNA, job

TRIES, PAGE = "tries.json", "retuning.html"
#: What the job that evaluates takes of the product.
EVALUATION = ("scoring", "metric", "baseline", "slices", "gates")
#: What is kept of a try: nothing that a clock says, so that the same search leaves the same bytes.
KEPT = {"slot", "state", "params", "value", "reason"}


class Inputs(JobInputs):
    """:param judged_on: the table on which models are judged; by default the part for that of the training set."""

    training_set: Dataset
    champion: ModelVersion | None = None
    judged_on: Dataset | None = None


class Settings(JobSettings):
    scoring: Scoring | TimedTarget
    trainer: Annotated[Trainer, ProductField("training.trainer")]
    metric: Annotated[Metric, ProductField("metric")]
    baseline: Annotated[Column | None, ProductField("evaluation.baseline")] = None
    slices: Annotated[tuple[Column, ...], ProductField("evaluation.slices")] = ()
    gates: Annotated[Gates, ProductField("evaluation.gates")] = Gates()
    retuning: Annotated[Retuning, ProductField("training.retuning")] = Retuning()
    algorithms: Annotated[tuple[Algorithm, ...] | None, ProductField("search.algorithms")] = None


Context = JobContext[Inputs, Settings, TrainerParams]


@job(stage=Stage.EVALUATION, makes="retuning", result=Report, packages=OPTUNA, predicts=True)
def retune(context: Context) -> JobResult:
    """Write ``tries.json`` and a page; the report passes if other settings are better than the fixed ones.

    All is decided on a holdout of the training rows. The window that judges models is not looked at. Then better
    settings train a model on all training rows, by the same job as ever, and that model is evaluated like any other.
    """
    settings = context.settings
    algorithm = around(settings.trainer, settings.retuning.spread, settings.algorithms or ())
    trials, stopped = search(context, algorithm) if algorithm else ([], "nothing to vary")
    retuned = conclude_retuning(settings.trainer.settings, settings.metric, trials, stopped)
    context.log.info("%s", retuned.summary)
    tries = [trial.model_dump(mode="json", include=KEPT) for trial in trials]
    (context.folder / TRIES).write_text(json.dumps(tries, indent=1, sort_keys=True, allow_nan=False))
    (context.folder / PAGE).write_text(_page(context, trials, retuned.summary), "utf-8")
    return JobResult(
        facts={**retuned.to_json(), **_train_again(context, retuned)},
        metrics={name: value for name in ("fixed", "best") if (value := getattr(retuned, name)) is not None},
        passed=bool(retuned.settings),
        page=PAGE,
        seed=settings.trainer.seed,
    )


def search(context: Context, algorithm: Algorithm) -> tuple[list[Trial], str]:
    """Try the fixed settings, then others near them, and return the tries and what ended them before their number."""
    settings, limits = context.settings, context.settings.retuning
    rows = context.read(context.inputs.training_set, "train")
    try:
        parts = split(rows, HOLDOUT, problems.find(settings.scoring.problem), *columns(settings.scoring))
    except SourceDataError as error:
        return [], str(error)
    context.log.info("tries learn from %d rows and are judged on the %d after them", *map(len, parts))
    criteria = Criteria(trials=limits.trials + 1, minutes=limits.minutes)
    study, trials = SearchStudy("retuning", maximize=settings.metric.higher_is_better), list[Trial]()
    study.open(criteria.trials, first=(algorithm, algorithm.params_of(settings.trainer) or {}))
    while (stopped := stop(criteria, trials, settings.metric)) is None:
        trial = study.begin(len(trials), [algorithm], settings.trainer.seed)
        # At an address of its own: no try may go on from another one's checkpoints.
        checkpoints = partial(context.checkpoints, digest([context.address, trial.slot]))
        trainer = algorithm.trainer(trial.params)
        trials.append(run_trial(context, study, trial, trainer, parts, checkpoints=checkpoints))
        checkpoints().clear()
        name, reached = _in_words(context, trials[-1])
        context.log.info("%s: %s with %s, %.1f s", name, reached, trial.params, trials[-1].seconds)
        if trials[0].state != "complete":
            return trials, "the fixed settings could not be judged"
    return trials, "" if stopped.kind == "trials" else stopped.reason


def _train_again(context: Context, retuned: Retuned) -> dict[str, Any]:
    """Return the references to a model trained with other settings, and to its evaluation; None where there are none.

    They are jobs of their own, with manifests of their own, so that nothing tells them from any other training.
    """
    if not retuned.settings:
        return {"model": None, "evaluation": None}
    training_set, champion = context.inputs.training_set, context.inputs.champion
    judged_on = context.inputs.judged_on or training_set
    known, scoring = dict(context.spec.settings), context.settings.scoring
    known["scoring"] = (scoring.untimed() if isinstance(scoring, TimedTarget) else scoring).to_json()
    trainer = {**known["trainer"], "settings": {**known["trainer"]["settings"], **retuned.settings}}
    training = {"scoring": known["scoring"], "trainer": trainer}
    judging = {name: known[name] for name in EVALUATION} | {"seed": known["trainer"]["seed"]}
    compared = {"champion": champion} if champion else {}
    model = _run_job(context, "train", training, {"settings": retuned.settings}, training_set=training_set)
    evaluation = _run_job(context, "evaluate", judging, {}, model=model, training_set=judged_on, **compared)
    return {"model": model.to_json(), "evaluation": evaluation.to_json()}


def _run_job(
    context: Context, job: str, settings: dict[str, Any], params: dict[str, Any], **inputs: AnyReference
) -> AnyReference:
    """Run another job here and return its result. :raises JobError: if it fails, as its manifest says."""
    from airflow_mlops_provider.runtime import runner

    changes = {"job": job, "settings": settings, "params": params, "inputs": inputs}
    manifest = runner.run(context.spec.model_copy(update=changes))
    if manifest.result is None or manifest.failure:
        raise JobError(f"{job} with other settings failed: {manifest.failure.message if manifest.failure else ''}")
    return manifest.result


def _in_words(context: Context, trial: Trial) -> tuple[str, str]:
    """Return what a try is called, and what it reached."""
    name = f"try {trial.slot}" if trial.slot else "the fixed settings"
    metric = context.settings.metric.name
    return name, f"failed: {trial.reason}" if trial.value is None else f"{metric} {trial.value:.4f}"


def _page(context: Context, trials: Sequence[Trial], summary: str) -> str:
    params = sorted({name for trial in trials for name in trial.params})
    rows = []
    for trial in trials:
        name, reached = _in_words(context, trial)
        rows.append((name, *(trial.params.get(param, "") for param in params), reached))
    return report(f"{context.product}: retuning", summary, table(("", *params, "reached"), rows))
