"""What a model server must know of a product that nobody declared: a name, and how calls are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.problem import AnyProblem
from airflow_mlops_provider.lifecycle.shape import Scoring


class Served(Protocol):
    """What is served: a declared product, or a model by itself."""

    @property
    def name(self) -> str: ...
    @property
    def goal(self) -> str: ...
    @property
    def problem(self) -> AnyProblem: ...
    @property
    def scoring(self) -> Scoring: ...


class ModelAlone(Frozen):
    """A model whose calls hold all that it takes."""

    scoring: Scoring
    goal: str = "A prediction for each row."

    @property
    def name(self) -> str:
        """Under which it is registered."""
        return self.scoring.name

    @property
    def problem(self) -> AnyProblem:
        """What kind of predictions it gives."""
        return self.scoring.problem


class NoFeatures:
    """The feature store of a model that needs none: up to date at any time."""

    def online_columns(self, keys: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:  # noqa: ARG002
        """Return no column."""
        return {}

    def require_online(self) -> None:
        """Do nothing: nothing can be missing."""

    def watermark(self) -> datetime | None:
        """Return a moment before any call's."""
        return datetime(1970, 1, 1, tzinfo=UTC)
