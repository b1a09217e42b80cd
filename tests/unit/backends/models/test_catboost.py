"""CatBoost models: saved, loaded and applied without changing a bit; their categories are text without gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.catboost import FLAVOR, MODEL_FILE
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError

ROWS = 400
QUIET = {"iterations": 8, "verbose": False, "allow_writing_files": False, "thread_count": 1}
CATEGORIES = ["carrier", "month"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Inputs of every kind, each with gaps; one category is an empty text."""
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "wind": random.normal(size=ROWS),
            "carrier": pd.Categorical(random.choice(["AA", "UA", ""], ROWS)),
            "month": pd.Categorical(random.choice([3, 1, 2], ROWS)),
        }
    )
    for place, name in enumerate(frame.columns):
        frame.loc[place :: 13 + place, name] = None
    return frame


@pytest.fixture(scope="module")
def label(frame: pd.DataFrame) -> pd.Series:
    """One of three classes."""
    return (frame["wind"].fillna(0) > 0).astype(int) + (frame["carrier"] == "AA").fillna(False)


def test_categories_are_text_without_gaps(frame: pd.DataFrame) -> None:
    """A trainer is given what CatBoost takes; numbers stay as they are."""
    given = FLAVOR.prepared(frame)
    pd.testing.assert_series_equal(given["wind"], frame["wind"])
    assert given["month"].cat.categories.tolist() == ["1", "2", "3", ""]
    assert given["carrier"].cat.categories.tolist() == ["", "AA", "UA"]
    assert (given["month"] == "").sum() == frame["month"].isna().sum()
    assert not given[CATEGORIES].isna().to_numpy().any()


@pytest.mark.parametrize("target", ["two", "three", "with a gap"])
def test_classifiers(target: str, frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """A probability of 1, or one for each class by its code; an unknown category predicts as a missing one."""
    classes = {"two": label > 0, "three": label, "with a gap": label.replace(1, 3)}[target].astype(int)
    fitted = catboost.CatBoostClassifier(**QUIET, cat_features=CATEGORIES).fit(FLAVOR.prepared(frame), classes)
    loaded = models.save(fitted, tmp_path, "catboost", frame)
    expected = fitted.predict_proba(FLAVOR.prepared(frame))
    given = loaded.predict(frame)
    columns = {"two": 1, "three": [0, 1, 2], "with a gap": [0, 2, 3]}[target]
    np.testing.assert_array_equal(
        given if target == "two" else given[:, columns], expected[:, 1] if columns == 1 else expected
    )
    np.testing.assert_array_equal(loaded.predict(frame.assign(month=9)), loaded.predict(frame.assign(month=None)))


@pytest.mark.parametrize(
    "loss", ["RMSE", "Poisson", "Tweedie:variance_power=1.5", "RMSEWithUncertainty", "MultiQuantile:alpha=0.1,0.9"]
)
def test_regressors(loss: str, frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """What CatBoost's own regressor predicts: where the loss took a logarithm, its exponent."""
    fitted = catboost.CatBoostRegressor(**QUIET, cat_features=CATEGORIES, loss_function=loss)
    fitted.fit(FLAVOR.prepared(frame), label)
    given = models.save(fitted, tmp_path, "catboost", frame).predict(frame)
    np.testing.assert_array_equal(given, fitted.predict(FLAVOR.prepared(frame)))
    assert given.ndim == 1 + (loss in {"RMSEWithUncertainty", "MultiQuantile:alpha=0.1,0.9"})


def test_plain_models_and_rankers(frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """A model of the base class says by its loss whether it knows classes; a ranker gives scores."""
    given, two = FLAVOR.prepared(frame), (label > 0).astype(int)
    plain = catboost.CatBoost({**QUIET, "loss_function": "Logloss", "cat_features": CATEGORIES}).fit(given, two)
    loaded = models.save(plain, tmp_path / "plain", "catboost", frame)
    np.testing.assert_array_equal(loaded.predict(frame), plain.predict(given, prediction_type="Probability")[:, 1])
    ranker = catboost.CatBoostRanker(**QUIET, cat_features=CATEGORIES).fit(given, label, group_id=np.arange(ROWS) // 10)
    loaded = models.save(ranker, tmp_path / "ranker", "catboost", frame)
    np.testing.assert_array_equal(loaded.predict(frame), ranker.predict(given))


def test_two_trainings_make_the_same_bytes(frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """CatBoost gives each model a number of its own, and the time; neither is kept. The user's model is left alone."""
    for name in ("one", "two"):
        fitted = catboost.CatBoostRegressor(**QUIET, cat_features=CATEGORIES).fit(FLAVOR.prepared(frame), label)
        models.save(fitted, tmp_path / name, "catboost", frame)
    assert fitted.get_metadata()["model_guid"]
    assert (tmp_path / "one" / MODEL_FILE).read_bytes() == (tmp_path / "two" / MODEL_FILE).read_bytes()


def test_what_could_not_be_given_again_is_refused(frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """Columns without a name, and categories that the trainer made or undid itself."""
    given = FLAVOR.prepared(frame)
    hours = frame.assign(hour=np.arange(ROWS) % 24)

    def trained(features: Any, *categories: str) -> Any:
        return catboost.CatBoostRegressor(**QUIET, cat_features=[*categories]).fit(features, label)

    for model, error, said in (
        (trained(frame[["wind"]].to_numpy()), UnknownNameError, "input of the trained model '0'"),
        (
            trained(given.assign(hour=hours["hour"]), *CATEGORIES, "hour"),
            ConfigurationError,
            "'hour' is a category in the",
        ),
        (
            trained(given.assign(month=1.0), "carrier"),
            ConfigurationError,
            "'month' is a number in the model, but category",
        ),
    ):
        with pytest.raises(error, match=said):
            models.save(model, tmp_path, "catboost", hours)
    assert not list(tmp_path.iterdir())


def test_its_errors_are_the_users_mistakes(frame: pd.DataFrame, label: pd.Series) -> None:
    """What CatBoost says of settings and data is no crash: the same each time."""
    with pytest.raises(Exception, match="not in  cat_features list") as raised:
        catboost.CatBoostRegressor(**QUIET).fit(FLAVOR.prepared(frame), label)
    assert models.is_mistake(raised.value, "catboost")
