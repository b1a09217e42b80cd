"""A bounded search around the fixed settings, for a training whose evaluation did not pass."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.search.optuna.study import SearchStudy
from airflow_mlops_provider.exceptions import JobError
from airflow_mlops_provider.jobs.training.holdout import split_tail
from airflow_mlops_provider.jobs.training.train import fit
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.metrics import metric_of
from airflow_mlops_provider.lifecycle.references import AnyReference, Report
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Criteria
from airflow_mlops_provider.lifecycle.search.retuning import TAIL, Retuned, around, judged
from airflow_mlops_provider.lifecycle.search.trials import Trial, stop
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.render.pages import page, table
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.scoring.inputs import model_inputs
from airflow_mlops_provider.storage.layout import result_key

if TYPE_CHECKING:
    import pandas as pd

TRIES = "tries.json"
PAGE = "retuning.html"


def run(context: JobContext) -> JobResult:
    """Write ``tries.json`` and a page; the report passes if other settings are better than the fixed ones.

    All is decided on the training rows' tail. The window that judges models is not looked at. Then better settings
    train a model on all training rows, by the same job as ever, and that model is evaluated like any other.
    """
    product, algorithm = context.product, around(context.product)
    trials, why = search(context, algorithm) if algorithm else ([], "")
    found = judged(product, trials, why)
    context.log.info("%s", found.summary)
    told = [_told(one) for one in trials]
    (context.folder / TRIES).write_text(json.dumps(told, indent=1, sort_keys=True, allow_nan=False))
    (context.folder / PAGE).write_text(_page(context, trials, found))
    return JobResult(
        kind=Report,
        facts={**found.to_json(), **_anew(context, found.settings)},
        metrics={name: value for name in ("fixed", "best") if (value := getattr(found, name)) is not None},
        fields={"about": "retuning", "passed": bool(found.settings), "page": PAGE},
        seed=product.trainer.seed,
    )


def _anew(context: JobContext, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the references to a model trained with other settings, and to its evaluation; None where there are none.

    They are jobs of their own, with manifests of their own, so that nothing tells them from any other training.
    """
    if not settings:
        return {"model": None, "evaluation": None}
    training_set, champion = context.input("training_set"), context.inputs("champion")
    model = _also(context, "train", {"settings": settings}, training_set=training_set)
    compared = {"champion": champion[0]} if champion else {}
    evaluation = _also(context, "evaluate", {}, model=model, training_set=training_set, **compared)
    return {"model": model.to_json(), "evaluation": evaluation.to_json()}


def _also(context: JobContext, job: str, params: dict[str, Any], **inputs: AnyReference) -> AnyReference:
    """Run another job here and return its result. :raises JobError: if it fails, as its manifest says."""
    from airflow_mlops_provider.runtime import runner

    manifest = runner.run(context.spec.model_copy(update={"job": job, "params": params, "inputs": inputs}))
    if manifest.result is None or manifest.failure:
        raise JobError(f"{job} with other settings failed: {manifest.failure.message if manifest.failure else ''}")
    return manifest.result


def search(context: JobContext, algorithm: Algorithm) -> tuple[list[Trial], str]:
    """Try the fixed settings, then others near them, and return the tries and what ended them before their number."""
    product, limits = context.product, context.product.retuning
    earlier, later = split_tail(product, context.read(context.input("training_set"), "train"), TAIL)
    context.log.info("tries learn from %d rows and are judged on the %d after them", len(earlier), len(later))
    criteria = Criteria(trials=limits.trials + 1, minutes=limits.minutes)
    metric = metric_of(product.problem, product.metric)
    study, trials = SearchStudy("retuning", maximize=metric.higher_is_better), list[Trial]()
    study.open(criteria.trials, first=(algorithm.name, algorithm.drawing(product.trainer) or {}))
    while (stopped := stop(criteria, trials, metric)) is None:
        begun = study.begin(len(trials), [algorithm], product.trainer.seed)
        trials.append(study.end(begun.slot, **measure(context, algorithm, begun, earlier, later)))
        _log(context, trials[-1])
        if trials[0].state != "complete":
            return trials, "the fixed settings could not be judged"
    return trials, "" if stopped.kind == "trials" else stopped.reason


def measure(
    context: JobContext, algorithm: Algorithm, trial: Trial, earlier: pd.DataFrame, later: pd.DataFrame
) -> dict[str, Any]:
    """Train with a try's settings and return how it ended: its metric on the later rows, or why there is none."""
    product, trainer = context.product, algorithm.trainer(trial.params)
    label, began = product.label.column, time.monotonic()
    # Seen as a training of its own, at an address of its own: no try may go on from another one's checkpoints.
    asked = context.spec.model_copy(update={"params": {"trainer": trainer.to_json()}})
    seen = JobContext(asked, context.folder, digest([context.address, trial.slot]))
    try:
        inputs = model_inputs(product, earlier)
        trained = fit(seen, inputs, earlier[label])
        with tempfile.TemporaryDirectory(prefix="mlops-retune-") as folder:
            model = models.save(trained, Path(folder), trainer.flavor, inputs)
            scores = model.probabilities(model_inputs(product, later))
        value = statistics.measure(problems.find(product.problem), product.metric, later[label], scores)
    except Exception as error:  # noqa: BLE001  # settings that the user's code can't work with are a try that failed
        reason = f"{type(error).__name__}: {error}"[:300]
        return {"state": "failed", "reason": reason, "seconds": time.monotonic() - began}
    finally:
        Checkpoints(context.store, result_key(asked, seen.address)).clear()
    return {"state": "complete", "value": float(value), "seconds": time.monotonic() - began}


def _log(context: JobContext, trial: Trial) -> None:
    name = f"try {trial.slot}" if trial.slot else "the fixed settings"
    reached = f"{context.product.metric} {trial.value:.4f}" if trial.value is not None else f"failed: {trial.reason}"
    context.log.info("%s: %s with %s, %.1f s", name, reached, trial.params, trial.seconds)


def _told(trial: Trial) -> dict[str, Any]:
    """Return what is kept of a try: nothing that a clock says, so that the same search leaves the same bytes."""
    return trial.model_dump(mode="json", include={"slot", "state", "params", "value", "reason"})


def _page(context: JobContext, trials: list[Trial], found: Retuned) -> str:
    names = sorted({name for one in trials for name in one.params})
    rows = [
        (
            f"try {one.slot}" if one.slot else "fixed",
            *(one.params.get(name, "") for name in names),
            one.value if one.value is not None else str(one.reason),
        )
        for one in trials
    ]
    return page(f"{context.product.name}: retuning", found.summary, table(("", *names, context.product.metric), rows))
