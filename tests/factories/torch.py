"""Rows to learn from, for the tests of the trainer in PyTorch: numbers with gaps, categories, a label they decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

#: Small and quick; what an epoch does is not less for it.
SETTINGS: dict[str, Any] = {"epochs": 8, "patience": 8, "batch": 64, "hidden": [16], "dropout": 0.2, "embed": ["hour"]}


def rows(count: int = 600, seed: int = 5) -> tuple[pd.DataFrame, pd.Series]:
    """Return inputs and labels, oldest first."""
    random = np.random.default_rng(seed)
    wind = random.normal(10, 4, count)
    wind[::17] = np.nan
    features = pd.DataFrame(
        {
            "carrier": pd.Categorical(random.choice(["AA", "UA", "B6"], count), categories=["AA", "B6", "UA", "ZZ"]),
            "wind": wind,
            "hour": random.integers(0, 24, count).astype("float64"),
            "distance": random.normal(900, 300, count),
        }
    )
    score = np.nan_to_num(wind - 10) / 2 + (features["carrier"] == "AA") * 3 + (features["hour"] > 17) * 2
    return features, pd.Series((score + random.normal(size=count) > 2).astype("int64"))


class Kept:
    """Checkpoints in a plain folder; the try ends after an epoch of choice."""

    def __init__(self, folder: Path, until: int = 0) -> None:
        self.folder, self.until = folder, until

    def latest(self) -> tuple[int, Path] | None:
        found = sorted(self.folder.iterdir())
        return (int(found[-1].name), found[-1]) if found else None

    def save(self, epoch: int, write: Callable[[Path], object]) -> None:
        folder = self.folder / f"{epoch:04d}"
        folder.mkdir()
        write(folder)
        if epoch == self.until:
            raise KeyboardInterrupt
