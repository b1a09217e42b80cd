"""Draws the figures that a kind of problem shows beside its metrics: a matrix as a table, a curve as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_mlops_provider.lifecycle.figures import Curve, Figure, Matrix
from airflow_mlops_provider.render import drawing
from airflow_mlops_provider.render.drawing import Scale, scale_of
from airflow_mlops_provider.render.markup import Html, join
from airflow_mlops_provider.render.parts import card, muted, table

WIDTH, HEIGHT, TOP, LEFT, RIGHT, BASE = 640, 300, 12, 64, 470, 240
COLOURS, LONGEST = 5, 22


def cards(figures: Iterable[Figure]) -> Html:
    """Return a card for each figure, with its note."""
    return join(card(shown.title, _body(shown), muted(shown.note) if shown.note else None) for shown in figures)


def _body(figure: Figure) -> Html:
    return matrix(figure) if isinstance(figure, Matrix) else curve(figure)


def matrix(figure: Matrix) -> Html:
    """Return a table with the names of rows on its left; whole numbers are written as such."""
    head = ("", *(f"#{name}" for name in figure.columns))
    return table(head, ((name, *values) for name, values in zip(figure.rows, figure.values, strict=True)))


def curve(figure: Curve) -> Html:
    """Return a chart of the lines, a dot for each point; with the diagonal, where perfect predictions lie there."""
    points = [point for line in figure.lines.values() for point in line]
    if not points:
        return muted("There is nothing to show.")
    x, y = scale_of((x for x, _ in points), LEFT, RIGHT), scale_of((y for _, y in points), BASE, TOP)
    return drawing.svg(
        WIDTH,
        HEIGHT,
        drawing.axis(y, LEFT, RIGHT, y.ticks, ".3g"),
        *(drawing.label(x(value), BASE + 20, f"{value:.3g}", "soft", "middle") for value in x.ticks),
        drawing.label(LEFT, BASE + 42, f"{figure.x} \N{RIGHTWARDS ARROW}, {figure.y} \N{UPWARDS ARROW}", "soft"),
        _diagonal(x, y) if figure.diagonal else None,
        *(shape for number, named in enumerate(figure.lines.items()) for shape in _line(number, *named, x, y)),
    )


def _line(number: int, name: str, points: tuple[tuple[float, float], ...], x: Scale, y: Scale) -> Iterator[Html]:
    placed = [(x(across), y(up)) for across, up in points]
    tips = (f"{name}: {across:.4g}, {up:.4g}" for across, up in points)
    dots = (drawing.dot(*place, 3, tip=tip) for place, tip in zip(placed, tips, strict=True))
    legend = drawing.label(RIGHT + 16, TOP + 12 + 20 * number, name, "name", most=LONGEST)
    yield drawing.group(drawing.path(placed), *dots, legend, kind=f"v{number % COLOURS}")


def _diagonal(x: Scale, y: Scale) -> Html | None:
    low, high = max(x.low, y.low), min(x.high, y.high)
    if low >= high:
        return None
    return drawing.group(drawing.line((x(low), y(low)), (x(high), y(high)), "limit", "perfect"), kind="neutral")
