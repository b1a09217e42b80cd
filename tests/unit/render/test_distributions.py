"""Small drawings of distributions are well formed, and in proportion."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from airflow_mlops_provider.render import distributions


def bars(drawing: str, kind: str = "bar") -> list[ET.Element]:
    """Return a drawing's bars of a kind."""
    return [each for each in ET.fromstring(str(drawing)).iter("rect") if each.get("class") == kind]


def test_a_histogram_is_in_proportion() -> None:
    """A part of twice the values is twice as high; an empty one is not there."""
    high, low = bars(distributions.histogram([4, 0, 2], "0", "1"))
    assert float(high.get("height", 0)) == pytest.approx(2 * float(low.get("height", 0)), abs=0.2)


def test_the_frequent_values_have_their_shares() -> None:
    """Five of them, with the share of all rows."""
    drawing = str(distributions.frequent([(f"v{n}", 10) for n in range(9)], 40))
    assert len(bars(drawing, "part")) == 5 and drawing.count("25%") == 5


def test_rows_and_labels_over_time() -> None:
    """The darker part is the share with a label; a period without labels has no point."""
    drawing = str(distributions.over_time(["a", "b"], [100, 50], [1.0, 0.5], [0.3, None], "mean"))
    whole, there = bars(drawing, "rest"), bars(drawing, "interval")
    assert float(there[1].get("height", 0)) == pytest.approx(float(whole[1].get("height", 0)) / 2, abs=0.2)
    assert drawing.count("<circle") == 1


def test_gaps_over_time() -> None:
    """A cell is there where something is missing, and the darker the more."""
    cells = bars(distributions.heat(["a"], ["x", "y", "z"], [[0.0, 0.5, 1.0]]), "heat")
    assert [float(each.get("fill-opacity", 0)) for each in cells] == [0.56, 1.0]
