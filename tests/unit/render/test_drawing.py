"""Scales, columns and texts that every drawing is made of."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from airflow_mlops_provider.render import charts, drawing
from airflow_mlops_provider.render.markup import tag
from tests.factories.ui import around


def test_a_scale_has_room_for_all_values() -> None:
    """It goes from the lowest to the highest value and some way beyond; what is no number is left out."""
    scale = drawing.scale_of([1.0, None, math.nan, math.inf, 3.0], 100, 0)
    assert (scale.low, scale.high, scale(2.0)) == pytest.approx((0.8, 3.2, 50.0))
    alone, empty = drawing.scale_of([2.0], 0, 100), drawing.scale_of([], 0, 100)
    assert (alone(2.0), empty(0.5)) == pytest.approx((50.0, 50.0))


def test_columns_divide_a_width() -> None:
    """Each column has its edges and its middle; none at all do not break a drawing."""
    x = drawing.columns(4, 100, 180)
    assert (x(0), x(4), x(1.5)) == (100, 180, 130)
    assert drawing.columns(0, 0, 10)(0) == 0


def test_a_long_text_is_cut_and_kept() -> None:
    """A name that would not fit is cut, and is whole for whoever points at it."""
    assert drawing.label(1, 2, "short", most=5) == "<text x='1' y='2'>short</text>"
    assert drawing.label(1, 2, "longer", most=5) == "<text x='1' y='2'>long…<title>longer</title></text>"


def test_a_drawing_of_its_own_has_its_style() -> None:
    """Alone it is well-formed XML with a style sheet; in a page the page's is used. Neither loads anything."""
    alone, inside = (drawing.svg(10, 10, tag("line"), title="a & b", alone=alone) for alone in (True, False))
    assert ET.fromstring(alone).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<style>" in alone and "<style>" not in inside
    assert not re.search(r"url\(|@import|<script", alone)


def test_bars_are_marked_from_the_limit_on() -> None:
    """A share that reaches the limit is drawn as one that crosses it, as the limits themselves judge."""
    bars = ET.fromstring(charts.shares(["a", "b", "c", "d"], [0.59, 0.6, None, 0.7], 0.6)).iter("rect")
    assert [bar.get("class") for bar in bars] == ["bar", "bar over", "bar over"]


def test_no_more_names_than_fit_below_a_chart() -> None:
    """Of many intervals, or of few with long names, some are named; every value is drawn."""
    for names, most in (([f"{month}" for month in range(60)], 34), ([f"{'x' * 40} {day}" for day in range(4)], 2)):
        chart = ET.fromstring(charts.trend(names, [around(0.7)] * len(names), None))
        shown = [node.text for node in chart.iter("text") if node.text in names]
        assert 0 < len(shown) <= most
        assert len(list(chart.iter("circle"))) == len(names)


def test_an_estimate_that_is_no_number_is_named() -> None:
    """NaN has no place on a scale: it is written, not drawn, and the others are drawn as ever."""
    nothing = around(0.7).model_copy(update={"value": math.nan, "high": math.nan})
    chart = charts.estimates({"challenger": nothing, "baseline": around(0.6)})
    assert len(list(ET.fromstring(chart).iter("circle"))) == 1
    assert charts.trend(["a", "b"], [nothing, around(0.6)], None).count("<circle") == 1
    assert "nan [" in chart and "='nan'" not in chart
