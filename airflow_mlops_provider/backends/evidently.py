"""Evidently: how far the data that arrives has moved from the data a model learned from.

Import this lazily: ``evidently`` takes about 9 s to load, since its package imports every metric, its UI and nltk,
and no submodule can be imported without the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from airflow_mlops_provider.backends.quiet import silence
from airflow_mlops_provider.exceptions import DataValidationError

silence()

from evidently import DataDefinition, Dataset, Report  # noqa: E402 - telemetry is decided while it is imported
from evidently.core.metric_types import MetricResult  # noqa: E402
from evidently.legacy.tests.base_test import TestStatus  # noqa: E402
from evidently.metrics import ValueDrift  # noqa: E402

PAGE = "drift.html"
DETAILS = "drift.json"

# A column without any value on a side has no distribution to measure; Evidently refuses it.
_PRESENCE = "presence of values"


@dataclass(frozen=True)
class Drift:
    """What has moved, and how far.

    :param share: share of drifted columns among the model's inputs, 0 to 1.
    :param columns: input name to ``score``, ``drifted``, ``method``, ``threshold``. Evidently picks the method by type
        and size: a distance (drifted from the threshold up) above 1,000 rows, a p-value (drifted below it) up to there.
    :param prediction: Wasserstein distance of the predictions, normed by the reference's standard deviation.
    :param page: file name of the page that a person reads.
    """

    share: float
    columns: dict[str, dict[str, Any]]
    prediction: float
    page: str


def drift(
    reference: pd.DataFrame, current: pd.DataFrame, *, prediction: str, folder: Path, sample: int, seed: int
) -> Drift:
    """Compare current data with reference data, column by column, and write ``drift.html`` and ``drift.json``.

    Every column of the reference but ``prediction`` is a model input. Numbers are compared as numbers, everything else
    as categories. Missing values are left out, except that a column without any value on one side only has drifted.

    :param reference: what the model learned from, with its predictions.
    :param current: what has arrived, with its predictions.
    :param prediction: the numeric column of predictions, in both.
    :param folder: an existing folder for the two files.
    :param sample: at most this many rows of each side are compared, drawn by ``seed``.
    :raises DataValidationError: if a side is empty, the current side lacks a column, or has no numeric predictions.
    """
    _comparable(reference, current, prediction)
    reference, current = (_sample(side, sample, seed)[list(reference.columns)] for side in (reference, current))
    inputs = [name for name in reference.columns if name != prediction]
    empty = {
        name: _presence(reference[name], current[name]) for name in inputs if _empty_side(reference, current, name)
    }
    measured = [name for name in inputs if name not in empty]
    run = _report(reference, current, measured, prediction)
    results = {result.to_dict()["config"]["column"]: result for result in run.metric_results.values()}
    columns = {name: empty[name] if name in empty else _outcome(results[name]) for name in inputs}
    score = float(results[prediction].value)
    share = sum(column["drifted"] for column in columns.values()) / len(columns) if columns else 0.0
    found = Drift(share=share, columns=columns, prediction=score, page=PAGE)
    _write(found, run, folder)
    return found


def _comparable(reference: pd.DataFrame, current: pd.DataFrame, prediction: str) -> None:
    for side, frame in (("reference", reference), ("current", current)):
        if prediction not in frame.columns:
            raise DataValidationError(f"the {side} data has no prediction column {prediction!r}")
        if frame.empty:
            raise DataValidationError(f"the {side} data is empty: there is nothing to compare")
        if not _is_number(frame[prediction]):
            raise DataValidationError(f"the {side} predictions are {frame[prediction].dtype}, not numbers")
        if frame[prediction].isna().all():
            raise DataValidationError(f"the {side} data has no prediction: all {len(frame)} are missing")
    missing = [str(name) for name in reference.columns if name not in current.columns]
    if missing:
        raise DataValidationError(f"the current data lacks {', '.join(missing)}, which the reference data has")


def _sample(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    return frame if len(frame) <= rows else frame.sample(n=rows, random_state=seed)


def _empty_side(reference: pd.DataFrame, current: pd.DataFrame, name: str) -> bool:
    return bool(reference[name].isna().all() or current[name].isna().all())


def _presence(reference: pd.Series, current: pd.Series) -> dict[str, Any]:
    drifted = bool(reference.isna().all() != current.isna().all())
    return {"score": float(drifted), "drifted": drifted, "method": _PRESENCE, "threshold": 1.0}


def _report(reference: pd.DataFrame, current: pd.DataFrame, inputs: Iterable[str], prediction: str) -> Any:
    numeric = [name for name in (*inputs, prediction) if _is_number(reference[name]) and _is_number(current[name])]
    other = [name for name in inputs if name not in numeric]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=other)
    # The prediction first: it is what a reader looks for.
    metrics = [ValueDrift(column=prediction, method="wasserstein"), *(ValueDrift(column=name) for name in inputs)]
    sides = [_dataset(side, numeric, other, definition) for side in (current, reference)]
    return Report(metrics, include_tests=True).run(*sides)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _dataset(frame: pd.DataFrame, numeric: list[str], other: list[str], definition: Any) -> Any:
    """Return Evidently's dataset; plain floats and strings, as its tests do not take pandas' own types."""
    plain = {name: frame[name].astype(float) for name in numeric}
    plain |= {name: frame[name].astype(object).map(_text) for name in other}
    return Dataset.from_pandas(pd.DataFrame(plain, index=frame.index), data_definition=definition)


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _outcome(result: MetricResult) -> dict[str, Any]:
    config = result.to_dict()["config"]
    return {
        "score": float(result.value),
        "drifted": any(test.status == TestStatus.FAIL for test in result.tests),
        "method": str(config["method"]),
        "threshold": float(config["threshold"]),
    }


def _write(found: Drift, run: Any, folder: Path) -> None:
    run.save_html(str(folder / PAGE))
    details = {
        "share": found.share,
        "prediction": found.prediction,
        "columns": found.columns,
        "evidently": json.loads(run.json()),
    }
    (folder / DETAILS).write_text(json.dumps(details, indent=1, sort_keys=True), encoding="utf-8")
