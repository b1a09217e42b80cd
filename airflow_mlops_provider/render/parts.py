"""What pages are put together from. Texts are escaped, markup is not; see :mod:`.markup`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_mlops_provider.render.markup import Content, Html, join, tag
from airflow_mlops_provider.render.style import STYLE

FEW_COLUMNS = 3
NONE = tag("span", "\N{EN DASH}", class_="muted")


def document(title: str, *body: Content, kind: str = "") -> Html:
    """Return a whole HTML page: no script, nothing loaded from elsewhere. ``kind`` gives its layout."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("style", Html(STYLE)),  # our own constant
    )
    return Html("<!doctype html>") + tag("html", head, tag("body", tag("main", *body, class_=kind)), lang="en")


def report(title: str, lead: Content, *body: Content) -> Html:
    """Return the page of a report: a heading, a sentence of what it is about, and its parts."""
    return document(title, tag("h1", title), tag("p", lead, class_="lead"), *body)


def breadcrumbs(*steps: tuple[str, str]) -> Html:
    """Return the line above a page's heading: words and address of each step, an empty address is no link."""
    return tag("p", join((link(href, words) for words, href in steps), " / "), class_="crumbs")


def link(href: str, words: Content) -> Html:
    """Return words, or something drawn, as a link; as they are if there is no address."""
    return tag("a", words, href=href) if href else join([words])


def links(*items: Content) -> Html:
    """Return links in a row, without the empty ones."""
    return join(items, " · ")


def facts(listed: dict[str, str]) -> Html:
    """Return a few facts side by side."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in listed.items()), class_="facts")


def card(title: Content, *body: Content) -> Html:
    """Return a part of a page with its heading."""
    return tag("div", tag("h2", title), *body, class_="card")


def two(*cards: Content) -> Html:
    """Return cards side by side, where there is room."""
    return tag("div", *cards, class_="two")


def table(head: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> Html:
    """Return a table; a column whose name begins with # is set right, None is a dash."""
    kinds = ["number" if name.startswith("#") else "" for name in head]
    names = (tag("th", name.lstrip("#"), class_=kind) for kind, name in zip(kinds, head, strict=True))
    body = (
        tag("tr", *(tag("td", _cell(cell), class_=kind) for kind, cell in zip(kinds, row, strict=True))) for row in rows
    )
    # On a narrow screen many columns are scrolled, not squeezed to a letter each.
    return tag(
        "div",
        tag("table", tag("thead", tag("tr", *names)), tag("tbody", *body)),
        class_="scroll wide" if len(kinds) > FEW_COLUMNS else "scroll",
    )


def changes(made: Iterable[tuple[str, str]]) -> Html:
    """Return the changes of a version's status, each with its reason."""
    return tag("ul", *(tag("li", tag("b", status), tag("p", reason)) for status, reason in made), class_="changes")


def badge(kind: str, words: str, tip: str = "") -> Html:
    """Return a small label; ``kind`` gives its colour."""
    return tag("span", words, class_=f"badge {kind}", title=tip)


def muted(words: Content) -> Html:
    """Return a paragraph of less weight."""
    return tag("p", words, class_="muted")


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    return NONE if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
