"""What trainers return by mistake is named, with what would fit, whichever flavor they declare."""

from __future__ import annotations

import re
import warnings
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from mlflow.models.model import ModelInfo
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from airflow_mlops_provider.backends.models.base import flavor_of
from airflow_mlops_provider.backends.models.returned import misfit
from airflow_mlops_provider.extensions import FLAVORS

ROWS, LABEL = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


def trees() -> lgb.LGBMClassifier:
    """Return a classifier of LightGBM."""
    return lgb.LGBMClassifier(n_estimators=2, verbose=-1, min_child_samples=2).fit(ROWS, LABEL)


def logged() -> ModelInfo:
    """Return what MLflow says of a model that it logged."""
    about = dict.fromkeys(("artifact_path", "model_uri", "model_uuid", "run_id", "utc_time_created", "mlflow_version"))
    return ModelInfo(flavors={}, saved_input_example_info=None, signature=None, **about)


async def later() -> None:
    """Stand for an ``async`` trainer."""


SKLEARN = {
    "an estimator": (DummyClassifier, r"sklearn\.dummy\.DummyClassifier", "flavor 'scikit_learn' would take it"),
    "a search": (
        lambda: GridSearchCV(DummyClassifier(), {}, cv=2).fit(ROWS, LABEL),
        r"sklearn\..*GridSearchCV",
        "flavor 'scikit_learn' would take it",
    ),
    "a pipeline": (
        lambda: make_pipeline(StandardScaler(), DummyClassifier()).fit(ROWS, LABEL),
        r"sklearn\.pipeline\.Pipeline",
        "flavor 'scikit_learn' would take it",
    ),
}
RETURNED = {
    **SKLEARN,
    "nothing": (lambda: None, "NoneType", "end the trainer with `return model`"),
    "metrics beside nothing": (lambda: (None, {"auc": 1}), "tuple of NoneType, dict", "flavors that there are: "),
    "a dict": (lambda: {"auc": 0.9, "rows": 3}, "dict of float, int", "flavors that there are: catboost, lightgbm"),
    "predictions": (lambda: np.zeros(3), r"numpy\.ndarray", "return the model, not what it predicts"),
    "a text": (lambda: "/models/eta", "str", "return the model itself, not where it lies"),
    "bytes": (lambda: b"\x80\x04", "bytes", "its flavor turns it into files"),
    "a class": (lambda: xgb.XGBClassifier, r"the class xgboost\.sklearn\.XGBClassifier itself", "an instance that was"),
    "what MLflow says": (logged, r"mlflow\.models\.model\.ModelInfo", "return the model that was logged"),
    "a lambda": (lambda: lambda rows: rows, "function", "return what it returns"),
    "a coroutine": (later, "coroutine", "take `async` away"),
    "a generator": (lambda: (row for row in ROWS), "generator", "put `return` in place of `yield`"),
    "data": (lambda: lgb.Dataset(ROWS), r"lightgbm\.basic\.Dataset", "flavors that there are"),
}


@pytest.mark.parametrize("name", FLAVORS.builtin)
@pytest.mark.parametrize("case", RETURNED)
def test_what_fits_no_flavor_is_named(case: str, name: str) -> None:
    """The error says what came, what the flavor takes, and what to do; no retry helps, and nothing warns of it."""
    make, came, advice = RETURNED[case]
    returned, flavor = make(), flavor_of(name)
    if name == "scikit_learn" and case in SKLEARN:
        assert flavor.fits(returned)
        return
    assert not flavor.fits(returned)
    with warnings.catch_warnings(action="error"):
        error = misfit(returned, name, flavor.words, flavor.fits)
        del returned
    assert f", but flavor {name!r} takes {flavor.words}; " in str(error)
    assert advice in str(error)
    assert re.match(rf"the trainer returned {came}, but", str(error))
    assert not error.retryable


@pytest.mark.parametrize("name", [name for name in FLAVORS.builtin if name not in {"lightgbm", "scikit_learn"}])
def test_every_flavor_that_would_take_it_is_named(name: str) -> None:
    """A model of two libraries' kinds can be kept in either flavor."""
    error = misfit(trees(), name, flavor_of(name).words, flavor_of(name).fits)
    assert str(error).endswith("flavor 'lightgbm' or 'scikit_learn' would take it")


def test_the_best_of_a_search_is_pointed_out() -> None:
    """A search is no model of a library whose estimator it searched for, but its best estimator is."""
    searched = GridSearchCV(lgb.LGBMClassifier(n_estimators=2, verbose=-1), {}, cv=2).fit(ROWS, LABEL)
    error = misfit(searched, "lightgbm", "trees", flavor_of("lightgbm").fits)
    assert "returned sklearn.model_selection._search.GridSearchCV" in str(error)
    assert str(error).endswith("; return its best_estimator_")


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda model: (model, {"auc": 1.0}), "[0]"),
        (lambda model: {"trees": model, "auc": 1.0}, "['trees']"),
        (lambda model: [1, 2, model], "[2]"),
    ],
)
def test_the_only_model_among_other_things_is_pointed_out(make: Any, where: str) -> None:
    """It says how to come to it, and where what is said of it belongs."""
    error = misfit(make(trees()), "lightgbm", "trees", flavor_of("lightgbm").fits)
    assert f"return its part {where} alone; what a trainer has to say of its model goes into" in str(error)


def test_of_several_models_none_is_chosen() -> None:
    """Nobody can tell which of two is meant."""
    error = misfit((trees(), trees()), "lightgbm", "trees", flavor_of("lightgbm").fits)
    assert "returned tuple of lightgbm.sklearn.LGBMClassifier, but" in str(error)
    assert "alone" not in str(error)
