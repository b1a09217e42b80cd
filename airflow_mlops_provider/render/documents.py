"""Writes a document of sections as a page and as Markdown, of the same words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from airflow_mlops_provider.lifecycle.description.document import Cell, Document, Section, Table
from airflow_mlops_provider.lifecycle.figures import Curve, Figure
from airflow_mlops_provider.render import figures, parts
from airflow_mlops_provider.render.markup import Html, tag

NOT_RECORDED = "Not recorded: "
# What Markdown or the HTML in it would take for markup; a table's cell also ends at a bar.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|&])")


def html(document: Document) -> Html:
    """Return a document as a page: self-contained, no script."""
    return parts.report(document.title, document.lead, *map(_card, document.sections))


def markdown(document: Document) -> str:
    """Return a document as Markdown, with tables as GitHub has them; no text of a record is markup in it."""
    blocks = [f"# {_plain(document.title)}", _plain(document.lead)]
    for section in document.sections:
        blocks += [f"## {_plain(section.title)}", *_blocks(section)]
    return "\n\n".join(blocks) + "\n"


def _card(section: Section) -> Html:
    return parts.card(
        section.title,
        *(tag("p", words) for words in section.texts),
        parts.table(("", ""), section.facts.items()) if section.facts else None,
        *(parts.table(table.head, table.rows) for table in section.tables if table.rows),
        figures.cards(section.figures) if section.figures else None,
        tag("ul", *(tag("li", parts.link(href, words)) for href, words in section.links.items()))
        if section.links
        else None,
        *(parts.muted(f"{NOT_RECORDED}{words}") for words in section.missing),
    )


def _blocks(section: Section) -> Iterator[str]:
    yield from map(_plain, section.texts)
    if section.facts:
        yield _grid(("what", "recorded"), section.facts.items())
    yield from (_grid([name.lstrip("#") for name in table.head], table.rows) for table in section.tables if table.rows)
    for figure in section.figures:
        yield f"### {_plain(figure.title)}"
        yield from ([_plain(figure.note)] if figure.note else [])
        table = _table(figure)
        yield _grid(table.head, table.rows)
    if section.links:
        yield "\n".join(f"- [{_plain(words)}](<{href}>)" for href, words in section.links.items())
    yield from (f"*{NOT_RECORDED}{_plain(words)}*" for words in section.missing)


def _table(figure: Figure) -> Table:
    """Return the numbers of a figure: Markdown draws no lines."""
    if isinstance(figure, Curve):
        points = ((name, *point) for name, line in figure.lines.items() for point in line)
        return Table(head=("line", figure.x, figure.y), rows=tuple(points))
    rows = ((name, *values) for name, values in zip(figure.rows, figure.values, strict=True))
    return Table(head=("", *figure.columns), rows=tuple(rows))


def _grid(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    lines = [[_plain(name) for name in head], ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return _plain(value)
    return "\N{EN DASH}" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _plain(words: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))
