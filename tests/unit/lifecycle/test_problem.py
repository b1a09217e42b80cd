"""A kind of problem travels by name, or with its options; a metric may be the user's own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from airflow_mlops_provider import problems
from airflow_mlops_provider.extensions import PROBLEMS
from airflow_mlops_provider.lifecycle.problem import DeclaredProblem, Metric, ProblemDeclaration, metric_of
from airflow_mlops_provider.lifecycle.shape import Target
from airflow_mlops_provider.lifecycle.trainer import named, named_code
from airflow_mlops_provider.problems.binary_classification import BinaryClassification

DECLARED: TypeAdapter[Any] = TypeAdapter(DeclaredProblem)
BINARY = "binary_classification"
GROUPED = {"kind": BINARY, "group": "customer"}


@pytest.mark.parametrize(
    ("given", "travels_as"),
    [
        (BINARY, BINARY),
        (BinaryClassification(), BINARY),
        ({"kind": BINARY}, BINARY),
        (BinaryClassification(group="customer"), GROUPED),
        (GROUPED, GROUPED),
        ("others.problems:Amount", "others.problems:Amount"),  # who shows it need not have the code
    ],
)
def test_it_travels_by_name_where_nothing_else_is_said(given: Any, travels_as: Any) -> None:
    """Also there and back: a specification is JSON."""
    declared = DECLARED.validate_python(given)
    assert DECLARED.dump_python(declared, mode="json") == travels_as
    assert DECLARED.validate_json(DECLARED.dump_json(declared)) == declared


def test_options_reach_who_does_the_work() -> None:
    """The same kind, with what was declared; an option that there is not is named."""
    found = problems.find(DECLARED.validate_python(BinaryClassification(group="customer")))
    assert isinstance(found, BinaryClassification) and found.group == "customer"
    with pytest.raises(ValidationError, match="grup"):
        problems.find(ProblemDeclaration(kind=BINARY, grup="customer"))
    with pytest.raises(ValidationError, match=f"known: .*{BINARY}"):
        DECLARED.validate_python({"kind": "clustering"})


def test_the_code_of_a_problem_with_options_counts() -> None:
    """Whose code decides is found in a declaration, whichever form it has."""
    for problem in (BINARY, GROUPED):
        target = Target(problem=DECLARED.validate_python(problem), column="late")
        assert [name for _, name, _ in named(target, type(PROBLEMS))] == [BINARY]


def test_a_metric_of_the_users_own() -> None:
    """It is judged by as it is, its code counts, and there and back it is the same."""
    kappa = Metric("kappa", code="sklearn.metrics:cohen_kappa_score", takes="decisions", low=-1)
    assert metric_of(BINARY, kappa) == kappa == Metric.model_validate_json(kappa.model_dump_json())
    assert [*named_code(kappa)] == [("code", "sklearn.metrics:cohen_kappa_score")]
    assert metric_of(BINARY).name == "roc_auc"  # the first, if nothing is said
