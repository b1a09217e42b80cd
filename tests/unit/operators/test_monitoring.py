"""What a comparison of two tables is given is looked at while the DAG is parsed, and goes by value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops_provider import DriftLimits
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.operators.monitoring import EvidentlyReportOperator
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import FolderStore


def operator(**given: Any) -> EvidentlyReportOperator:
    """Return the task."""
    return EvidentlyReportOperator(task_id="drift", reference="a.parquet", current="b.parquet", **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limits": 0.3}, r"limits=0\.3 are none; give DriftLimits"),
        ({"columns": "fare"}, "columns='fare' is one text; give a list of names"),
        ({"method": "evidentli"}, "unknown drift method 'evidentli'; known: .*evidently"),
        ({"tables": {"before": "train"}}, "unknown table 'before'; known: current, reference"),
    ],
)
def test_bad_input_is_named_at_once(given: dict[str, Any], said: str) -> None:
    """While the DAG is parsed."""
    with pytest.raises(Exception, match=said):
        operator(**given)


@pytest.mark.parametrize("limits", [{"share": 2}, {"columns": {"fare": 0}}, {"shares": 0.1}])
def test_limits_that_are_none(limits: dict[str, Any]) -> None:
    """A share is between 0 and 1, a distance above 0, and what is misspelled is no limit."""
    with pytest.raises(ValueError, match=r"DriftLimits"):
        DriftLimits(**limits)


def test_settings_say_all(tmp_path: Any) -> None:
    """What is not given is the job's own default; no interval of a run is among what decides."""
    settings = find_job("compare").settings
    context: Any = {"ti": SimpleNamespace(dag_id="mine")}
    given = operator(columns=("fare",), limits=DriftLimits(share=0.3), tables={"reference": "train"})
    parts = given.parts(FolderStore(tmp_path), context)
    expected = settings(columns=("fare",), limits=DriftLimits(share=0.3), tables={"reference": "train"})
    assert (settings.model_validate(parts["settings"]), parts["params"]) == (expected, {})
    assert settings.model_validate(operator().parts(FolderStore(tmp_path), context)["settings"]) == settings()
    assert given.interval(context) is None


def test_a_crossed_limit_fails_only_on_request() -> None:
    """The report is handed on; with fail=True it is there, too, and the task fails for good with what was crossed."""
    pushed: dict[str, Any] = {}
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))}
    report = Report(uri="file:///a", hash="0", about="drift", passed=False, broken=("fare moved",), page="drift.html")
    manifest: Any = SimpleNamespace(result=report)
    assert operator().finish(manifest, context) == report.to_json()
    with pytest.raises(Exception, match=r"1 limit\(s\) crossed; see file:///a/drift\.html\nfare moved"):
        operator(fail=True).finish(manifest, context)
    assert pushed == {"return_value": report.to_json()}
    other: Any = SimpleNamespace(result=report.model_copy(update={"about": "expectations"}))
    with pytest.raises(Exception, match="is a report about expectations"):
        operator(fail=True).finish(other, context)
