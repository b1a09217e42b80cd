"""The trainer: a forest that isolates what is unlike the rest; it looks at no label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline


def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> Pipeline:
    """Return scaled inputs and the forest."""
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import RobustScaler

    return make_pipeline(RobustScaler(), IsolationForest(random_state=seed, **settings)).fit(features)
