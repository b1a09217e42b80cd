"""The terminal, or the file or pipe in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

#: A log has no width; at the 80 columns that are assumed there, a table's words would break.
LEAST_COLUMNS = 150


def console() -> Console:
    """Return where to print: as wide as the terminal is or, if that is none, wide enough for a table."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=max(LEAST_COLUMNS, terminal.width))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """Return a table of plain texts: nothing in a cell is markup, and no hash or run id is cut short."""
    filled = Table(title=title, title_justify="left", show_header=any(head))
    for name in head:
        filled.add_column(name, overflow="fold")
    for row in rows:
        filled.add_row(*(escape(str(cell)) for cell in row))
    return filled
