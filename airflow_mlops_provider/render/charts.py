"""Two small drawings over data intervals: a line with its interval, and bars against a limit."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from airflow_mlops_provider.lifecycle.monitoring.limits import reached
from airflow_mlops_provider.lifecycle.release.gates import Estimate

WIDTH, HEIGHT, TOP, LEFT, BASE = 520, 170, 14, 44, 140


def line(
    labels: Sequence[str], values: Sequence[Estimate | None], limit: float | None, pages: Sequence[str] = ()
) -> str:
    """Return a line through the values that are known, with the band of their 95 % intervals and the least allowed.

    :param pages: for each value the link to its evidence, escaped; an empty one is none.
    """
    known = [(number, value) for number, value in enumerate(values) if value]
    if not known:
        return "<p class='quiet'>Too few labels have arrived.</p>"
    bounds = [edge for _, value in known for edge in (value.low, value.high)] + ([] if limit is None else [limit])
    low, high = _padded(min(bounds), max(bounds))
    x = [_x(number, len(values)) for number, _ in known]
    upper = [f"{at:.1f},{_y(value.high, low, high):.1f}" for at, (_, value) in zip(x, known, strict=True)]
    lower = [f"{at:.1f},{_y(value.low, low, high):.1f}" for at, (_, value) in zip(x, known, strict=True)]
    middle = [f"{at:.1f},{_y(value.value, low, high):.1f}" for at, (_, value) in zip(x, known, strict=True)]
    dots = [
        linked(
            pages[number : number + 1],
            f"<circle cx='{point.split(',')[0]}' cy='{point.split(',')[1]}' r='4'><title>{escape(labels[number])}: "
            f"{escape(str(value))}</title></circle>",
        )
        for point, (number, value) in zip(middle, known, strict=True)
    ]
    return _frame(
        labels,
        low,
        high,
        limit,
        f"<polygon class='band' points='{' '.join([*upper, *reversed(lower)])}'/>",
        f"<polyline class='path' points='{' '.join(middle)}'/>",
        *dots,
    )


def bars(labels: Sequence[str], values: Sequence[float | None], limit: float, pages: Sequence[str] = ()) -> str:
    """Return a bar for each known share, 0 to 1, marked where it reaches the limit. See :func:`line` for ``pages``."""
    width = min(34.0, 0.6 * (WIDTH - LEFT) / max(len(values), 1))
    drawing = [
        linked(
            pages[number : number + 1],
            f"<rect class='{'over' if reached(value, limit) else 'bar'}' x='{_x(number, len(values)) - width / 2:.1f}' "
            f"rx='3' y='{_y(value, 0, 1):.1f}' width='{width:.1f}' height='{BASE - _y(value, 0, 1):.1f}'>"
            f"<title>{escape(labels[number])}: {value:.0%}</title></rect>",
        )
        for number, value in enumerate(values)
        if value is not None
    ]
    return _frame(labels, 0.0, 1.0, limit, *drawing, percent=True)


def linked(page: Sequence[str], drawing: str) -> str:
    """Return something drawn as a link to its evidence; as it is, if there is none."""
    return f"<a href='{page[0]}'>{drawing}</a>" if page and page[0] else drawing


def _frame(
    labels: Sequence[str], low: float, high: float, limit: float | None, *drawing: str, percent: bool = False
) -> str:
    def number(value: float) -> str:
        return f"{value:.0%}" if percent else f"{value:.2f}"

    every = -(-len(labels) // 8)  # at most eight names fit
    names = [
        f"<text class='soft' x='{_x(at, len(labels)):.1f}' y='{BASE + 18}' text-anchor='middle'>{escape(name)}</text>"
        for at, name in enumerate(labels)
        if at % every == 0
    ]
    ticks = [
        f"<line class='axis' x1='{LEFT}' x2='{WIDTH}' y1='{_y(value, low, high):.1f}' y2='{_y(value, low, high):.1f}'/>"
        f"<text class='soft' x='{LEFT - 8}' y='{_y(value, low, high) + 4:.1f}' text-anchor='end'>{number(value)}</text>"
        for value in (low, (low + high) / 2, high)
    ]
    if limit is not None:
        y = _y(limit, low, high)
        mark = f"<line class='limit' x1='{LEFT}' x2='{WIDTH}' y1='{y:.1f}' y2='{y:.1f}'>"
        drawing = (*drawing, f"{mark}<title>limit {number(limit)}</title></line>")
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>{''.join([*ticks, *drawing, *names])}</svg>"


def _x(number: int, count: int) -> float:
    return LEFT + (number + 0.5) * (WIDTH - LEFT) / max(count, 1)


def _y(value: float, low: float, high: float) -> float:
    return BASE - (value - low) / (high - low) * (BASE - TOP)


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.1 * (high - low) or 0.05
    return low - room, high + room
