"""The page of an evaluation says what it does not show."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.jobs.evaluation.evaluate import MOST_NAMED, Settings, evaluation_page, sliced
from airflow_mlops_provider.lifecycle.figures import Matrix
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation, LeftOut
from flight_delay.product import product
from tests.factories.ui import around


@pytest.mark.parametrize("values", [3, 5000])
def test_slices_left_out_are_said(values: int) -> None:
    """Of each column and reason: how many values, how many examples, and the largest by name; the rest is counted."""
    assert "carrier" in product.evaluation.slices
    rows = np.repeat([f"c{number:04}" for number in range(values)], 2)
    window = pd.DataFrame(dict.fromkeys(product.evaluation.slices, rows))
    label, settings = np.arange(len(rows)) % 2, Settings.of(product).model_copy(update={"slices": ("carrier",)})
    slices, _, left_out = sliced(settings, window, label, label)
    reasons = [(few.count, few.rows, few.why) for few in left_out]
    assert slices == {} and reasons == [(values, len(rows), "fewer than 1000 rows")]
    assert len(left_out[0].largest) == min(values, MOST_NAMED)
    html = evaluation_page(product.name, evaluation(tuple(left_out)))
    assert f"carrier: {values:,} with fewer than 1000 rows" in html and "c0002 (2)" in html
    assert (f"and {values - MOST_NAMED:,} more" in html) == (values > MOST_NAMED)


def test_slices_of_any_name_are_text() -> None:
    """A value that looks like markup, and one that is long, are shown as they are."""
    largest = {"<img src=x>": 3, "x" * 2000: 1}
    left_out = LeftOut(column="dest", why="few", count=2, rows=4, largest=largest)
    html = evaluation_page(product.name, evaluation((left_out,)))
    assert "&lt;img src=x&gt; (3)" in html and "<img" not in html


def test_what_the_problem_shows_has_its_cards() -> None:
    """Each figure of the kind of problem is on the page, between the comparison and the slices."""
    confused = Matrix(title="Confused", rows=("a",), columns=("a",), values=((3,),))
    html = evaluation_page(product.name, evaluation(()), (confused,))
    assert re.findall("<h2>(.*?)</h2>", html) == ["Compared", "Confused", "Slices"]
    assert re.findall("<h2>(.*?)</h2>", evaluation_page(product.name, evaluation(()))) == ["Compared", "Slices"]


def evaluation(left: tuple[LeftOut, ...]) -> Evaluation:
    """Return an evaluation whose slices were left out."""
    estimate = around(0.7)
    return Evaluation(
        metric="roc_auc", window="May 2013", rows=10, challenger=estimate, baseline=estimate, left_out=left
    )


def test_an_evaluation_of_before_is_read() -> None:
    """A record that does not tell what was left out is an evaluation as ever."""
    kept = evaluation(()).to_json()
    kept.pop("left_out")
    assert Evaluation.model_validate(kept) == evaluation(())
