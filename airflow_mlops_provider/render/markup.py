"""The one escaping rule: what is not markup already becomes text, and elements are only made here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from markupsafe import Markup, escape

#: Text that is markup, and is shown as it is.
Html: TypeAlias = Markup
#: What an element may hold: a text, escaped unless it is markup; None is left out.
Content: TypeAlias = str | None
# Without content these close themselves, in a form that both HTML and XML read.
_EMPTY = frozenset({"circle", "line", "meta", "path", "polygon", "polyline", "rect"})
# No XML parser takes these, and no encoding takes half of a surrogate pair.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def text(value: object) -> Html:
    """Return a value as markup: markup as it is, anything else escaped."""
    return value if isinstance(value, Markup) else escape(_NOT_XML.sub("\ufffd", str(value)))


def join(parts: Iterable[Content], separator: Content = "") -> Html:
    """Return the parts that are not empty, one after another."""
    return text(separator or "").join(text(part) for part in parts if part)


def tag(name: str, /, *content: Content, **attributes: str | float | None) -> Html:
    """Return an element; ``text_anchor`` is ``text-anchor``, ``class_`` is ``class``, empty ones are left out."""
    written = (_attribute(key, value) for key, value in attributes.items() if value not in (None, ""))
    begin, inside = join((name, *written), " "), join(content)
    if name in _EMPTY and not inside:
        return Markup("<{}/>").format(begin)
    return Markup("<{}>{}</{}>").format(begin, inside, name)


def _attribute(key: str, value: str | float | None) -> Html:
    shown = value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
    return Markup("{}='{}'").format(key.rstrip("_").replace("_", "-"), text(shown))
