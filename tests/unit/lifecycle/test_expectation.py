"""An expectation as plain JSON: what decides a verdict, and nothing beside it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.expectation import Expectation

STORED = {
    "type": "expect_column_to_exist",
    "kwargs": {"column": "a"},
    "severity": "warning",
    "id": "66bb1cf2-1bd4-4f7a-a2a1-ee069a59aab6",
    "meta": {"who": "me"},
    "notes": "why",
}


def test_only_what_decides_is_kept() -> None:
    """Identity and notes, in which two contexts differ that expect the same, are left out."""
    expected = {"type": "expect_column_to_exist", "kwargs": {"column": "a"}, "severity": "warning"}
    assert Expectation.of(STORED).to_json() == expected
    described = {**STORED, "description": "there is an a"}
    assert Expectation.of(described).to_json() == {**expected, "description": "there is an a"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "a", "kwarg": {}}, "Expectation has no field 'kwarg'; known: description, kwargs, severity, type"),
        ({"kwargs": {}}, "type Field required"),
        ({"type": "a", "severity": "bad"}, "severity Input should be 'critical', 'warning' or 'info'"),
        ({"type": "a", "kwargs": {"value": float("nan")}}, "kwargs.value is nan, a number that JSON can't keep"),
        ("expect_column_to_exist", "is no expectation; give Great Expectations' objects, or their JSON"),
        (SimpleNamespace(configuration=None), "is no expectation"),
    ],
)
def test_what_is_none_is_named(given: Any, said: str) -> None:
    """While the DAG is parsed, not when it runs."""
    with pytest.raises(ConfigurationError) as raised:
        Expectation.of(given)
    assert said in str(raised.value)


def test_an_object_of_one_s_own_class_goes_by_a_function() -> None:
    """Another process does not know the class by the name that its configuration has."""
    own = type("ExpectMine", (), {"configuration": SimpleNamespace(to_json_dict=dict)})()
    with pytest.raises(ConfigurationError, match=r"ExpectMine is an expectation of your own.*package\.module:function"):
        Expectation.of(own)
