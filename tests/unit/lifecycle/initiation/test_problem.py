"""Which kind of problem a label is, with the reasons against the others."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.lifecycle.initiation.problem import KINDS, choose
from airflow_mlops_provider.lifecycle.initiation.profile import ColumnProfile


def column(name: str, distinct: int, kind: str = "int64", **facts: object) -> ColumnProfile:
    """Return a column."""
    return ColumnProfile.model_validate(
        {"name": name, "type": kind, "distinct": distinct, "whole": kind == "int64", **facts}
    )


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (column("left", 2, "bool"), "binary_classification"),
        (column("sort", 2, "string"), "binary_classification"),
        (column("sort", 4, "string"), "multiclass_classification"),
        (column("stars", 5), "multiclass_classification"),
        (column("class", 15), "multiclass_classification"),
        (column("count", 15), "regression"),
        (column("share", 7, "float64"), "regression"),
        (column("tags", 40, "string", tokens=6), "multilabel_classification"),
    ],
)
def test_the_label_decides(label: ColumnProfile, kind: str) -> None:
    """All other kinds are rejected, each with a reason."""
    problem = choose(label, (label,), 1000, None)
    assert problem.kind == kind
    assert {*problem.rejected} == {*KINDS} - {kind} and all(problem.rejected.values())


def test_close_calls_are_named() -> None:
    """Few whole numbers may be amounts; of a rare class, anomalies may be looked for."""
    assert "if they are amounts" in choose(column("stars", 5), (), 1000, None).rejected["regression"]
    rare = column("fraud", 2, frequent=(("0", 998), ("1", 2)))
    assert "worth a try" in choose(rare, (), 1000, None).rejected["anomaly_detection"]


def test_a_query_makes_a_ranking_of_grades() -> None:
    """Of an amount it does not."""
    columns = (column("search_id", 50), column("grade", 5), column("price", 400, "float64"))
    ranked = choose(columns[1], columns, 1000, None)
    assert (ranked.kind, ranked.query) == ("ranking", "search_id")
    assert choose(columns[2], columns, 1000, None).kind == "regression"


def test_without_a_label_there_are_anomalies() -> None:
    """It is the one kind that needs none."""
    assert choose(None, (), 1000, None).kind == "anomaly_detection"
