"""Charts: a metric over data intervals, shares against a limit, and estimates beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from airflow_mlops_provider.lifecycle.monitoring.limits import reached
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.render import drawing
from airflow_mlops_provider.render.drawing import Scale, bar, columns, dot, label, scale_of, svg
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import link, muted

WIDTH, HEIGHT, TOP, LEFT, BASE = 520, 170, 14, 44, 140
CHARACTER = 7  # the width of a small letter
ROW, NAMES, VALUES, LONGEST = 34, 130, 570, 13


def trend(
    names: Sequence[str], values: Sequence[Estimate | None], limit: float | None, pages: Sequence[str] = ()
) -> Html:
    """Return a line through the values that are known, with the band of their 95 % intervals and the least allowed.

    :param pages: for each value the address of its report; an empty one is none.
    """
    known = [(number, value) for number, value in enumerate(values) if is_finite(value)]
    if not known:
        return muted("Too few labels have arrived.")
    y = scale_of([*(edge for _, value in known for edge in (value.low, value.high)), limit], BASE, TOP)
    x = columns(len(values), LEFT, WIDTH)
    upper = [(x(number + 0.5), y(value.high)) for number, value in known]
    lower = [(x(number + 0.5), y(value.low)) for number, value in known]
    middle = [(x(number + 0.5), y(value.value)) for number, value in known]
    dots = (
        link("".join(pages[number : number + 1]), dot(*point, tip=f"{names[number]}: {value}"))
        for point, (number, value) in zip(middle, known, strict=True)
    )
    band = drawing.path([*upper, *reversed(lower)], "band", closed=True)
    return _chart(names, y, limit, ".2f", band, drawing.path(middle), *dots)


def shares(names: Sequence[str], values: Sequence[float | None], limit: float, pages: Sequence[str] = ()) -> Html:
    """Return a bar for each known share, 0 to 1, marked where it reaches the limit. See :func:`trend` for ``pages``."""
    x, y = columns(len(values), LEFT, WIDTH), Scale(0, 1, BASE, TOP)
    half = min(17.0, 0.3 * (WIDTH - LEFT) / max(len(values), 1))
    bars = (
        link("".join(pages[number : number + 1]), share(x(number + 0.5), half, y, value, limit, names[number]))
        for number, value in enumerate(values)
        if value is not None
    )
    return _chart(names, y, limit, ".0%", *bars)


def share(x: float, half: float, y: Scale, value: float, limit: float, name: str) -> Html:
    """Return the bar of a share around ``x``, marked where it reaches the limit."""
    kind = "bar over" if reached(value, limit) else "bar"
    return bar((x - half, y(value)), (x + half, y(0)), kind, f"{name}: {value:.0%}")


def estimates(values: Mapping[str, Estimate]) -> Html:
    """Return estimates on one scale: a dot for each value, a bar for its 95 % interval."""
    x = scale_of([edge for value in values.values() for edge in (value.low, value.high)], NAMES, VALUES - 20, 0.05)
    rows = (shape for row, named in enumerate(values.items()) for shape in _estimate(24 + ROW * row, *named, x))
    return svg(800, ROW * len(values) + 12, *rows)


def _estimate(y: float, name: str, value: Estimate, x: Scale) -> Iterator[Html]:
    yield label(0, y + 4, name, most=LONGEST)
    yield label(VALUES, y + 4, str(value))
    if is_finite(value):
        shapes = (
            bar((x(value.low), y - 3), (x(value.high), y + 3), "interval", rounded=0),
            dot(x(value.value), y, 6),
        )
        yield drawing.group(*shapes, kind=name if name in ("champion", "baseline") else "")


def is_finite(value: Estimate | None) -> TypeGuard[Estimate]:
    """Say whether an estimate has a place on a scale."""
    return value is not None and all(map(math.isfinite, (value.low, value.value, value.high)))


def _chart(names: Sequence[str], y: Scale, limit: float | None, form: str, *shapes: Html) -> Html:
    x = columns(len(names), LEFT, WIDTH)
    every = math.ceil(CHARACTER * max(map(len, names)) * len(names) / (WIDTH - LEFT))  # as many names as fit
    below = (
        label(x(number + 0.5), BASE + 18, name, "soft", "middle")
        for number, name in enumerate(names)
        if number % every == 0
    )
    mark = drawing.limit(y(limit), LEFT, WIDTH, tip=f"limit {limit:{form}}") if limit is not None else None
    return svg(WIDTH, HEIGHT, drawing.axis(y, LEFT, WIDTH, y.ticks, form), *shapes, mark, *below)
