"""LightGBM models: saved, loaded and applied without changing a bit."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.lightgbm import load, predict, save
from airflow_mlops_provider.exceptions import IntegrityError, SourceDataError

ROWS = 800


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


def test_loaded_model_predicts_as_the_trained_one(model: lgb.Booster, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Saving and loading change no prediction by a single bit."""
    save(model, tmp_path)
    expected = model.predict(frame)
    assert np.unique(expected).size > 50
    np.testing.assert_array_equal(predict(load(tmp_path), frame), expected)
    np.testing.assert_array_equal(predict(model, frame), expected)


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
    np.testing.assert_array_equal(predict(load(tmp_path), frame), predict(stopped, frame))


def test_one_row_predicts_as_among_many(model: lgb.Booster, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Each row alone, as plain values from a request, gives exactly what it gives in the batch."""
    save(model, tmp_path)
    loaded = load(tmp_path)
    together = predict(loaded, frame)
    for index in range(0, ROWS, 40):
        row = json.loads(frame.iloc[[index]].to_json(orient="records"))
        assert predict(loaded, pd.DataFrame(row))[0] == together[index]


def test_columns_go_by_name(model: lgb.Booster, frame: pd.DataFrame) -> None:
    """Another column order and further columns change nothing."""
    shuffled = frame[frame.columns[::-1]].assign(further="x")
    np.testing.assert_array_equal(predict(model, shuffled), predict(model, frame))


def test_missing_columns_are_named(model: lgb.Booster, frame: pd.DataFrame) -> None:
    """A frame without inputs is refused by the names of those that are missing."""
    with pytest.raises(SourceDataError, match="count, month"):
        predict(model, frame.drop(columns=["count", "month"]))


def test_text_for_a_number_is_named(model: lgb.Booster, frame: pd.DataFrame) -> None:
    """Text where the model wants a number is refused by the column's name."""
    with pytest.raises(SourceDataError, match="'count' must hold numbers"):
        predict(model, frame.assign(count="many"))


def test_unseen_category_counts_as_missing(model: lgb.Booster, frame: pd.DataFrame) -> None:
    """A category that training never saw predicts as a missing one, whatever its name."""
    one = predict(model, frame.assign(carrier="ZZ"))
    np.testing.assert_array_equal(one, predict(model, frame.assign(carrier=None)))
    assert (one != predict(model, frame)).any()


def test_no_rows_give_no_predictions(model: lgb.Booster, frame: pd.DataFrame) -> None:
    """An empty frame gives an empty float64 array."""
    empty = predict(model, frame.iloc[:0])
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
    """Saving twice gives the same bytes, also after loading."""
    save(model, tmp_path / "one")
    save(load(tmp_path / "one"), tmp_path / "two")
    described = [json.loads((tmp_path / folder / "model.json").read_text())["inputs"] for folder in ("one", "two")]
    assert described[0] == described[1]
    save(model, tmp_path / "three")
    assert (tmp_path / "one" / "model.lgb").read_bytes() == (tmp_path / "three" / "model.lgb").read_bytes()
