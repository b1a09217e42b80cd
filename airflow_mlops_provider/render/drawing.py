"""What drawings are put together from: scales, lines, axes, limits, dots, bars, texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_mlops_provider.render.formats import shorten
from airflow_mlops_provider.render.markup import Content, Html, tag
from airflow_mlops_provider.render.style import DRAWING_STYLE

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Places values from ``low`` to ``high`` between ``start`` and ``end`` of a drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> tuple[float, float, float]:
        return self.low, (self.low + self.high) / 2, self.high


def columns(count: int, left: float, right: float) -> Scale:
    """Return the scale of equal columns: they begin at 0, 1, 2, … and have their middle half-way."""
    return Scale(0, max(count, 1), left, right)


def scale_of(values: Iterable[float | None], start: float, end: float, margin: float = 0.1) -> Scale:
    """Return a scale with room for some values, beyond them by a share of their span; NaN and infinity are left out."""
    finite = [value for value in values if value is not None and math.isfinite(value)] or [0.0, 1.0]
    room = margin * (max(finite) - min(finite)) or 0.05 * max(1.0, abs(finite[0]))
    return Scale(min(finite) - room, max(finite) + room, start, end)


def svg(width: float, height: float, *shapes: Content, title: str = "", alone: bool = False) -> Html:
    """Return a drawing; ``alone`` it is a file of its own, not part of a page with its style sheet."""
    style = tag("style", Html(DRAWING_STYLE)) if alone else None  # our own constant
    box = f"0 0 {width:.0f} {height:.0f}"
    space = "http://www.w3.org/2000/svg" if alone else None
    return tag("svg", style, _tip(title), *shapes, xmlns=space, viewBox=box, role="img")


def group(*shapes: Content, kind: str = "", tip: str = "", move: Point | None = None) -> Html:
    """Return shapes as one, with a text for whoever points at it."""
    transform = f"translate({move[0]:.1f},{move[1]:.1f})" if move else ""
    return tag("g", _tip(tip), *shapes, class_=kind, transform=transform)


def label(x: float, y: float, words: str, kind: str = "", anchor: str = "", most: int = 0) -> Html:
    """Return a text; one of more than ``most`` characters is cut, and whole for whoever points at it."""
    cut = shorten(words, most) if most else words
    return tag("text", cut, _tip(words if cut != words else ""), class_=kind, x=x, y=y, text_anchor=anchor)


def line(begin: Point, end: Point, kind: str, tip: str = "") -> Html:
    """Return a straight line."""
    return tag("line", _tip(tip), class_=kind, x1=begin[0], x2=end[0], y1=begin[1], y2=end[1])


def path(points: Iterable[Point], kind: str = "path", closed: bool = False) -> Html:
    """Return a line through points, or the area within them."""
    return tag("polygon" if closed else "polyline", class_=kind, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def dot(x: float, y: float, radius: float = 4, kind: str = "dot", tip: str = "") -> Html:
    """Return a dot."""
    return tag("circle", _tip(tip), class_=kind, cx=x, cy=y, r=radius)


def bar(begin: Point, end: Point, kind: str = "bar", tip: str = "", rounded: float = 3) -> Html:
    """Return a bar from its upper left to its lower right corner."""
    (left, top), (right, base) = begin, end
    size = {"width": max(right - left, 0.0), "height": max(base - top, 0.0)}
    return tag("rect", _tip(tip), class_=kind, x=left, y=top, **size, rx=rounded)


def axis(y: Scale, left: float, right: float, ticks: Sequence[float], form: str) -> Html:
    """Return lines across a drawing with their values on its left."""
    return group(
        *(line((left, y(value)), (right, y(value)), "axis") for value in ticks),
        *(label(left - 8, y(value) + 4, f"{value:{form}}", "soft", "end") for value in ticks),
    )


def limit(y: float, left: float, right: float, name: str = "", tip: str = "") -> Html:
    """Return a line across a drawing with its name on the right, or only for whoever points at it."""
    mark = line((left, y), (right, y), "limit", tip)
    return mark + label(right + 6, y + 4, name, "limit-name") if name else mark


def _tip(words: str) -> Html | None:
    """Return what is shown to whoever points at a shape."""
    return tag("title", words) if words else None
