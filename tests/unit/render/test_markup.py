"""The one escaping rule: whatever is shown comes out as text, in HTML and in XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from airflow_mlops_provider.render.markup import Html, join, tag, text

HOSTILE = "<script>alert('1')</script>\"&"


def test_texts_and_attributes_are_escaped() -> None:
    """Neither content nor attribute can leave its place."""
    element = ET.fromstring(tag("p", HOSTILE, title=HOSTILE))
    assert (element.text, element.get("title"), len(element)) == (HOSTILE, HOSTILE, 0)


def test_markup_is_escaped_once() -> None:
    """What is markup already goes through as it is, and what is made of it is markup again."""
    inner = tag("b", "a & b")
    assert tag("p", inner, None, "") == "<p><b>a &amp; b</b></p>"
    assert isinstance(join([inner, "<"], ", "), Html) and join([inner, None, "<"], ", ") == f"{inner}, &lt;"


def test_a_formatted_string_is_text_again() -> None:
    """Markup put into an f-string is shown as text: the mistake is seen on the page, and opens nothing."""
    assert tag("p", f"{tag('b', 'x')}") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"


def test_attributes_are_written_as_html_names_them() -> None:
    """Python's names become HTML's, numbers are short, empty ones are left out."""
    assert (
        tag("text", x=1.0, y=2.26, text_anchor="end", class_="", dx=None)
        == "<text x='1' y='2.3' text-anchor='end'></text>"
    )
    assert tag("circle", r=0) == "<circle r='0'/>"


@pytest.mark.parametrize("value", ["a\0b", "\x1b[31m", "\ud83d", "\ufffe", "٣ שלום \u202e txt", "🐟"])
def test_any_text_is_a_file(value: str) -> None:
    """Characters that no XML parser or encoding takes are replaced, and others are kept."""
    shown = ET.fromstring(tag("p", value, title=value).encode())
    assert shown.text == shown.get("title") == text(value)
