"""What a page shows in place of records that can't be read: one odd file must not take the whole page away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from airflow_mlops_provider.render.markup import Html, tag

log = logging.getLogger("mlops.pages")
MOST_LINES = 20


def unreadable(lines: Sequence[str]) -> Html | None:
    """Return a part that names what can't be read, None if all can."""
    more = f"and {len(lines) - MOST_LINES} more" if len(lines) > MOST_LINES else None
    items = tag("ul", *(tag("li", line) for line in lines[:MOST_LINES]), tag("li", more) if more else None)
    return tag("div", tag("h2", "Not readable"), items, class_="card unreadable") if lines else None


def guarded(title: str, build: Callable[[], Html | None]) -> Html | None:
    """Return a part of a page; where its record holds what this release does not know, a part that says so.

    What the record holds is not repeated: not everybody may read it.
    """
    try:
        return build()
    except Exception as error:
        log.exception("%s can't be shown", title)
        return unreadable([f"{title} can't be shown: a record holds something unexpected ({type(error).__name__})"])
