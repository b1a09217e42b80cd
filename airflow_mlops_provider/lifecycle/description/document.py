"""A document of sections, before anything decides how it looks; as HTML and Markdown it is written by :mod:`render`."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.figures import Figure
from airflow_mlops_provider.lifecycle.frozen import Frozen

Cell = str | int | float | None


class Table(Frozen):
    """Rows below a head; a column whose name begins with # holds numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...] = ()


class Section(Frozen):
    """A part of a document.

    :param facts: short values by name, with all that is to be said of each.
    :param texts: sentences, such as caveats, each a line of its own.
    :param links: words, by the address that they lead to.
    :param missing: what is not recorded, and what would record it.
    """

    title: str
    texts: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    links: dict[str, str] = {}
    missing: tuple[str, ...] = ()

    @property
    def filled(self) -> bool:
        """Whether it says anything beyond what is not recorded."""
        return bool(self.texts or self.facts or self.figures or self.links or any(table.rows for table in self.tables))


class Document(Frozen):
    """A whole document: a heading, a sentence of what it is about, and its parts."""

    title: str
    lead: str
    sections: tuple[Section, ...]

    @property
    def unfilled(self) -> tuple[str, ...]:
        """The titles of the sections that say nothing."""
        return tuple(section.title for section in self.sections if not section.filled)
