"""What a validation is given: one of several ways, seen while the DAG is parsed; what it says goes by value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import FolderStore
from tests.factories import rain

CONTEXT: Any = {"ti": SimpleNamespace(dag_id="Mine", run_id="one", task_id="check", map_index=-1, try_number=1)}
EXISTS = {"type": "expect_column_to_exist", "kwargs": {"column": "a"}}


def operator(**given: Any) -> GreatExpectationsValidateDatasetOperator:
    """Return the task."""
    return GreatExpectationsValidateDatasetOperator(task_id="check", dataset="trips.parquet", **given)


def rules(table: str) -> list[Any]:
    """Expect nothing of a table."""
    return [table]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing says what is expected; give one of expectations, suite, checkpoint, or a product"),
        ({"product": "shop"}, "nothing says what is expected"),
        ({"expectations": [EXISTS], "suite": "eta"}, "given as expectations and as suite; give one of them"),
        ({"suite": "eta"}, "suite='eta' lies in a context; give context="),
        ({"checkpoint": "eta"}, "checkpoint='eta' lies in a context; give context="),
        ({"expectations": "eta"}, "expectations='eta' is no 'package.module:function'; for a suite, suite="),
        ({"expectations": EXISTS}, "is no list of them, and no function"),
        ({"expectations": [3]}, "3 is no expectation"),
        ({"expectations": lambda table: []}, "is no function with a name"),
        ({"expectations": [EXISTS], "result_format": "ALL"}, "known: BOOLEAN_ONLY, BASIC, SUMMARY, COMPLETE"),
        ({"expectations": [EXISTS], "what": "raw"}, "what='raw' is of a product's data; give product="),
        ({"expectations": [EXISTS], "what": "all"}, "what='all' is not known"),
    ],
)
def test_bad_input_is_named_at_once(given: dict[str, Any], said: str) -> None:
    """While the DAG is parsed."""
    with pytest.raises(ConfigurationError) as raised:
        operator(**given)
    assert said in str(raised.value)


@pytest.mark.parametrize("function", [rules, f"{__name__}:rules"])
def test_a_function_is_a_setting(function: Any, tmp_path: Any) -> None:
    """Its code decides where the result lies; nothing else of the run does."""
    task = operator(expectations=function)
    parts = task.parts(FolderStore(tmp_path), CONTEXT)
    settings = find_job("validate").settings.model_validate(parts["settings"])
    code = settings.expectations if isinstance(settings.expectations, str) else settings.expectations.code
    assert (code, parts["params"]) == (f"{__name__}:rules", {})
    assert task.kept_under(CONTEXT) == "dag_mine"


def test_a_product_says_what_is_expected(tmp_path: Any) -> None:
    """Where the operator is given nothing in its place."""
    settings = operator(product=rain.product(), what="raw").parts(FolderStore(tmp_path), CONTEXT)["settings"]
    assert settings["expectations"] == rain.product().data.expectations


def test_what_is_listed_is_a_parameter(tmp_path: Any) -> None:
    """Also what another task has rendered into it; an empty list is no function's business."""
    task = operator(expectations=[EXISTS], parameters={"a": 1}, table="trips", result_format="BASIC")
    params = task.parts(FolderStore(tmp_path), CONTEXT)["params"]
    assert params == {
        "table": "trips",
        "expectations": [{**EXISTS, "severity": "critical"}],
        "options": {"parameters": {"a": 1}, "result_format": "BASIC"},
    }
    assert operator(expectations=[]).params_of(CONTEXT) == {"expectations": []}


def test_a_verdict_depends_on_no_run_s_interval() -> None:
    """Only on the dataset's own; so the next run finds the work on the same table."""
    task = operator(expectations=[EXISTS])
    assert task.interval(CONTEXT) is None
