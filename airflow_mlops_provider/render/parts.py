"""What the pages are put together from: the document, cards, tables. Cells and bodies are HTML already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from html import escape

from airflow_mlops_provider.render.style import STYLE

log = logging.getLogger("mlops.pages")
MOST_TROUBLES = 20
FEW_COLUMNS = 3
NONE = "<span class='quiet'>&ndash;</span>"


def document(title: str, body: str, kind: str = "") -> str:
    """Return a whole page: no script, nothing loaded from elsewhere. ``kind`` gives its layout."""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{STYLE}</style></head><body><main class='{kind}'>{body}</main></body></html>"
    )


def way_back(*steps: tuple[str, str]) -> str:
    """Return the line above a page's heading: where it stands, each step a link, the last one plain."""
    links = [f"<a href='{escape(href)}'>{escape(words)}</a>" if href else escape(words) for words, href in steps]
    return f"<p class='eyebrow'>{' / '.join(links)}</p>"


def troubles(lines: Sequence[str]) -> str:
    """Return a part that names what can't be read, empty if all can."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines[:MOST_TROUBLES])
    more = f"<li>and {len(lines) - MOST_TROUBLES} more</li>" if len(lines) > MOST_TROUBLES else ""
    return f"<div class='card trouble'><h2>Not readable</h2><ul>{items}{more}</ul></div>" if lines else ""


def guarded(title: str, build: Callable[[], str]) -> str:
    """Return a part of a page; where its record holds what this release does not know, a part that says so.

    One odd record must not take the whole page away. What it holds is not repeated: not everybody may read it.
    """
    try:
        return build()
    except Exception as error:
        log.exception("%s can't be shown", title)
        return troubles([f"{title} can't be shown: a record holds something unexpected ({type(error).__name__})"])


def facts(listed: dict[str, str]) -> str:
    """Return a few facts side by side; values are HTML."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in listed.items())
    return f"<dl class='facts'>{items}</dl>"


def card(title: str, body: str) -> str:
    """Return a part of a page with its heading."""
    return f"<div class='card'><h2>{title}</h2>{body}</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column whose name begins with # is set right."""
    kinds = [" class='n'" if name.startswith("#") else "" for name in head]
    names = "".join(f"<th{kind}>{name.lstrip('#')}</th>" for kind, name in zip(kinds, head, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>" for row in rows
    )
    # On a narrow screen many columns are scrolled, not squeezed to a letter each.
    wide = " wide" if len(kinds) > FEW_COLUMNS else ""
    return f"<div class='scroll{wide}'><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"


def moves(made: Iterable[tuple[str, str]]) -> str:
    """Return the moves of a version, each with its reason."""
    items = (f"<li><b>{escape(status)}</b><p>{escape(reason)}</p></li>" for status, reason in made)
    return f"<ul class='moves'>{''.join(items)}</ul>"


def pill(kind: str, words: str, tip: str = "") -> str:
    """Return a small label; ``kind`` gives its colour."""
    title = f" title='{escape(tip, quote=True)}'" if tip else ""
    return f"<span class='pill {kind}'{title}>{escape(words)}</span>"


def quiet(text: str) -> str:
    """Return a paragraph that stands back."""
    return f"<p class='quiet'>{escape(text)}</p>"
