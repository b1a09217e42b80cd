"""What is counted of a candidate beside the live version: see :class:`~...lifecycle.release.rollout.Observed`."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import numpy.typing as npt
import psutil

from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.lifecycle.release.rollout import Observed, bucket
from airflow_mlops_provider.scoring.predictor import Predictions, Predictor

#: Rows of the live version's, by whose quantiles predictions are counted from then on; and how many quantiles.
FIRST, QUANTILES = 64, 32


class Comparison:
    """Counts; any thread may add to it. :ivar grown_from: the process's bytes when the candidate had been loaded."""

    def __init__(self, grown_from: int | None = None) -> None:
        self.grown_from = memory() if grown_from is None else grown_from
        self._lock = threading.Lock()
        self._calls = self._errors = self._dropped = 0
        self._missing, self._live_seconds, self._seconds = Counter[int](), Counter[int](), Counter[int]()
        self._first: list[tuple[Predictions, Predictions]] = []
        self._bounds: Predictions | None = None
        self._live_answers = self._answers = np.zeros(0, dtype=int)

    def failed(self, calls: int) -> None:
        """Count calls that the candidate failed, or was too late for."""
        with self._lock:
            self._calls += calls
            self._errors += calls

    def dropped(self, calls: int) -> None:
        """Count calls that it was not given."""
        with self._lock:
            self._dropped += calls

    def predicted(self, calls: int, live_seconds: float, seconds: float, missing: int) -> None:
        """Count calls that both predicted together. :param missing: the share of inputs that it lacks, in percent."""
        with self._lock:
            self._calls += calls
            self._live_seconds[bucket(live_seconds)] += 1
            self._seconds[bucket(seconds)] += 1
            if missing > 0:
                self._missing[missing] += calls

    def answers(self, live: Predictions, candidate: Predictions) -> None:
        """Count what both said of the same rows."""
        with self._lock:
            if self._bounds is None:
                self._first.append((live, candidate))
                live, candidate = (np.concatenate(parts) for parts in zip(*self._first, strict=True))
                if len(live) < FIRST:
                    return
                self._bounds, self._first = np.unique(np.quantile(live, np.linspace(0, 1, QUANTILES))), []
                self._live_answers = self._answers = np.zeros(len(self._bounds) + 1, dtype=int)
            self._live_answers = self._live_answers + _counted(live, self._bounds)
            self._answers = self._answers + _counted(candidate, self._bounds)

    def observed(self) -> Observed:
        """Return what was counted so far."""
        with self._lock:
            return Observed(
                calls=self._calls,
                errors=self._errors,
                dropped=self._dropped,
                missing=dict(self._missing),
                live_seconds=dict(self._live_seconds),
                seconds=dict(self._seconds),
                live_answers=tuple(self._live_answers.tolist()),
                answers=tuple(self._answers.tolist()),
                memory=max(0.0, (memory() - self.grown_from) / 2**20),
            )


def memory() -> int:
    """Return the bytes that this process holds in memory."""
    return int(psutil.Process().memory_info().rss)


def lacks(candidate: Predictor, live: Predictor, inputs: Columns) -> int:
    """Return by how many percent more of a candidate's inputs are missing than of the live version's."""
    return round(100 * (inputs.missing(candidate.model.takes) - inputs.missing(live.model.takes)))


def _counted(values: Predictions, bounds: Predictions) -> npt.NDArray[np.int_]:
    return np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1)
