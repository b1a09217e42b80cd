"""LightGBM models: saved, loaded and applied without changing a bit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models.lightgbm import FLAVOR, Trees
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, SourceDataError

ROWS = 800
save, load, predict, prepared = FLAVOR.save, FLAVOR.load, FLAVOR.predict, FLAVOR.prepared


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Inputs of every kind: numbers with gaps, whole numbers, truths, text and numeric categories, a constant one."""
    random = np.random.default_rng(5)
    numbers = random.normal(size=ROWS)
    numbers[::17] = np.nan
    return pd.DataFrame(
        {
            "number": numbers,
            "carrier": pd.Categorical(random.choice(["AA", "UA", "B6"], ROWS)),
            "constant": pd.Categorical(["one"] * ROWS),
            "count": random.integers(0, 9, ROWS),
            "month": pd.Categorical(random.choice([3, 1, 2], ROWS)),
            "weekend": random.random(ROWS) > 0.5,
        }
    )


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> lgb.Booster:
    """A small booster whose splits use the categories."""
    label = ((frame["number"].fillna(0) + (frame["carrier"] == "AA") + (frame["month"] == 3)) > 0.5).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 5}
    return lgb.train(settings, lgb.Dataset(frame, label), 30)


@pytest.fixture(scope="module")
def trees(model: lgb.Booster, tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """The same, as it is loaded."""
    folder = tmp_path_factory.mktemp("model")
    save(model, folder)
    return load(folder)


def test_loaded_model_predicts_as_the_trained_one(model: lgb.Booster, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Saving and loading change no prediction by a single bit."""
    save(model, tmp_path)
    expected = model.predict(frame)
    assert np.unique(expected).size > 50
    np.testing.assert_array_equal(predict(load(tmp_path), frame), expected)


def test_early_stopped_model_keeps_its_best_trees(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A model that stopped early predicts with the same trees after loading as before."""
    label = pd.Series(np.random.default_rng(1).integers(0, 2, ROWS))
    data = lgb.Dataset(frame.iloc[:400], label.iloc[:400])
    check = lgb.Dataset(frame.iloc[400:], label.iloc[400:], reference=data)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    stop = [lgb.early_stopping(3, verbose=False)]
    stopped = lgb.train(settings, data, 40, valid_sets=[check], callbacks=stop, keep_training_booster=True)
    assert stopped.best_iteration < stopped.num_trees()
    save(stopped, tmp_path)
    np.testing.assert_array_equal(predict(load(tmp_path), frame), stopped.predict(frame))


def test_one_row_predicts_as_among_many(model: lgb.Booster, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Each row alone, as plain values from a request, gives exactly what it gives in the batch."""
    save(model, tmp_path)
    loaded = load(tmp_path)
    together = predict(loaded, frame)
    for index in range(0, ROWS, 40):
        row = json.loads(frame.iloc[[index]].to_json(orient="records"))
        assert predict(loaded, pd.DataFrame(row))[0] == together[index]


def test_columns_go_by_name(trees: Trees, frame: pd.DataFrame) -> None:
    """Another column order and further columns change nothing."""
    shuffled = frame[frame.columns[::-1]].assign(further="x")
    np.testing.assert_array_equal(predict(trees, shuffled), predict(trees, frame))


def test_missing_columns_are_named(trees: Trees, frame: pd.DataFrame) -> None:
    """A frame without inputs is refused by the names of those that are missing."""
    with pytest.raises(SourceDataError, match="count, month"):
        predict(trees, frame.drop(columns=["count", "month"]))


def test_text_for_a_number_is_named(trees: Trees, frame: pd.DataFrame) -> None:
    """Text where the model wants a number is refused by the column's name."""
    with pytest.raises(SourceDataError, match="'count' must hold numbers"):
        predict(trees, frame.assign(count="many"))


def test_unseen_category_counts_as_missing(trees: Trees, frame: pd.DataFrame) -> None:
    """A category that training never saw predicts as a missing one, whatever its name."""
    one = predict(trees, frame.assign(carrier="ZZ"))
    np.testing.assert_array_equal(one, predict(trees, frame.assign(carrier=None)))
    assert (one != predict(trees, frame)).any()


def test_no_rows_give_no_predictions(trees: Trees, frame: pd.DataFrame) -> None:
    """An empty frame gives an empty float64 array."""
    empty = predict(trees, frame.iloc[:0])
    assert empty.shape == (0,)
    assert empty.dtype == np.float64


@pytest.mark.parametrize("name", ["model.lgb", "model.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_model_is_refused(model: lgb.Booster, tmp_path: Path, name: str, damage: str) -> None:
    """A model file cut short, altered or gone is an integrity error, never a wrong prediction or a crash."""
    save(model, tmp_path)
    file, data = tmp_path / name, (tmp_path / name).read_bytes()
    middle = data.index(b"AA") if name == "model.json" else len(data) // 2
    file.write_bytes({"cut": data[:middle], "flip": data[:middle] + b"Q" + data[middle + 1 :], "gone": b""}[damage])
    if damage == "gone":
        file.unlink()
    with pytest.raises(IntegrityError, match="run the training again"):
        load(tmp_path)


def test_same_model_same_bytes(model: lgb.Booster, tmp_path: Path) -> None:
    """Saving twice gives the same bytes."""
    for folder in ("one", "two"):
        save(model, tmp_path / folder)
    for name in ("model.lgb", "model.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


# --- what LightGBM makes of names and categories ----------------------------------------------------------------------

NAMES = {
    "blanks": ["basket value", "  ", "a  b"],
    "what JSON needs": ["weight[kg]", "price, net", 'the "old" one', "a:b", "{x}"],
    "the same once changed": ["a b", "a_b", "a[b", "a_b_"],
    "lines and nothing": ["a\nb", "a\r", ""],
    "letters": ["größe", "日本", "😀 b", "a\tb"],
}


@pytest.mark.parametrize("case", NAMES)
def test_a_model_keeps_the_names_that_it_was_trained_on(case: str, tmp_path: Path) -> None:
    """Whatever LightGBM makes of an input's name, the model that is kept and loaded takes the true one."""
    random, names = np.random.default_rng(2), NAMES[case]
    features = pd.DataFrame(random.normal(size=(ROWS, len(names))), columns=names)
    label = (features[names[0]] + features[names[-1]] / 2 > 0).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    trained = lgb.train(settings, lgb.Dataset(prepared(features), label), 10)
    save(trained, tmp_path, features)
    loaded = load(tmp_path)
    assert [one["name"] for one in loaded.inputs] == names
    plain = lgb.train(settings, lgb.Dataset(features.set_axis([f"f{n}" for n in range(len(names))], axis=1), label), 10)
    expected = plain.predict(features)
    assert np.unique(expected).size > 20
    np.testing.assert_array_equal(predict(loaded, features[names[::-1]]), expected)
    with pytest.raises(SourceDataError, match=re.escape(names[0])):
        predict(loaded, features.drop(columns=names[0]))


def test_ordinary_names_reach_the_trainer_as_they_are(frame: pd.DataFrame) -> None:
    """The frame of a trainer that has no odd names is the very one; blanks are left to LightGBM."""
    assert prepared(frame) is frame
    odd = frame.rename(columns={"count": "the count", "month": "month[1]"})
    assert list(prepared(odd).columns) == ["number", "carrier", "constant", "the count", "month_1_", "weekend"]


def test_a_model_kept_before_there_were_other_names_loads(
    model: lgb.Booster, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Files of a model without odd names hold what they always held: name, dtype and categories."""
    save(model, tmp_path, frame)
    described = json.loads((tmp_path / "model.json").read_text())
    assert described.keys() == {"format", "sha256", "inputs"}
    assert {key for one in described["inputs"] for key in one} == {"name", "dtype", "categories"}
    save(model, tmp_path / "without")
    assert (tmp_path / "without" / "model.json").read_bytes() == (tmp_path / "model.json").read_bytes()


@pytest.mark.parametrize("codes", [["code"], ["code", "carrier"], [], "auto"])
def test_codes_beside_a_category(codes: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Whole numbers that a trainer names as categories stay numbers, and the categories beside them keep theirs."""
    features = frame[["number", "carrier"]].assign(code=np.arange(ROWS) % 7, month=frame["month"].cat.as_ordered())
    label = ((features["code"] % 2 == 0) ^ (features["carrier"] == "AA") ^ (features["month"] == 3)).astype(int)
    data = lgb.Dataset(features, label, categorical_feature=codes)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5}
    trained = lgb.train(settings, data, 20)
    save(trained, tmp_path, features)
    loaded = load(tmp_path)
    kept = {one["name"]: one["categories"] for one in loaded.inputs}
    assert kept == {"number": None, "carrier": ["AA", "B6", "UA"], "code": None, "month": [1, 2, 3]}
    expected = trained.predict(features)
    assert np.unique(expected).size > 20
    np.testing.assert_array_equal(predict(loaded, features), expected)
    plain = features.astype({"carrier": object, "month": "float64", "code": "float64"})
    np.testing.assert_array_equal(predict(loaded, plain), expected)
    unseen = predict(loaded, features.assign(carrier="ZZ", month=7))
    np.testing.assert_array_equal(unseen, predict(loaded, features.assign(carrier=None, month=np.nan)))


def test_categories_that_the_trainer_makes_are_kept(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A trainer may turn text or codes into categories itself, as long as it does so with all."""
    features = frame[["number", "carrier"]].astype({"carrier": object})
    label = (features["carrier"] == "AA").astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    data = lgb.Dataset(features.astype({"carrier": "category"}), label)
    save(lgb.train(settings, data, 3), tmp_path, features)
    assert load(tmp_path).inputs[1]["categories"] == ["AA", "B6", "UA"]
    codes = features.assign(code=np.arange(ROWS) % 3)
    both = lgb.Dataset(codes.astype({"carrier": "category"}), label, categorical_feature=["carrier", "code"])
    with pytest.raises(ConfigurationError, match=r"1 lists of categories, and 2 inputs .* carrier, code; give"):
        save(lgb.train(settings, both, 3), tmp_path, codes)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("carrier", 5, "'carrier' holds 5, but the model was trained on categories that are text, such as 'AA'"),
        ("carrier", pd.Categorical([1] * ROWS), "'carrier' holds 1, but"),
        ("month", "3", "'month' holds '3', but the model was trained on categories that are number, such as 1"),
        ("month", pd.Timestamp("2024-01-01"), "'month' holds Timestamp"),
    ],
)
def test_categories_of_another_kind_are_named(
    trees: Trees, frame: pd.DataFrame, column: str, values: Any, said: str
) -> None:
    """Text for numbers, or numbers for text, would all count as unknown, silently; it is refused."""
    with pytest.raises(SourceDataError, match=said):
        predict(trees, frame.assign(**{column: values}))
    nothing = frame.assign(**{column: np.nan})
    np.testing.assert_array_equal(predict(trees, nothing), predict(trees, frame.assign(**{column: None})))


def test_a_model_that_was_not_trained_is_refused(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A booster without a tree, or an estimator before its fit, is no model."""
    empty = lgb.Booster({"verbose": -1}, lgb.Dataset(frame, np.zeros(ROWS)))
    for model in (empty, lgb.LGBMClassifier()):
        with pytest.raises(ConfigurationError, match=f"the {type(model).__name__} was not trained"):
            save(model, tmp_path, frame)
    assert not list(tmp_path.iterdir())
