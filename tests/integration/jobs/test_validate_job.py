"""The validation of a snapshot, as a job and as a task: what was left out reaches it, and severity says what stops."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.runtime.runner import run
from tests.factories.tiny import DELIVERY, TinyWorld

EXPECTATIONS = """
import great_expectations.expectations as gxe

def expectations(name):
    return [gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=2, severity="{severity}")]
"""
NOTHING = "def expectations(name):\n    return []\n"


def validated(tmp_path: Path, expectations: str, more: str = "") -> tuple[TinyWorld, Manifest]:
    """Return the validation of a day of twenty good rows, ``more`` and the usual two."""
    world = TinyWorld(tmp_path)
    world.write("expectations.py", expectations)
    world.deliver(DELIVERY + "south,2.5,2024-01-01T09:00:00Z\n" * 20 + more)
    try:
        return world, run(world.spec("validate", inputs={"dataset": world.extracted()}, params={"what": "raw"}))
    finally:
        world.close()


def finished(world: TinyWorld, manifest: Manifest) -> dict[str, Any]:
    """Return what the task hands on."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    task = GreatExpectationsValidateDatasetOperator(task_id="validate", product=world.product, dataset={}, what="raw")
    return task.finish(manifest, {"ti": ti})  # type: ignore[arg-type,typeddict-item]


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_a_warning_is_told_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, severity: str) -> None:
    """An expectation that fails with a lower severity stands in facts, log and page, and the task goes on."""
    world, manifest = validated(tmp_path, EXPECTATIONS.format(severity=severity))
    report = manifest.result
    assert isinstance(report, Report)
    assert (report.passed, report.broken, len(report.facts["warnings"])) == (True, (), 1)
    line = report.facts["warnings"][0]
    assert "sales.amount: values must be greater than or equal to 2; 1 of 22 are not (e.g. 1.5)" in line
    assert line.removeprefix("sales: ") in caplog.text
    assert f"! {severity}" in (Path(report.uri.removeprefix("file://")) / str(report.page)).read_text("utf-8")
    assert finished(world, manifest) == report.to_json()


def test_a_critical_one_stops(tmp_path: Path) -> None:
    """The same expectation, critical: the report is there, and the task fails with the line."""
    world, manifest = validated(tmp_path, EXPECTATIONS.format(severity="critical"))
    assert isinstance(manifest.result, Report)
    assert (manifest.result.passed, manifest.result.facts["warnings"]) == (False, [])
    with pytest.raises(AirflowFailException, match=r"1 expectation\(s\) broken.*\n.*1 of 22 are not"):
        finished(world, manifest)


@pytest.mark.parametrize("expectations", [EXPECTATIONS.format(severity="critical").replace("=2", "=0"), NOTHING])
def test_rows_left_out_reach_the_validation(tmp_path: Path, expectations: str) -> None:
    """How many rows a delivery had for another day stands in facts and page, with expectations and without."""
    _, manifest = validated(tmp_path, expectations, "east,1.0,2023-12-31T09:00:00Z\neast,1.0,\n")
    report = manifest.result
    assert isinstance(report, Report)
    assert report.passed
    assert [line.partition("; ")[2] for line in report.facts["warnings"]] == [
        "left out: 1 before the interval, 1 without a time"
    ]
    page = (Path(report.uri.removeprefix("file://")) / str(report.page)).read_text("utf-8")
    assert "left out: 1 before the interval, 1 without a time" in page
