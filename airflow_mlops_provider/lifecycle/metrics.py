"""The metrics by which models are judged, and what their values lie between."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

Metric = Literal["roc_auc", "average_precision"]  # gates and limits want a metric of which more is better
RANGES: dict[str, tuple[float, float]] = {"roc_auc": (0.0, 1.0), "average_precision": (0.0, 1.0)}
#: A limit that a metric may be held against, and a difference of two values; each metric above lies from 0 to 1.
Value = Annotated[float, Field(ge=0, le=1)]
Gain = Annotated[float, Field(ge=-1, le=1)]


def is_value(metric: str, value: float) -> bool:
    """Say whether a metric can have this value: NaN, infinities and what lies out of its range it can't."""
    low, high = RANGES.get(metric, (-math.inf, math.inf))
    return math.isfinite(value) and low <= value <= high


def is_gain(metric: str, value: float) -> bool:
    """Say whether a difference of two of a metric's values can be this."""
    low, high = RANGES.get(metric, (-math.inf, math.inf))
    return math.isfinite(value) and abs(value) <= high - low
