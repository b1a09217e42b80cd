"""The terminal, or the file or pipe in its place."""

from __future__ import annotations

from rich.console import Console

#: A log has no width; at the 80 columns that are assumed there, a table's words would break.
LEAST_COLUMNS = 150


def console() -> Console:
    """Return where to print: as wide as the terminal is or, if that is none, wide enough for a table."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=max(LEAST_COLUMNS, terminal.width))
