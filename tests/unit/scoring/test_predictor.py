"""One loaded version predicts the same bits for every caller, and refuses what it must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import IntegrityError, JobError, SourceDataError
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.scoring.predictor import Predictor, one_by_one
from tests.factories.serving import NAME, StandInFeatures, make_release, make_rows


def test_batch_and_single_predictions_are_bit_equal(shape: Scoring, tmp_path: Path) -> None:
    """A row predicted alone and among a thousand gets the same bits, whatever else its frame holds."""
    release = make_release(tmp_path, 1)
    predictor = Predictor.load(shape, tmp_path / NAME / "train" / "model-1", release.model)
    rows = pd.DataFrame(make_rows(300))
    features = StandInFeatures().online(rows)
    many = predictor.predict(rows.assign(returned=1), features)
    single = [predictor.predict(rows.iloc[[n]], features.iloc[[n]])[0] for n in range(len(rows))]
    assert many.dtype == np.float64
    assert many.tolist() == single
    assert len(set(single)) > 50


def test_changed_model_file_is_refused(shape: Scoring, tmp_path: Path) -> None:
    """A model whose bytes are not those recorded does not load."""
    release = make_release(tmp_path, 1)
    folder = tmp_path / NAME / "train" / "model-1"
    with (folder / "model.lgb").open("a") as file:
        file.write(" ")
    with pytest.raises(IntegrityError, match="changed or are incomplete"):
        Predictor.load(shape, folder, release.model)


def test_predictions_that_are_no_probabilities_are_refused(shape: Scoring, tmp_path: Path) -> None:
    """Features for fewer rows, and a product whose code fails on the smoke row, are errors and not answers."""
    release = make_release(tmp_path, 1)
    predictor = Predictor.load(shape, tmp_path / NAME / "train" / "model-1", release.model)
    with pytest.raises(SourceDataError, match="1 rows, but features for 0"):
        predictor.predict(pd.DataFrame(make_rows(1)), pd.DataFrame())
    predictor.shape = shape.model_copy(update={"assemble": "json:loads"})
    with pytest.raises(JobError, match="the smoke row failed: TypeError"):
        predictor.smoke()


# --- rows by themselves, and all together -----------------------------------------------------------------------------


def of_all(rows: pd.DataFrame) -> pd.DataFrame:
    """Assemble as nobody should: a price counts by what the other rows cost."""
    made = assemble(rows)
    return made.assign(price=made["price"] - made["price"].mean())


def assemble(rows: pd.DataFrame) -> pd.DataFrame:
    """Assemble row by row."""
    made = rows[["price", "pieces", "orders", "mean_price"]].astype("float64")
    return made.assign(hour=rows["event_time"].dt.hour.astype("float64"), known=rows["customer"].notna().astype(float))


@pytest.mark.parametrize(("function", "differing"), [(assemble, 0), (of_all, 22)])
def test_rows_alone_are_as_all_together_or_it_is_said(
    shape: Scoring, tmp_path: Path, function: Callable[..., pd.DataFrame], differing: int
) -> None:
    """An input that is made of other rows is another in serving, where a row comes alone; some have no price."""
    release = make_release(tmp_path, 1)
    own = shape.model_copy(update={"assemble": f"{__name__}:{function.__name__}"})
    predictor = Predictor.load(own, tmp_path / NAME / "train" / "model-1", release.model)
    rows = pd.DataFrame(make_rows(300))
    joined = rows.join(StandInFeatures().online(rows).drop(columns=["customer"], errors="ignore"))
    compared = one_by_one(predictor, joined)
    assert (compared.rows, compared.differing) == (25, differing)
    assert compared.first.startswith("price is ") == bool(differing)
    assert one_by_one(predictor, joined.iloc[:1]).differing == 0
