"""What a drift method promises: how far the data that arrives has moved from the data a model learned from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider.extensions import DRIFT_METHODS

if TYPE_CHECKING:
    import pandas as pd

PAGE = "drift.html"


@dataclass(frozen=True)
class Drift:
    """What has moved, and how far.

    :param share: share of drifted columns among all but the prediction, 0 to 1.
    :param columns: their names to ``score``, ``drifted``, ``method``, ``threshold``, and ``missing``: the share of
        missing values before and now.
    :param prediction: distance of the predictions, of several columns the largest; with Evidently Wasserstein's, normed
        by the reference's standard deviation. None where there are none.
    :param missing: columns whose values came or went, to their share of missing values before and now.
    :param failed: a line for each test of the method's own that was wanted and failed.
    """

    share: float
    columns: dict[str, dict[str, Any]]
    prediction: float | None
    missing: dict[str, list[float]]
    failed: tuple[str, ...] = ()


class DriftMethod(ABC):
    """Compares current data with reference data.

    It is looked up wherever an address is computed: its module loads no library but inside of methods.

    :cvar packages: the distributions that decide what is measured.
    :cvar options: what :meth:`drift` takes by keyword beside the rest, where a task gives it.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def drift(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        *,
        predictions: Collection[str],
        limits: Mapping[str, float],
        folder: Path,
        sample: int,
        seed: int,
    ) -> Drift:
        """Compare column by column, and write a page, :data:`PAGE`, and whatever else is worth keeping.

        Every column of the reference but the ``predictions`` counts in the share; the current side's order of columns
        and rows makes no difference.

        :param predictions: the numeric columns of predictions, in both; none where there are none.
        :param limits: the distance from which a column has drifted, of those to which the method's own does not apply.
        :param folder: an existing, empty folder.
        :param sample: at most this many rows of each side are compared, drawn by ``seed``.
        :raises DataValidationError: if a side is empty, the current side lacks a column, or has no numeric predictions
            where there should be some.
        """


def drift_method_of(name: str) -> DriftMethod:
    """Return the drift method of that name. :raises UnknownNameError: if there is none; lists the known ones."""
    method: DriftMethod = DRIFT_METHODS.find(name)
    return method
