"""Runs one trial, of a search or of a retuning: trains on the earlier rows, judges on the holdout, and ends it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import MissingExtraError, MLOpsError
from airflow_mlops_provider.jobs.experimentation.holdout import Split, measure
from airflow_mlops_provider.jobs.training.fit import fit
from airflow_mlops_provider.lifecycle.search.trials import Trial
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.scoring.inputs import for_trainer, model_inputs, truth_of, truths

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

MAX_REASON = 500
Reporter = Callable[[int, float], None]


class Pruned(Exception):  # noqa: N818  # no error: it ends a training early
    """A trial is given up; the message says why."""


def run_trial(
    context: AnyContext,
    study: SearchStudy,
    trial: Trial,
    trainer: Trainer,
    split: Split,
    *,
    report: Reporter | None = None,
    checkpoints: Callable[[], Checkpoints] | None = None,
) -> Trial:
    """Train and judge, end the trial and return it.

    What a trainer raises makes its trial fail, with the reason, and not the job. What a service raises, and a retry
    may mend, leaves the trial as it is: the retry goes on with it. So does a package that is not installed where this
    runs: that says nothing of the settings.

    :param context: a job's whose settings have ``scoring`` and ``metric``.
    :param report: what a trainer may call as ``report(step, value)``, and may raise :class:`Pruned`; such a trainer is
        also given the holdout as ``validation``.
    :param checkpoints: gives those of this trial; by default the job's own.
    """
    began = time.monotonic()

    def end(state: Any, **outcome: Any) -> Trial:
        return study.end(trial.slot, state, seconds=time.monotonic() - began, **outcome)

    try:
        value = _score(context, trainer, split, report, checkpoints or context.checkpoints)
    except Pruned as pruned:
        return end("pruned", reason=str(pruned))
    except Exception as error:
        retryable = isinstance(error, MLOpsError) and error.retryable
        if retryable or isinstance(error, MissingExtraError) or missing_extra(error, context.spec.requires):
            raise
        context.log.exception("the trainer failed")
        return end("failed", reason=f"{type(error).__name__}: {error}"[:MAX_REASON])
    return end("complete", value=value)


def _score(
    context: AnyContext, trainer: Trainer, split: Split, report: Reporter | None, checkpoints: Callable[[], Checkpoints]
) -> float:
    scoring = context.settings.scoring
    problem = problems.find(scoring.problem)
    inputs, validation = (model_inputs(scoring, frame) for frame in split)
    # A trainer that looks at the holdout wants the categories that it learned.
    validation = validation.astype(inputs.select_dtypes("category").dtypes.to_dict())
    learned, truth = (truths(scoring, frame) for frame in split)
    reporting = {"validation": (validation, truth), "report": report} if report else {}
    given = {**for_trainer(scoring, problem, split.earlier), **reporting}
    trained = fit(trainer, problem, inputs, learned, checkpoints, **given)
    with tempfile.TemporaryDirectory(prefix="mlops-trial-") as folder:
        scores = models.save(trained, Path(folder), trainer.flavor, inputs).predict(validation)
    judged_by = truth_of(scoring, problem, split.holdout, split.earlier)
    return measure(problem, context.settings.metric, judged_by, problem.checked(scores))
