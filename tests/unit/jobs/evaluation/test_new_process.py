"""A model in a process of its own: the same predictions, what it took, and why it failed."""

from __future__ import annotations

import resource
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.jobs.evaluation.new_process import predicted_again

BINARY = problems.find("binary_classification")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model."""
    random = np.random.default_rng(5)
    inputs = pd.DataFrame(random.normal(size=(300, 3)), columns=["price", "pieces", "hour"])
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    made = tmp_path_factory.mktemp("model")
    models.save(lightgbm.train(settings, lightgbm.Dataset(inputs, inputs["price"] > 0), 5), made, "lightgbm", inputs)
    return made


@pytest.fixture
def kept(folder: Path) -> pd.DataFrame:
    """Some inputs with what the model says of them, as training keeps them."""
    inputs = pd.DataFrame(np.random.default_rng(6).normal(size=(50, 3)), columns=["price", "pieces", "hour"])
    return inputs.assign(**BINARY.columns(models.load(folder).predict(inputs)))


def test_it_predicts_the_same_and_is_measured(folder: Path, kept: pd.DataFrame) -> None:
    """Times are in order, and its memory is its own, not that of the process which asks."""
    compared, cost = predicted_again(folder, kept, BINARY)
    assert (compared.rows, compared.differing, compared.first) == (50, 0, "")
    assert cost is not None
    assert 0 < cost.p50_ms <= cost.p99_ms < 1000
    assert 0 < cost.batch_ms < 10_000
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 1 < cost.memory_mib < mine


def test_other_predictions_than_were_kept_are_counted(folder: Path, kept: pd.DataFrame) -> None:
    """One in its last bit is one; the first is shown."""
    was = kept["prediction"].iloc[7]
    odd = kept.assign(prediction=kept["prediction"].where(kept.index != 7, np.nextafter(was, 1)))
    compared, _ = predicted_again(folder, odd, BINARY)
    assert (compared.rows, compared.differing) == (50, 1)
    assert compared.first.startswith(f"{was}, and ")


def test_a_model_that_does_not_load_says_why(folder: Path, kept: pd.DataFrame, tmp_path: Path) -> None:
    """As its flavor says it, in a line; nothing is measured."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes()[:100])
    compared, cost = predicted_again(broken, kept, BINARY)
    assert (compared.rows, compared.differing, cost) == (50, 50, None)
    assert "IntegrityError" in compared.first and str(broken) not in compared.first


def test_without_rows_there_is_nothing_to_compare(folder: Path, kept: pd.DataFrame) -> None:
    """That is said, and is no success."""
    compared, cost = predicted_again(folder, kept.iloc[:0], BINARY)
    assert (compared.rows, cost) == (0, None) and "no rows" in compared.first
