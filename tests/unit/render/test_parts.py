"""The parts of pages: whole documents of their own, tables that hold any value."""

from __future__ import annotations

import re

from airflow_mlops_provider.render import parts
from airflow_mlops_provider.render.style import DRAWING_STYLE, STYLE


def test_a_document_needs_nothing_else() -> None:
    """Neither page nor style sheet loads or runs anything, and both know light and dark."""
    page = parts.document("a < b", "c & d")
    assert page.startswith("<!doctype html><html lang='en'>") and "<title>a &lt; b</title>" in page
    assert "c &amp; d" in page
    for style in (STYLE, DRAWING_STYLE):
        assert "prefers-color-scheme:dark" in style
        assert not re.search(r"url\(|@import|[<>&]", style.replace("card>:", ""))


def test_every_colour_has_a_name() -> None:
    """What a rule takes from the palette is in the palette."""
    assert set(re.findall(r"var\((--[a-z0-9]+)\)", STYLE)) <= set(re.findall(r"(--[a-z0-9]+):", STYLE))


def test_cells_are_written_by_their_kind() -> None:
    """Counts have separators, figures four digits, what is missing is a dash, and texts are text."""
    table = parts.table(("#rows", "#value", "name", "none"), [(12345, 0.5, "<b>", None)])
    assert re.findall(r"<td[^>]*>(.*?)</td>", table) == ["12,345", "0.5000", "&lt;b&gt;", parts.NONE]
    assert table.count("class='number'") == 4


def test_links_without_address_are_words() -> None:
    """A step, or a piece of evidence, that is nowhere is named and not linked; None is left out."""
    assert parts.links(parts.link("a?b&c", "x"), None, parts.link("", "y")) == "<a href='a?b&amp;c'>x</a> · y"
