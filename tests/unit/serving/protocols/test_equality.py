"""A model whose inputs have names as files have them, in every protocol."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.lightgbm import FLAVOR
from airflow_mlops_provider.testing.models import plain
from tests.factories.equality import check_protocols

pytest.importorskip("grpc", reason="needs an extra: pip install 'airflow-mlops-provider[grpc]'")


def test_columns_of_any_name_are_predicted_as_in_batch(tmp_path: Path) -> None:
    """With quotes, backslashes and line ends in their names: the same bits, in each way and from sixteen callers."""
    random = np.random.default_rng(5)
    names = ['Temp. "C"', "back\\slash, and comma", "two\nlines"]
    features = pd.DataFrame(random.normal(size=(300, 3)), columns=names)
    features.loc[::17, names[0]] = np.nan
    settings = {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}
    learned = FLAVOR.prepared(features)
    model = lightgbm.train(settings, lightgbm.Dataset(learned, learned.sum(axis=1)), 10)
    models.save(model, tmp_path / "saved", "lightgbm", features)
    check_protocols(tmp_path / "saved", plain(features, tmp_path / "saved"), tmp_path, 60)
