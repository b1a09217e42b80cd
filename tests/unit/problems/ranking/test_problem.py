"""Rankings: what has to be declared, what a label can be, whose rows are a query's, and what comes first by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import Ranking, problems
from airflow_mlops_provider.exceptions import PartError, SourceDataError
from airflow_mlops_provider.lifecycle.shape import Target
from airflow_mlops_provider.scoring.inputs import for_trainer

RANKING = Ranking(group="query", item="item")
ROWS = pd.DataFrame(
    {
        "query": ["a", "b", "a", "c", "b", "a"],
        "item": ["s", "t", "t", "s", "u", "u"],
        "relevance": [0.0, 2.0, 1.0, 0.0, 0.0, 0.0],
        "worth": [1.0, 2.0, 1.0, 3.0, 2.0, 1.0],
    }
)


def test_without_queries_nothing_is_ranked() -> None:
    """It is said what to declare."""
    for declared in ("ranking", Ranking()):
        with pytest.raises(PartError, match=r"problem 'ranking' needs group: declare Ranking\(group=…\)"):
            problems.find(declared)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, -1], "label 'clicks' is -1 in row 1, .*a finite number from 0 on, 0 for not at all"),
        ([0, np.inf], "label 'clicks' is inf in row 1"),
        (["yes", "no"], "label 'clicks' is 'yes' in row 0, one of 2 such"),
    ],
)
def test_what_is_no_relevance_is_refused(values: list[Any], said: str) -> None:
    """Column, value and row are named."""
    with pytest.raises(SourceDataError, match=said):
        RANKING.labels(pd.Series(values, name="clicks"))


def test_where_all_is_the_same_there_is_no_order() -> None:
    """Nothing can be learned from it."""
    with pytest.raises(SourceDataError, match="label 'clicks' is the same in all rows of May"):
        RANKING.learnable(pd.Series([1, 1], name="clicks"), "May")


def test_rows_of_a_query_belong_together() -> None:
    """Wherever they lie, they have one number; a row without a query is refused."""
    truth = RANKING.truth(ROWS, "relevance", "worth")
    assert truth.group is not None
    assert truth.group.tolist() == [0, 1, 0, 2, 1, 0]
    with pytest.raises(SourceDataError, match="1 of 6 rows have no 'query'"):
        RANKING.truth(ROWS.assign(query=["a", None, "a", "c", "b", "a"]), "relevance")
    with pytest.raises(SourceDataError, match=r"no column 'query', .*; there are: item, relevance, worth"):
        RANKING.truth(ROWS.drop(columns="query"), "relevance")


def test_it_is_queries_that_have_weights() -> None:
    """Rows of a query that differ in theirs are refused: no resample could keep both."""
    with pytest.raises(SourceDataError, match="rows of one 'query' differ in 'worth'"):
        RANKING.truth(ROWS.assign(worth=range(6)), "relevance", "worth")


def test_what_is_not_judged_is_counted() -> None:
    """Queries without a relevant row, by their names, row by row."""
    ((why, rows),) = RANKING.unjudged(ROWS, "relevance").items()
    assert (why, rows.name, rows.tolist()) == ("no relevant row", "query", ["c"])
    assert RANKING.unjudged(ROWS[ROWS["query"] != "c"], "relevance") == {}


def test_the_baseline_is_popularity() -> None:
    """An item's mean relevance, and of one that was never there that of all; without items all are the same."""
    rows = pd.DataFrame({"item": ["t", "s", "new"], "kind": [*"xyz"]})
    assert RANKING.baseline(ROWS, rows, "relevance", None).tolist() == [1.5, 0.0, 0.5]
    train = ROWS.assign(kind=[*"xxxyyy"])
    assert RANKING.baseline(train, rows, "relevance", "kind").tolist() == [1.0, 0.0, 0.5]
    assert Ranking(group="query").baseline(ROWS, rows, "relevance", None).tolist() == [0.5] * 3


def test_a_trainer_is_given_the_queries() -> None:
    """If it has a parameter of that name."""
    target = Target(problem=RANKING, column="relevance", weight="worth")
    given = for_trainer(target, RANKING, ROWS)
    assert given["group"].equals(ROWS["query"])
    assert given["weight"].equals(ROWS["worth"])


def test_an_answer_is_a_score() -> None:
    """To sort by."""
    assert RANKING.answers(np.array([0.5, 2.0])) == [{"score": 0.5}, {"score": 2.0}]
