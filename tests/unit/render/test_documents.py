"""A document is the same words as a page and as Markdown, and no text of a record is markup in either."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.description.document import Document, Section, Table
from airflow_mlops_provider.lifecycle.figures import Curve, Matrix
from airflow_mlops_provider.render.documents import html, markdown

EVIL = "<script>alert(1)</script> | [a](javascript:x) *b* `c`\n\n# d"
SECTION = Section(
    title="Data",
    texts=(EVIL,),
    facts={"rows": EVIL},
    tables=(Table(head=("slice", "#rows"), rows=((EVIL, 1200), ("b", None), ("c", 0.25))), Table(head=("empty",))),
    figures=(
        Matrix(title="Confused", rows=("rain",), columns=("dry",), values=((3,),), note="Counts"),
        Curve(title="Calibrated", x="said", y="was", lines={"model": ((0.1, 0.2),)}),
    ),
    links={"evaluation/page.html": "the page"},
    missing=("why; recorded by a person",),
)
DOCUMENT = Document(title=f"Card of {EVIL}", lead="What it is.", sections=(SECTION, Section(title="Nothing")))


def test_a_page() -> None:
    """Texts are escaped, numbers stand in their cells, a figure is drawn, what is lacking is said."""
    page = html(DOCUMENT)
    assert page.startswith("<!doctype html>")
    assert "<script>" not in page
    for piece in ("1,200", "0.2500", "<svg", "href='evaluation/page.html'", "Not recorded: why"):
        assert piece in page
    assert "empty" not in page.partition("</style>")[2]


def test_markdown() -> None:
    """Headings, tables and links are ours; a record's text can begin none of them."""
    lines = markdown(DOCUMENT).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        r"# Card of \<script\>alert(1)\</script\> \| \[a\](javascript:x) \*b\* \`c\` \# d",
        "## Data",
        "### Confused",
        "### Calibrated",
        "## Nothing",
    ]
    assert "| model | 0.1000 | 0.2000 |" in lines
    assert "| rain | 3 |" in lines
    assert "- [the page](<evaluation/page.html>)" in lines
    assert "*Not recorded: why; recorded by a person*" in lines
    assert "| empty |" not in lines
    rows = [line for line in lines if line.startswith("| ")]
    assert all(line.replace(r"\|", "").count("|") in (3, 4) for line in rows)


def test_what_is_filled() -> None:
    """A section says something by anything but its title and what is lacking."""
    assert DOCUMENT.unfilled == ("Nothing",)
    assert not Section(title="a", missing=("b",), tables=(Table(head=("c",)),)).filled
    assert Section(title="a", links={"b": "c"}).filled
