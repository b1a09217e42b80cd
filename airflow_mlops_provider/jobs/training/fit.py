"""Calls a trainer, as training, searching and retuning do."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import pandas as pd

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.inputs import check_learnable
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.problems.base import PREDICTION, Problem
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.code import load

log = logging.getLogger("mlops.train")


def fit(
    trainer: Trainer,
    problem: Problem,
    features: pd.DataFrame,
    label: pd.Series,
    checkpoints: Callable[[], Checkpoints],
    **further: Any,
) -> Any:
    """Call a trainer, and return what it returns.

    A function that takes ``checkpoints`` is given those of this work: ``latest()`` says where a killed try
    ended, ``save(epoch, write)`` keeps how far this one is. They are gone once the job has succeeded; with ``force``
    the first try begins anew. What it says of itself in its model's ``facts`` (small JSON values) and ``metrics``
    goes into the record.

    :param further: what else a function is given if it has a parameter of that name.
    :raises MissingExtraError: if the libraries of the trainer's flavor are not installed.
    :raises ConfigurationError: if nobody can learn from such inputs, rows have weights and the function takes none, or
        the flavor's library can't work with the inputs or the settings.
    :raises SourceDataError: if the labels are none that such a problem's model can be trained on.
    """
    models.check_installed(trainer.flavor)
    function = load(trainer.code)
    log.info("training on %d rows, %d inputs, settings %s", *features.shape, trainer.settings)
    check_learnable(features, (PREDICTION, *problem.outputs))
    label = problem.numbers(problem.learnable(label, "the rows to learn from"))
    prepared = models.prepared(features, trainer.flavor)
    renamed = {old: new for old, new in zip(features.columns, prepared.columns, strict=True) if old != new}
    if renamed:
        log.info("the trainer is given some inputs under other names, which its library takes: %s", renamed)
    features = prepared.copy(deep=False)  # what a trainer does to its columns is not done to the model's inputs
    if "validation" in further:
        inputs, truth = further["validation"]
        further["validation"] = (models.prepared(inputs, trainer.flavor), problem.numbers(truth))
    takes = inspect.signature(function).parameters
    if further.get("weight") is not None and "weight" not in takes:
        raise ConfigurationError(
            f"{trainer.code} takes no weight, and rows of {problem} have weights: give it such a parameter, or declare "
            "no weight of the label, and no balance of the problem"
        )
    given = {name: value for name, value in {"problem": problem, **further}.items() if name in takes}
    if "checkpoints" in takes:
        given["checkpoints"] = checkpoints()
    try:
        return function(features, label, dict(trainer.settings), trainer.seed, **given)
    except Exception as error:
        if models.is_mistake(error, trainer.flavor):
            raise ConfigurationError(
                f"{trainer.code} failed in {trainer.flavor}: {error}; settings were {trainer.settings}"
            ) from error
        raise
