"""What a kind of problem shows beside its metrics is a table or a chart, whatever its names hold."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.lifecycle.figures import Curve, Matrix
from airflow_mlops_provider.render import figures

CONFUSED = Matrix(
    title="Confused", rows=("rain", "<dry>"), columns=("rain", "<dry>"), values=((3, 1200), (None, 0.25)), note="Counts"
)
CALIBRATED = Curve(
    title="Calibrated",
    x="said",
    y="was",
    lines={"model": ((0.1, 0.2), (0.9, 0.7)), "<b>": ((0.5, 0.5),)},
    diagonal=True,
)


def test_a_matrix_is_a_table() -> None:
    """Each number stands in its row and column, counts are whole, nothing is a dash, and names are text."""
    html = figures.matrix(CONFUSED)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert [re.sub("<.*?>", "", cell) for cell in cells] == [
        "rain",
        "3",
        "1,200",
        "&lt;dry&gt;",
        "\N{EN DASH}",
        "0.2500",
    ]
    assert "<dry>" not in html


def test_a_curve_is_a_line_through_its_points() -> None:
    """A dot for each, that says what it is; the diagonal is drawn where perfection lies on it, and only there."""
    html = figures.curve(CALIBRATED)
    svg = ET.fromstring(html)
    assert len(svg.findall(".//circle")) == 3 and "model: 0.1, 0.2" in html
    assert len(svg.findall(".//polyline")) == 2 and "&lt;b&gt;" in html
    assert "perfect" in html and "perfect" not in figures.curve(CALIBRATED.model_copy(update={"diagonal": False}))
    assert "nothing to show" in figures.curve(CALIBRATED.model_copy(update={"lines": {"model": ()}}))
    apart = Curve(title="", x="", y="", lines={"model": ((1.0, 90.0), (2.0, 95.0))}, diagonal=True)
    assert "perfect" not in figures.curve(apart)


def test_each_has_a_card_with_its_note() -> None:
    """Title, drawing, and what a reader has to know of it."""
    html = figures.cards((CONFUSED, CALIBRATED))
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Confused", "Calibrated"]
    assert html.count("class='muted'>Counts") == 1
    assert figures.cards(()) == ""


def test_a_matrix_is_whole() -> None:
    """A number for each row and column; JSON keeps them, a count as a count."""
    with pytest.raises(ValidationError, match="Confused: 2 rows of 2 numbers each are needed"):
        Matrix(**{**dict(CONFUSED), "values": ((1, 2), (3,))})
    assert Matrix.model_validate_json(CONFUSED.model_dump_json()) == CONFUSED
    assert type(Matrix.model_validate_json(CONFUSED.model_dump_json()).values[0][0]) is int
