"""Evidently: how far the data that arrives has moved from the data a model learned from.

Import this lazily: ``evidently`` takes about 9 s to load, since its package imports every metric, its UI and nltk,
and no submodule can be imported without the package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from airflow_mlops_provider.backends.drift.base import PAGE, Drift
from airflow_mlops_provider.backends.telemetry import disable_telemetry
from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.lifecycle.frozen import only_known

disable_telemetry()

import evidently.presets as evidently_presets  # noqa: E402 - telemetry is decided while it is imported
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.core.metric_types import MetricResult  # noqa: E402
from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest  # noqa: E402
from evidently.legacy.core import ColumnType  # noqa: E402
from evidently.legacy.tests.base_test import TestStatus  # noqa: E402
from evidently.metrics import ValueDrift  # noqa: E402
from evidently.metrics.column_statistics import ValueDriftCalculation  # noqa: E402

DETAILS = "drift.json"

# A column without any value on a side has no distribution to measure; Evidently refuses it.
_PRESENCE = "presence of values"
# Evidently leaves missing values out, so how many there are is measured beside it: as a share, from a tenth up.
_MISSING = StatTest("missing_share", "difference of missing shares", [ColumnType.Categorical], 0.1)
_FINEST = 100  # steps between floats that a column's values span at least, for Evidently's bins to have a width
_LONGEST = 200  # characters of a test's line
_BY_CHANCE = 1.96  # standard errors that chance alone exceeds in one case of twenty
# Those of Evidently's presets that need no more than two tables.
PRESETS = ("DataSummaryPreset",)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    :param predictions: the numeric columns of predictions, in both; none where there are none.
    :param limits: the distance from which a column has drifted, of those to which Evidently's own choice does not
        apply: Wasserstein's of numbers, normed by the reference's standard deviation, Jensen and Shannon's of others.
    :param presets: those of Evidently's presets whose tests are run as well.
    """

    predictions: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    presets: tuple[str, ...] = ()


class _DrawnWhereItMoved(ValueDriftCalculation):  # type: ignore[misc]  # Evidently takes the last one defined
    """Draws two thirds less: the figures of what drifted, or was measured by a limit of its own, such as predictions.

    Nowhere are values drawn over the row numbers of a sample, which say nothing.
    """

    def _render(self, result: Any, options: Any, color_options: Any) -> Any:
        result.scatter = None
        if not result.drift_detected and self.metric.method is None:
            result.current.distribution = None
        return super()._render(result, options, color_options)


def drift(reference: pd.DataFrame, current: pd.DataFrame, plan: Plan, *, folder: Path, sample: int, seed: int) -> Drift:
    """Compare current data with reference data, column by column, and write ``drift.html`` and ``drift.json``.

    Every column of the reference but the prediction counts. Numbers are compared as numbers, everything else as
    categories, and so are keys that are too large to differ as floats. The values are compared without those that are
    missing or infinite, and the shares of these apart from that: a column whose share moved by a tenth or more has
    drifted, among few rows by more than chance would move it (two-proportion z-test); one without any value on one side
    only has drifted, too.

    Evidently picks the method by type and size: a distance (drifted from the threshold up) above 1,000 rows, a p-value
    (drifted below it) up to there. Where the values did not drift but their presence did, score, method and threshold
    are those of the missing shares.

    :param reference: what the model learned from, with its predictions.
    :param current: what has arrived, with its predictions.
    :param folder: an existing folder for the two files.
    :param sample: at most this many rows of each side are compared, drawn by ``seed``.
    :raises UnknownNameError: for a preset that is not known here.
    :raises DataValidationError: if a side is empty, the current side lacks a column, or has no numeric predictions.
    """
    only_known("preset of tests", plan.presets, PRESETS)
    predictions = plan.predictions
    _comparable(reference, current, predictions)
    reference, current = (_sampled(side[[*reference.columns]], sample, seed) for side in (reference, current))
    inputs = [name for name in reference.columns if name not in predictions]
    missing = {name: _missing(reference[name], current[name]) for name in inputs}
    measured = [name for name in inputs if 1.0 not in missing[name]["missing"]]
    moved = {name: shares["threshold"] for name, shares in missing.items() if shares["drifted"]}
    run = _report(reference, current, measured, plan, moved)
    results = {config["column"]: result for config, result in _drifts(run)}
    columns = {name: _verdict(results.get(name), shares) for name, shares in missing.items()}
    score = max((float(results[name].value) for name in predictions), default=None)
    share = sum(column["drifted"] for column in columns.values()) / len(columns) if columns else 0.0
    run.save_html(str(folder / PAGE))
    details = {"share": share, "prediction": score, "columns": columns, "evidently": json.loads(run.json())}
    (folder / DETAILS).write_text(json.dumps(details, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
    gone = {name: missing[name]["missing"] for name in moved}
    return Drift(share=share, columns=columns, prediction=score, missing=gone, failed=tuple(_failed(run)))


def _drifts(run: Any) -> Iterator[tuple[dict[str, Any], MetricResult]]:
    """Yield the results of the drift of columns, not of what presets measure, each with its configuration."""
    results = ((result.to_dict()["config"], result) for result in run.metric_results.values())
    return ((config, result) for config, result in results if config["type"].endswith(":ValueDrift"))


def _failed(run: Any) -> Iterator[str]:
    """Yield a line for each failed test of presets: what drifted is told by the limits."""
    for test in run.tests_results:
        is_drift = test.metric_config.params.get("type", "").endswith(":ValueDrift")
        if test.status != TestStatus.SUCCESS and not is_drift:
            yield " ".join(test.description.split())[:_LONGEST]


def _comparable(reference: pd.DataFrame, current: pd.DataFrame, predictions: Iterable[str]) -> None:
    for side, frame in (("reference", reference), ("current", current)):
        if absent := [name for name in predictions if name not in frame.columns]:
            raise DataValidationError(f"the {side} data has no prediction column {absent[0]!r}")
        if frame.empty:
            raise DataValidationError(f"the {side} data is empty: there is nothing to compare")
        for name in predictions:
            if not _is_number(frame[name]):
                raise DataValidationError(f"the {side} predictions are {frame[name].dtype}, not numbers")
            if frame[name].isna().all():
                raise DataValidationError(f"the {side} data has no prediction: all {len(frame)} are missing")
    missing = [str(name) for name in reference.columns if name not in current.columns]
    if missing:
        raise DataValidationError(f"the current data lacks {', '.join(missing)}, which the reference data has")


def _sampled(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return at most so many rows; their infinities are missing, as Evidently leaves them out too."""
    frame = (frame.sample(n=rows, random_state=seed) if len(frame) > rows else frame).copy()
    numeric = [name for name in frame if _is_number(frame[name])]
    frame[numeric] = frame[numeric].replace([math.inf, -math.inf], math.nan)
    return frame


def _missing(reference: pd.Series, current: pd.Series) -> dict[str, Any]:
    """Return how far the share of missing values moved; a few rows must move further, as chance moves them too."""
    before, now = float(reference.isna().mean()), float(current.isna().mean())
    rows = (len(reference), len(current))
    both = (before * rows[0] + now * rows[1]) / sum(rows)
    by_chance = _BY_CHANCE * math.sqrt(both * (1 - both) * (1 / rows[0] + 1 / rows[1]))
    score, threshold = abs(now - before), max(_MISSING.default_threshold, by_chance)
    drift = {"score": score, "drifted": score >= threshold, "method": _MISSING.display_name, "threshold": threshold}
    return {**drift, "missing": [before, now]}


def _verdict(result: MetricResult | None, missing: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of an input: how its values moved, else how many are missing."""
    if result is None:  # a side has no value at all
        drifted = missing["missing"].count(1.0) == 1
        values = {"score": float(drifted), "drifted": drifted, "method": _PRESENCE, "threshold": 1.0}
    else:
        config = result.to_dict()["config"]
        values = {
            "score": float(result.value),
            "drifted": any(test.status == TestStatus.FAIL for test in result.tests),
            "method": str(config["method"]),
            "threshold": float(config["threshold"]),
        }
    return missing if missing["drifted"] and not values["drifted"] else {**values, "missing": missing["missing"]}


def _shares_differ(reference: pd.Series, current: pd.Series, _: ColumnType, threshold: float) -> tuple[float, bool]:
    score = abs(float((current == "missing").mean()) - float((reference == "missing").mean()))
    return score, score >= threshold


register_stattest(_MISSING, _shares_differ)


def _report(
    reference: pd.DataFrame, current: pd.DataFrame, inputs: list[str], plan: Plan, missing: dict[str, float]
) -> Any:
    """Return Evidently's report on the values of some inputs, and on the missing share, up to its limit, of others."""
    with_bins = [name for name in inputs if all(_has_bins(side[name]) for side in (reference, current))]
    numeric = [*with_bins, *plan.predictions]
    other = [name for name in inputs if name not in numeric]
    shown = {name: _unused(f"{name}: is it missing?", reference.columns) for name in missing}
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=[*other, *shown.values()])
    # The prediction first: it is what a reader looks for.
    metrics = [
        *(ValueDrift(column=name, method="wasserstein") for name in plan.predictions),
        *(_drift_of(name, name in numeric, plan.limits.get(name)) for name in inputs),
        *(ValueDrift(column=shown[name], method=_MISSING.name, threshold=limit) for name, limit in missing.items()),
        *(getattr(evidently_presets, preset)() for preset in plan.presets),
    ]
    sides = [_dataset(side, numeric, other, shown, definition) for side in (current, reference)]
    return Report(metrics, include_tests=True).run(*sides)


def _drift_of(name: str, is_number: bool, limit: float | None) -> ValueDrift:
    """Return how a column's drift is measured: as Evidently chooses, with a limit of its own as a distance."""
    if limit is None:
        return ValueDrift(column=name)
    return ValueDrift(column=name, method="wasserstein" if is_number else "jensenshannon", threshold=limit)


def _unused(name: str, taken: Iterable[str]) -> str:
    return _unused(f"{name} ", taken) if name in set(taken) else name


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _has_bins(column: pd.Series) -> bool:
    """Say whether a histogram can be made of a column: of numbers further apart than floats of their size are.

    Large keys that differ by little, or not at all, have none; they are compared as categories.
    """
    if not _is_number(column):
        return False
    values = column.astype(float).dropna()
    width = float(values.max() - values.min()) or 1.0
    return values.empty or _FINEST * math.ulp(float(values.abs().max())) < width < math.inf


def _dataset(frame: pd.DataFrame, numeric: list[str], other: list[str], shown: dict[str, str], definition: Any) -> Any:
    """Return Evidently's dataset; plain floats and strings, as its tests do not take pandas' own types."""
    plain = {name: frame[name].astype(float) for name in numeric}
    plain |= {name: frame[name].astype(object).map(_text) for name in other}
    plain |= {flag: frame[name].isna().map({True: "missing", False: "there"}) for name, flag in shown.items()}
    return Dataset.from_pandas(pd.DataFrame(plain, index=frame.index), data_definition=definition)


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)
