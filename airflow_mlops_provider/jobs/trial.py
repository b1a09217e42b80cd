"""One trial of a search: takes its slot, trains with what is drawn for it, and is judged on the validation rows."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends import models
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.jobs.search import TRAIN, VALIDATE, metric
from airflow_mlops_provider.jobs.searching import (
    StopRecord,
    check_code,
    criteria_of,
    keep_stop,
    mlflow_of,
    search_of,
    study_of,
)
from airflow_mlops_provider.jobs.train import fit
from airflow_mlops_provider.jobs.work import Outcome, Work
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search import Pruning, algorithm_of
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.lifecycle.trials import Stop, Trial, stop
from airflow_mlops_provider.serving.scoring import model_inputs

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops_provider.backends.optuna import SearchStudy

LONGEST_REASON = 500


class Pruned(Exception):  # noqa: N818  # no error: it unwinds a trainer that has seen enough
    """A trial is given up; the message says why."""


def run(work: Work) -> Outcome:
    """Write ``trial.json``. A slot whose trial has ended is told again; one that nobody needs any more is left."""
    slot, study = int(work.spec.params["slot"]), study_of(work, work.spec.params["study"])
    facts = study.facts()
    check_code(facts["code"], work.product)
    known = study.trials()
    decided = stop(criteria_of(work), known)
    if decided and known[slot].state == "waiting":
        keep(work, study, decided)
        return Outcome(kind=Report, facts={"slot": slot, "skipped": decided.reason}, fields={"passed": True})
    if known[slot].state == "running":
        work.log.info("an earlier try began this trial; going on with what was drawn for it")
    offered = [algorithm_of(search_of(work.product).algorithms, name) for name in facts["algorithms"]]
    trial = study.begin(slot, offered, search_of(work.product).seed)
    assert trial.algorithm is not None
    trainer = algorithm_of(offered, trial.algorithm).trainer(trial.drawn)
    work.log.info("trial %d of %s: %s with %s", slot, study.name, trial.algorithm, trial.drawn)
    mlflow = mlflow_of(work, study.name)
    run_id = mlflow.begin(trial, facts["run_id"], {"seed": trainer.seed})
    if trial.ended is None:
        trial = attempt(work, study, trial, trainer)
    work.log.info("trial %d is %s: %s", slot, trial.state, trial.reason or trial.value)
    mlflow.end(trial, run_id, work.product.metric)
    if decided := stop(criteria_of(work), study.trials()):
        keep(work, study, decided)
    (work.folder / "trial.json").write_text(trial.model_dump_json(indent=1))
    return Outcome(
        kind=Report,
        facts={**trial.to_json(), "study": study.name, "mlflow_run": run_id},
        metrics={work.product.metric: trial.value} if trial.value is not None else {},
        fields={"passed": trial.state != "failed", "broken": (trial.reason,) if trial.state == "failed" else ()},
        seed=trainer.seed,
    )


def attempt(work: Work, study: SearchStudy, trial: Trial, trainer: Trainer) -> Trial:
    """Train and judge, end the trial and return it.

    What a trainer raises makes its trial fail, with the reason, and not the search. What a service raises, and a retry
    may mend, leaves the trial as it is: the retry goes on with it.
    """
    began = time.monotonic()

    def ended(state: Any, **how: Any) -> Trial:
        return study.end(trial.slot, state, seconds=time.monotonic() - began, **how)

    try:
        value = judged(work, trainer, reporter(study, trial.slot, search_of(work.product).pruning))
    except Pruned as given_up:
        return ended("pruned", reason=str(given_up))
    except Exception as error:
        if isinstance(error, MLOpsError) and error.retryable:
            raise
        work.log.exception("the trainer failed")
        return ended("failed", reason=f"{type(error).__name__}: {error}"[:LONGEST_REASON])
    return ended("complete", value=value)


def judged(work: Work, trainer: Trainer, report: Callable[[int, float], None]) -> float:
    """Return the metric on the validation rows of the model that a trainer makes of the others.

    :raises ValueError: if it is no number.
    """
    # Seen as a training with this trainer: its checkpoints lie at this trial's address.
    as_training = work.spec.model_copy(update={"params": {"trainer": trainer.to_json()}})
    seen = Work(as_training, work.folder, work.address)
    (inputs, label), validation = (rows(seen, table) for table in (TRAIN, VALIDATE))
    trained = fit(seen, inputs, label, validation=validation, report=report)
    with tempfile.TemporaryDirectory(prefix="mlops-trial-") as folder:
        scores = models.save(trained, Path(folder), trainer.flavor, inputs).probabilities(validation[0])
    value = metric(work, validation[1], scores)
    if not math.isfinite(value):
        raise ValueError(f"the model's {work.product.metric} is {value}")
    return value


def rows(work: Work, table: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the model's inputs and the labels of one part of the split."""
    frame = work.read(work.input("split"), table)
    return model_inputs(work.product, frame), frame[work.product.label.column]


def reporter(study: SearchStudy, slot: int, pruning: Pruning | None) -> Callable[[int, float], None]:
    """Return what a trainer may call as ``report(step, value)``: it keeps the value, or ends the training."""

    def report(step: int, value: float) -> None:
        why = study.report(slot, int(step), float(value), pruning)
        if why:
            raise Pruned(why)

    return report


def keep(work: Work, study: SearchStudy, decided: Stop) -> None:
    """Keep why the search stopped where those who have not begun look first."""
    keep_stop(work.store, work.product.name, StopRecord(study=study.name, criteria=criteria_of(work), stop=decided))
