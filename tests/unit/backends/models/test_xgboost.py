"""XGBoost models: saved, loaded and applied without changing a bit; what they predict follows what they learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.xgboost import FLAVOR
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, MissingExtraError, UnknownNameError

ROWS = 600


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Inputs of every kind: numbers with gaps, whole numbers, text and numeric categories, an odd name."""
    random = np.random.default_rng(5)
    wind = random.normal(size=ROWS)
    wind[::17] = np.nan
    return pd.DataFrame(
        {
            "wind": wind,
            "carrier": pd.Categorical(random.choice(["AA", "UA", "B6"], ROWS), categories=["UA", "AA", "B6", "ZZ"]),
            "hour": random.integers(0, 24, ROWS),
            "month": pd.Categorical(random.choice([3, 1, 2], ROWS)),
            "gust [m/s] < 3": random.normal(size=ROWS),
        }
    )


@pytest.fixture(scope="module")
def label(frame: pd.DataFrame) -> pd.Series:
    """One of three classes."""
    return (frame["wind"].fillna(0) > 0).astype(int) + (frame["carrier"] == "AA")


def data(frame: pd.DataFrame, label: pd.Series) -> xgb.DMatrix:
    """Return what a trainer makes of what it is given."""
    return xgb.DMatrix(FLAVOR.prepared(frame), label, enable_categorical=True)


def test_a_booster_predicts_as_before(frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """Saving and loading change no bit, under the true names, and whatever a column's categories are called later."""
    booster = xgb.train({"objective": "binary:logistic"}, data(frame, label > 0), 20)
    loaded = models.save(booster, tmp_path, "xgboost", frame)
    expected = booster.predict(data(frame, label > 0)).astype("float64")
    np.testing.assert_array_equal(loaded.predict(frame), expected)
    names = json.loads((tmp_path / "model.json").read_text())["inputs"]
    assert [entry["name"] for entry in names] == [*frame.columns]
    assert names[1]["categories"] == ["UA", "AA", "B6", "ZZ"]
    as_text = frame.assign(carrier=frame["carrier"].astype(str).astype("category"))
    np.testing.assert_array_equal(loaded.predict(as_text), expected)
    unknown = loaded.predict(frame.assign(carrier="??"))
    np.testing.assert_array_equal(unknown, loaded.predict(frame.assign(carrier=None)))


@pytest.mark.parametrize(
    ("settings", "width"),
    [
        ({"objective": "multi:softprob", "num_class": 3}, 3),
        ({"objective": "multi:softmax", "num_class": 3}, 3),
        ({"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}, 2),
    ],
)
def test_several_outputs(
    settings: dict[str, Any], width: int, frame: pd.DataFrame, label: pd.Series, tmp_path: Path
) -> None:
    """A probability for each class, also of a booster that would name but the class; a value for each quantile."""
    booster = xgb.train(settings, data(frame, label), 10)
    given = models.save(booster, tmp_path, "xgboost", frame).predict(frame)
    assert given.shape == (ROWS, width)
    if settings["objective"] == "multi:softmax":
        np.testing.assert_array_equal(given.argmax(axis=1), booster.predict(data(frame, label)))
        np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-6)
    else:
        np.testing.assert_array_equal(given, booster.predict(data(frame, label)))


def test_estimators_are_kept(frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """Of XGBoost's own classifiers and rankers, also of a class of the user's."""

    class Mine(xgb.XGBClassifier):  # type: ignore[misc]
        pass

    given = FLAVOR.prepared(frame)
    for number, target in enumerate((label > 0, label)):
        fitted = Mine(n_estimators=5, enable_categorical=True).fit(given, target.astype(int))
        loaded = models.save(fitted, tmp_path / str(number), "xgboost", frame)
        expected = fitted.predict_proba(given)
        np.testing.assert_array_equal(loaded.predict(frame), expected if number else expected[:, 1])
    ranker = xgb.XGBRanker(n_estimators=5, enable_categorical=True).fit(given, label, qid=np.arange(ROWS) // 10)
    loaded = models.save(ranker, tmp_path / "ranker", "xgboost", frame)
    np.testing.assert_array_equal(loaded.predict(frame), ranker.predict(given))


@pytest.mark.parametrize("booster", ["gblinear", "dart"])
def test_other_boosters_are_kept(booster: str, frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """Lines, and trees of which some are dropped, predict as before, and each row alone as among others."""
    numbers = frame[["wind", "hour"]]
    trained = xgb.train(
        {"booster": booster, "rate_drop": 0.5, "objective": "reg:squarederror"}, data(numbers, label), 8
    )
    loaded = models.save(trained, tmp_path, "xgboost", numbers)
    expected = trained.predict(data(numbers, label))
    np.testing.assert_array_equal(loaded.predict(numbers), expected)
    assert loaded.predict(numbers.iloc[[7]])[0] == expected[7]


def test_training_that_stopped_early_predicts_with_its_best_trees(
    frame: pd.DataFrame, label: pd.Series, tmp_path: Path
) -> None:
    """As XGBoost's own estimators do; a booster, too."""
    train, check = data(frame, label), data(frame, label.sample(frac=1, random_state=1).reset_index(drop=True))
    booster = xgb.train({}, train, 40, evals=[(check, "check")], early_stopping_rounds=3, verbose_eval=False)
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    expected = booster.predict(train, iteration_range=(0, booster.best_iteration + 1))
    np.testing.assert_array_equal(models.save(booster, tmp_path, "xgboost", frame).predict(frame), expected)


def test_what_could_not_be_given_again_is_refused(frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """Columns without a name, of another name, and categories that the trainer made or undid itself."""

    def trained(given: Any) -> xgb.Booster:
        return xgb.train({}, xgb.DMatrix(given, label, enable_categorical=True), 2)

    plain = FLAVOR.prepared(frame)
    for given, error, said in (
        (frame[["hour", "wind"]].to_numpy(), ConfigurationError, "trained on a bare array"),
        (frame[["hour"]].rename(columns={"hour": "time"}), UnknownNameError, "input of the trained model 'time'"),
        (
            plain.astype({"hour": "category"}),
            ConfigurationError,
            "'hour' has 24 categories of its own in .*is a number in",
        ),
        (plain.assign(carrier=frame["carrier"].cat.codes), ConfigurationError, "'carrier' is a number in the model"),
        (
            plain.assign(carrier=frame["carrier"].cat.remove_unused_categories()),
            ConfigurationError,
            r"'carrier' has 3 categories of its own in the model, but is one of \['UA', 'AA', 'B6', 'ZZ'\]",
        ),
        (
            plain.assign(carrier=frame["carrier"].cat.reorder_categories(["AA", "UA", "B6", "ZZ"])),
            ConfigurationError,
            "'carrier' has 4 categories of its own",
        ),
    ):
        with pytest.raises(error, match=said):
            models.save(trained(given), tmp_path, "xgboost", frame)
    assert not list(tmp_path.iterdir())


def test_categories_in_other_letters(tmp_path: Path) -> None:
    """XGBoost itself cuts such text at other places; the order of categories is held all the same."""
    names = ["Süd", "east end", "größe 日本", "north"]
    frame = pd.DataFrame({"zone": pd.Categorical([*names, *names] * 20, categories=names)})
    label = (frame["zone"] == "north").astype(int)
    booster = xgb.train({}, data(frame, label), 3)
    loaded = models.save(booster, tmp_path, "xgboost", frame)
    np.testing.assert_array_equal(loaded.predict(frame.astype(str)), booster.predict(data(frame, label)))
    other = frame.assign(zone=frame["zone"].cat.reorder_categories(names[::-1]))
    with pytest.raises(ConfigurationError, match="'zone' has 4 categories of its own"):
        models.save(booster, tmp_path / "other", "xgboost", other)


def test_files_of_two_models_are_no_model(frame: pd.DataFrame, label: pd.Series, tmp_path: Path) -> None:
    """A description of other inputs than the trees have is damage."""
    models.save(xgb.train({}, data(frame, label), 2), tmp_path, "xgboost", frame)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"hour"', '"time"'))
    with pytest.raises(IntegrityError, match="name different inputs"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    ("there", "named"), [("xgboost", "xgboost"), ("xgboost-cpu", "xgboost-cpu"), ("", "xgboost-cpu")]
)
def test_either_distribution_will_do(there: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one with CUDA and the one without bring the same module; where neither is, the smaller one is named."""
    monkeypatch.setattr("airflow_mlops_provider.backends.environment.all_versions", lambda: {there: "3"})
    assert models.installed_as("xgboost-cpu", "xgboost") == named
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    if not there:
        with pytest.raises(
            MissingExtraError, match=r"xgboost models need xgboost-cpu; run: pip install '.*\[xgboost\]'"
        ):
            models.check_installed("xgboost")
