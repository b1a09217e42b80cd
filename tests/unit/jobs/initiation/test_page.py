"""The report shows what was seen and what is proposed, and nothing from the data is markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from airflow_mlops_provider.jobs.initiation.page import page
from tests.factories.looked_at import customers, late, proposed, sklearn, vega

EVIL = "<script>alert('x')</script>"


def shown(data, **named) -> str:
    """Return the report on some data."""
    return str(page(*proposed(data, **named)))


def drawings(html: str) -> list[ET.Element]:
    """Return the page's drawings, as a browser takes them apart."""
    return [ET.fromstring(drawing) for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_every_part_is_there() -> None:
    """Labels over time, gaps over time, a tile for each column, suspects, expectations, candidates."""
    frame = late(customers(), np.random.default_rng(1).gamma(4, 7, 3000))
    frame = frame.assign(state=frame["churned"].map({0: "there", 1: "gone"}))
    html = shown(frame, label="churned")
    parts = ("Left to decide", "Proposed", "Rows and labels", "What may give the label away", "Columns")
    for part in (*parts, "Missing over time", "Expected of what comes", "Candidates"):
        assert f"<h2>{part}" in html
    assert len(re.findall("class='tile[ ']", html)) == len(frame.columns)
    assert "each of its 2 values goes with one of the label" in html
    assert len(drawings(html)) > len(frame.columns) - 2


@pytest.mark.parametrize("data", [sklearn("iris"), vega("stocks.csv"), sklearn("digits"), vega("us-employment.csv")])
def test_any_data_have_a_report(data) -> None:
    """With a time or without one, wide or narrow, its drawings are well formed."""
    html = shown(data)
    assert drawings(html) and not re.search(r"\b(nan|inf)\b", html, re.IGNORECASE)


def test_without_labels_there_is_a_report() -> None:
    """Of rows alone."""
    html = shown(customers(), label="none")
    assert "<h2>Rows, each" in html and "anomaly detection" in html


def test_nothing_from_the_data_is_markup() -> None:
    """Neither a column's name, nor a value, nor a file's name."""
    frame = customers(400).rename(columns={"plan": EVIL})
    frame[EVIL] = frame[EVIL].map(lambda plan: f"{plan}{EVIL}")
    frame["gaps"] = np.where(frame["usage"] > 0, EVIL, None)
    html = shown(frame, label="churned")
    assert "<script" not in html and "&lt;script&gt;" in html
    assert drawings(html)


def test_many_columns_are_cut() -> None:
    """So many that nobody looks at all of them."""
    import pandas as pd

    wide = pd.DataFrame(np.random.default_rng(2).normal(size=(50, 200)), columns=[f"c{n}" for n in range(200)])
    html = shown(wide)
    assert len(re.findall("class='tile[ ']", html)) == 120 and "and 80 more columns" in html
