"""The metrics of anomaly detection, with exact ties and row weights, for many resamples at once; numpy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from airflow_mlops_provider.problems.binary_classification import metrics as binary

Floats = npt.NDArray[np.float64]
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def weighted(metric: str, label: Floats, score: Floats, rate: float) -> Callable[[Floats], Floats]:
    """Return a metric as a function of row weights. :raises DataValidationError: for labels other than 0 and 1."""
    if metric != "precision_at_alert_rate":
        return binary.weighted(metric, label, score)
    binary.check_labels(label)
    rows = binary.ranked(label, score)
    return lambda weights: precision_at(rows, weights[:, rows.order], rate)


def precision_at(rows: binary.Ranked, weights: Floats, rate: float) -> Floats:
    """Return the share of positives among the rows of the highest scores, so large a share of all.

    Of equal scores at its end all count in part, as if they were taken by lot (McSherry and Najork, "Computing
    information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008).
    """
    true, false = (np.pad(counts, ((0, 0), (1, 0))) for counts in binary.cumulated(rows, weights))
    total = true + false
    alerts = rate * total[:, -1]
    hits = [np.interp(at, *pair) for at, *pair in zip(alerts, total, true, strict=True)]
    return np.minimum(np.array(hits) / alerts, 1.0)


def precision_by_rate(label: Floats, score: Floats, weight: Floats | None) -> tuple[tuple[float, float], ...]:
    """Return alert rates, and the precision at each; those of which a whole row is alerted."""
    rows = binary.ranked(label, score)
    weights = (np.ones(len(label)) if weight is None else weight)[None, rows.order]
    kept = [rate for rate in RATES if rate * len(label) >= 1]
    return tuple((rate, float(precision_at(rows, weights, rate)[0])) for rate in kept)
