"""LightGBM and PyTorch keep what every model flavor keeps."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from tests.factories.mlflow_serving import FlavorContract


def inputs() -> pd.DataFrame:
    """Return inputs of both kinds, numbers with gaps; no two rows are alike."""
    random = np.random.default_rng(3)
    wind = random.normal(size=300)
    wind[::17] = np.nan
    carrier = pd.Categorical(random.choice(["AA", "UA"], 300), categories=["AA", "UA", "ZZ"])
    return pd.DataFrame({"carrier": carrier, "wind": wind, "hour": random.permutation(300) / 10})


def distinct(predictions: np.ndarray) -> list[int]:
    """Return rows of which no two are predicted the same."""
    return sorted(np.unique(predictions, return_index=True)[1])[:12]


class TestLightGBM(FlavorContract):
    """Trees."""

    flavor = "lightgbm"

    @pytest.fixture
    def model(self) -> Any:
        """A booster of a hundred leaves."""
        features = inputs()
        label = (features["wind"].fillna(0) + features["hour"] / 10 > 1).astype(int)
        settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 3, "seed": 1}
        return lightgbm.train({**settings, "deterministic": True}, lightgbm.Dataset(features, label), 20)

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict(inputs()))]


class TestTorch(FlavorContract):
    """A network, kept as ONNX."""

    flavor = "torch"

    @pytest.fixture
    def features(self) -> pd.DataFrame:
        """Rows without a gap: the network below knows none."""
        return inputs().dropna().head(12)

    @pytest.fixture
    def model(self) -> Any:
        """A small network whose weights are fixed."""
        torch = pytest.importorskip("torch", reason="pip install 'airflow-mlops-provider[torch]'")

        class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
            inputs = {"carrier": ["AA", "UA", "ZZ"], "wind": None, "hour": None}

            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(1)
                self.embed, self.last = torch.nn.Embedding(4, 2), torch.nn.Linear(4, 1)

            def forward(self, numbers: Any, codes: Any) -> Any:
                known = torch.nan_to_num(numbers)
                return torch.sigmoid(self.last(torch.cat([known, self.embed(codes[:, 0])], dim=1)))[:, 0]

        return Network()
