"""One trial of a search: takes its slot, trains with what is drawn for it, and is judged on the validation rows."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import MissingExtraError, MLOpsError
from airflow_mlops_provider.jobs.experimentation.search import TRAIN, VALIDATE, metric
from airflow_mlops_provider.jobs.experimentation.searching import (
    StopRecord,
    check_code,
    criteria_of,
    keep_stop,
    metric_of_search,
    mlflow_of,
    search_of,
    study_of,
)
from airflow_mlops_provider.jobs.training.train import fit
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search.declaration import Pruning, algorithm_of
from airflow_mlops_provider.lifecycle.search.trials import Stop, Trial, stop
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.scoring.inputs import model_inputs

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

LONGEST_REASON = 500


class Pruned(Exception):  # noqa: N818  # no error: it unwinds a trainer that has seen enough
    """A trial is given up; the message says why."""


def run(context: JobContext) -> JobResult:
    """Write ``trial.json``. A slot whose trial has ended is told again; one that nobody needs any more is left."""
    slot, study = int(context.spec.params["slot"]), study_of(context, context.spec.params["study"])
    facts = study.facts()
    check_code(facts["code"], context.product)
    known = study.trials()
    decided = stop(criteria_of(context), known, metric_of_search(context))
    if decided and known[slot].state == "waiting":
        keep(context, study, decided)
        return JobResult(
            kind=Report, facts={"slot": slot, "skipped": decided.reason}, fields={"about": "trial", "passed": True}
        )
    if known[slot].state == "running":
        context.log.info("an earlier try began this trial; going on with what was drawn for it")
    offered = [algorithm_of(search_of(context.product).algorithms, name) for name in facts["algorithms"]]
    trial = study.begin(slot, offered, search_of(context.product).seed)
    assert trial.algorithm is not None
    trainer = algorithm_of(offered, trial.algorithm).trainer(trial.params)
    context.log.info("trial %d of %s: %s with %s", slot, study.name, trial.algorithm, trial.params)
    mlflow = mlflow_of(context, study.name)
    run_id = mlflow.begin(trial, facts["run_id"], {"seed": trainer.seed})
    if trial.ended is None:
        trial = attempt(context, study, trial, trainer)
    context.log.info("trial %d is %s: %s", slot, trial.state, trial.reason or trial.value)
    mlflow.end(trial, run_id, context.product.metric)
    if decided := stop(criteria_of(context), study.trials(), metric_of_search(context)):
        keep(context, study, decided)
    (context.folder / "trial.json").write_text(trial.model_dump_json(indent=1))
    return JobResult(
        kind=Report,
        facts={**trial.to_json(), "study": study.name, "mlflow_run": run_id},
        metrics={context.product.metric: trial.value} if trial.value is not None else {},
        fields={
            "about": "trial",
            "passed": trial.state != "failed",
            "broken": (trial.reason,) if trial.state == "failed" else (),
        },
        seed=trainer.seed,
    )


def attempt(context: JobContext, study: SearchStudy, trial: Trial, trainer: Trainer) -> Trial:
    """Train and judge, end the trial and return it.

    What a trainer raises makes its trial fail, with the reason, and not the search. What a service raises, and a retry
    may mend, leaves the trial as it is: the retry goes on with it. So does a package that is not installed where this
    runs: that says nothing of the settings.
    """
    began = time.monotonic()

    def ended(state: Any, **how: Any) -> Trial:
        return study.end(trial.slot, state, seconds=time.monotonic() - began, **how)

    try:
        value = judged(context, trainer, reporter(study, trial.slot, search_of(context.product).pruning))
    except Pruned as given_up:
        return ended("pruned", reason=str(given_up))
    except Exception as error:
        if isinstance(error, MLOpsError) and error.retryable:
            raise
        if isinstance(error, MissingExtraError) or missing_extra(error, context.product):
            raise
        context.log.exception("the trainer failed")
        return ended("failed", reason=f"{type(error).__name__}: {error}"[:LONGEST_REASON])
    return ended("complete", value=value)


def judged(context: JobContext, trainer: Trainer, report: Callable[[int, float], None]) -> float:
    """Return the metric on the validation rows of the model that a trainer makes of the others.

    :raises ValueError: if it is no number.
    """
    # Seen as a training with this trainer: its checkpoints lie at this trial's address.
    as_training = context.spec.model_copy(update={"params": {"trainer": trainer.to_json()}})
    seen = JobContext(as_training, context.folder, context.address)
    (inputs, label), validation = (rows(seen, table) for table in (TRAIN, VALIDATE))
    trained = fit(seen, inputs, label, validation=validation, report=report)
    with tempfile.TemporaryDirectory(prefix="mlops-trial-") as folder:
        scores = models.save(trained, Path(folder), trainer.flavor, inputs).probabilities(validation[0])
    value = metric(context, validation[1], scores)
    if not math.isfinite(value):
        raise ValueError(f"the model's {context.product.metric} is {value}")
    return value


def rows(context: JobContext, table: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the model's inputs and the labels of one part of the split."""
    frame = context.read(context.input("split"), table)
    return model_inputs(context.product, frame), frame[context.product.label.column]


def reporter(study: SearchStudy, slot: int, pruning: Pruning | None) -> Callable[[int, float], None]:
    """Return what a trainer may call as ``report(step, value)``: it keeps the value, or ends the training."""

    def report(step: int, value: float) -> None:
        why = study.report(slot, int(step), float(value), pruning)
        if why:
            raise Pruned(why)

    return report


def keep(context: JobContext, study: SearchStudy, decided: Stop) -> None:
    """Keep why the search stopped where those who have not begun look first."""
    keep_stop(
        context.store, context.product.name, StopRecord(study=study.name, criteria=criteria_of(context), stop=decided)
    )
