"""One trial of a search: takes its slot, trains with the params suggested for it, and is judged on the holdout."""

from __future__ import annotations

from typing import Annotated

from airflow_mlops_provider.jobs.experimentation.holdout import Split
from airflow_mlops_provider.jobs.experimentation.study import RunningSearch, SearchSettings, StudyParams
from airflow_mlops_provider.jobs.experimentation.trial_runner import Pruned, run_trial
from airflow_mlops_provider.jobs.tables import TRAIN, VALIDATE
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.search.declaration import Pruning, algorithm_of
from airflow_mlops_provider.lifecycle.shape import Scoring, TimedTarget
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import OPTUNA, job


class Inputs(JobInputs):
    split: Dataset


class Settings(SearchSettings):
    scoring: Scoring | TimedTarget
    pruning: Annotated[Pruning | None, ProductField("search.pruning")]


class Params(StudyParams):
    slot: int


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.EXPERIMENTATION, makes="trial", result=Report, packages=OPTUNA, services=("search",), predicts=True)
def trial(context: Context) -> JobResult:
    """Write ``trial.json``. A trial that has ended is not trained again; none begins once the search has stopped."""
    slot, running = context.params.slot, RunningSearch(context, context.params.study)
    running.check_code()
    stopped, state = running.decide(), running.study.trials()[slot].state
    if stopped and state == "waiting":
        return JobResult(facts={"slot": slot, "skipped": stopped.reason}, passed=True)
    if state == "running":
        context.log.info("an earlier try began this trial; going on with its params")
    result = attempt(context, running, slot)
    running.decide()
    return result


def attempt(context: Context, running: RunningSearch, slot: int) -> JobResult:
    """Run a slot's trial, unless it has ended, log it to MLflow, and return its report."""
    study, settings, metric = running.study, context.settings, context.settings.metric.name
    trial = study.begin(slot, running.algorithms, settings.seed)
    assert trial.algorithm is not None
    trainer = algorithm_of(running.algorithms, trial.algorithm).trainer(trial.params)
    context.log.info("trial %d of %s: %s with %s", slot, study.name, trial.algorithm, trial.params)
    run_id = running.mlflow.begin(trial, running.opened.run_id, {"seed": trainer.seed})

    def report(step: int, value: float) -> None:
        """Keep what a trainer has reached, or end its training."""
        if why := study.report(slot, int(step), float(value), settings.pruning):
            raise Pruned(why)

    if trial.ended is None:
        split = Split(*(context.read(context.inputs.split, table) for table in (TRAIN, VALIDATE)))
        trial = run_trial(context, study, trial, trainer, split, report=report)
    context.log.info("trial %d is %s: %s", slot, trial.state, trial.reason or trial.value)
    running.mlflow.end(trial, run_id, metric)
    (context.folder / "trial.json").write_text(trial.model_dump_json(indent=1))
    failed = trial.state == "failed"
    facts = {**trial.to_json(), "study": study.name, "mlflow_run": run_id}
    metrics = {metric: trial.value} if trial.value is not None else {}
    broken = (trial.reason,) if failed and trial.reason else ()
    return JobResult(facts=facts, metrics=metrics, passed=not failed, broken=broken, seed=trainer.seed)
