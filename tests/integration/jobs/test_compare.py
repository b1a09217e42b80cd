"""Two tables compared by the real Evidently, as a job: whatever is in them, it is measured or said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.monitoring.limits import DriftLimits
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.runtime.custom_data import write
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import content_hash


def trips(rows: int = 1500, shift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Return trips as a team may have them; ``shift`` moves distance and city."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "distance": random.normal(5 + shift, 1, rows),
            "fare": random.normal(10, 2, rows),
            "city": random.choice(["a", "b"], rows, p=[0.5 - shift / 10, 0.5 + shift / 10]),
            "night": random.random(rows) < 0.5,
            "constant": 1,
            "never": pd.Series([None] * rows, dtype="float64"),
            "key": [f"trip {number}" for number in range(rows)],
            "at": pd.date_range("2026-01-01", periods=rows, freq="min", tz="Europe/Berlin"),
            "tags": [["x"]] * rows,
        }
    )


def kept(folder: Path, frame: pd.DataFrame, name: str = "table") -> Dataset:
    """Keep a table as operators keep one from outside."""
    folder.mkdir(parents=True)
    write(frame, name, folder)
    return Dataset(uri=folder.as_uri(), hash=content_hash(folder))


def compared(tmp_path: Path, reference: pd.DataFrame, current: pd.DataFrame, **settings: Any) -> Manifest:
    """Compare two tables."""
    root = tmp_path / "artifacts"
    spec = JobSpec(
        job="compare",
        product="team",
        inputs={
            "reference": kept(root / "team" / "external" / "reference", reference, "train"),
            "current": kept(root / "team" / "external" / "current", current),
        },
        settings=settings,
        root=str(root),
        services=Services(landing=str(tmp_path), mlflow=f"sqlite:///{tmp_path}/mlflow.db"),
    )
    return run(spec)


def report_of(manifest: Manifest) -> Report:
    """Return the report."""
    assert isinstance(manifest.result, Report), manifest.failure
    return manifest.result


def page_of(report: Report) -> str:
    """Return the report's page."""
    return (Path(report.uri.removeprefix("file://")) / str(report.page)).read_text("utf-8")


def test_everything_is_measured_or_counted(tmp_path: Path) -> None:
    """Numbers, categories, truth values, constants are measured; the rest is named with its reason."""
    current = trips(shift=2.0, seed=1).drop(columns="fare").assign(**{"<b>new": 1})
    manifest = compared(tmp_path, trips(), current)
    report, facts = report_of(manifest), report_of(manifest).facts
    assert (report.passed, report.broken) == (False, ("50% of 4 columns drifted, limit 50%",))
    assert (facts["share"], facts["compared"], facts["drifted"]) == (0.5, 4, ["distance", "city"])
    assert facts["rows"] == {"reference": 1500, "current": 1500}
    assert set(facts["columns"]) == {"distance", "city", "night", "constant"}
    assert facts["left_out_count"] == 6
    assert {name: why.split()[0] for name, why in facts["left_out"].items()} == {
        "fare": "only",
        "never": "no",
        "key": "text",
        "at": "times,",
        "tags": "list<element:",
        "<b>new": "only",
    }
    page = page_of(report)
    assert "4 columns compared" in page
    assert "&lt;b&gt;new is not compared: only in the current table" in page
    assert "<b>new" not in page
    assert manifest.metrics == {"drift_share": 0.5}
    assert "evidently" in manifest.packages


def test_the_same_is_within_the_limits(tmp_path: Path) -> None:
    """Other rows of the same kind pass, and the page says so."""
    report = report_of(compared(tmp_path, trips(), trips(seed=1)))
    assert (report.passed, report.facts["drifted"], report.facts["share"]) == (True, [], 0.0)
    assert "within its limits" in page_of(report)


def test_a_limit_of_a_column_s_own(tmp_path: Path) -> None:
    """It is a distance whatever the number of rows, and enough by itself; times that it names are compared."""
    limits = DriftLimits(share=None, columns={"distance": 0.5, "at": 1000.0})
    few = trips(100), trips(100, shift=2.0, seed=1)
    report = report_of(compared(tmp_path, *few, limits=limits.to_json()))
    (line,) = report.broken
    assert line.startswith("distance moved by ")
    assert line.endswith("(wasserstein), limit 0.5")
    assert "at" in report.facts["columns"]


@pytest.mark.parametrize("empty", ["reference", "current"])
def test_an_empty_table_is_said(tmp_path: Path, empty: str) -> None:
    """It did not pass, as nothing was compared; there is a page all the same."""
    sides = {"reference": trips(), "current": trips()}
    sides[empty] = sides[empty].iloc[:0]
    report = report_of(compared(tmp_path, **sides))
    assert (report.passed, report.broken) == (False, (f"the {empty} table is empty: nothing is compared",))
    assert (report.facts["share"], report.facts["rows"][empty]) == (None, 0)
    assert f"the {empty} table is empty" in page_of(report)


def test_nothing_in_common_is_said(tmp_path: Path) -> None:
    """It did not pass either."""
    report = report_of(compared(tmp_path, pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})))
    assert (report.passed, report.broken) == (False, ("no column can be compared",))
    assert report.facts["left_out_count"] == 2


def test_what_is_infinite_throughout(tmp_path: Path) -> None:
    """A column of nothing but infinities is as good as missing, and no reason to fail, even alone."""
    report = report_of(compared(tmp_path, pd.DataFrame({"a": [np.inf] * 9}), pd.DataFrame({"a": [-np.inf] * 9})))
    assert (report.passed, report.facts["compared"], report.facts["drifted"]) == (True, 1, [])


def test_columns_that_are_named(tmp_path: Path) -> None:
    """These alone are compared; one that can't be is no silent pass, one that is nowhere lists the others."""
    current = trips(seed=1).drop(columns="fare")
    report = report_of(compared(tmp_path / "a", trips(), current, columns=["city", "fare"]))
    assert report.broken == ("fare can't be compared: only in the reference table",)
    assert (report.facts["compared"], report.facts["left_out_count"]) == (1, 1)
    failed = compared(tmp_path / "b", trips(), current, columns=["citty"])
    assert failed.failure
    assert "unknown column 'citty'; known: at, city, constant, distance, fare" in failed.failure.message


def test_values_that_went(tmp_path: Path) -> None:
    """A column without any value on one side has drifted, whatever its type."""
    current = trips(seed=1).assign(city=None, distance=np.nan)
    report = report_of(compared(tmp_path, trips(), current))
    assert report.facts["drifted"] == ["distance", "city"]
    assert report.facts["columns"]["city"]["missing"] == [0.0, 1.0]


def test_evidently_s_own_tests(tmp_path: Path) -> None:
    """What fails of them is told with what was seen; an unknown preset lists the known."""
    sides = trips(), trips(rows=700, seed=1).assign(fare=50.0)
    report = report_of(compared(tmp_path / "a", *sides, tests=["DataSummaryPreset"]))
    assert not report.passed
    assert any(line.startswith("Row count in dataset: Actual value 700.000") for line in report.broken)
    assert any(line.startswith("Mean value of 'fare': Actual value 50.000") for line in report.broken)
    assert not any("Drift" in line for line in report.broken)
    failed = compared(tmp_path / "b", *sides, tests=["TextEvals"])
    assert failed.failure
    assert "unknown preset of tests 'TextEvals'; known: DataSummaryPreset" in failed.failure.message
