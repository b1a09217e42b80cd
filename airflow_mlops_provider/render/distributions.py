"""Small drawings of how values lie: histograms, frequent values, rows and labels over time, gaps over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from airflow_mlops_provider.render import drawing
from airflow_mlops_provider.render.drawing import Scale, bar, columns, label, svg
from airflow_mlops_provider.render.formats import number
from airflow_mlops_provider.render.markup import Html, tag

WIDTH, HEIGHT = 220, 74
WIDE, LEFT, RIGHT, TALL, BASE = 1040, 60, 1010, 190, 160
CELL, NAMES, LONGEST = 20, 170, 24
MOST_SHOWN = 5
Shares = Sequence[float | None]


def histogram(counts: Sequence[int], low: str, high: str) -> Html:
    """Return how many values lie in equal parts between two limits."""
    x, y = columns(len(counts), 0, WIDTH), Scale(0, max([*counts, 1]), HEIGHT - 18, 2)
    bars = (
        bar((x(at) + 0.5, y(count)), (x(at + 1) - 0.5, y(0)), tip=f"{count:,}", rounded=1)
        for at, count in enumerate(counts)
        if count
    )
    ends = label(0, HEIGHT - 3, low, "soft", most=16) + label(WIDTH, HEIGHT - 3, high, "soft", "end", most=16)
    return svg(WIDTH, HEIGHT, *bars, ends)


def frequent(values: Sequence[tuple[str, int]], rows: int) -> Html:
    """Return the most frequent values, each with its share of the rows."""
    shown, step = values[:MOST_SHOWN], HEIGHT / MOST_SHOWN
    x = Scale(0, max(1, rows), 0, WIDTH - 34)
    shapes = (
        bar((0, at * step + 1), (max(2.0, x(count)), at * step + step - 1), "part", f"{value}: {count:,}", 2)
        + label(4, at * step + step - 3.5, value, "soft", most=26)
        + label(WIDTH, at * step + step - 3.5, f"{count / max(1, rows):.0%}", "soft", "end")
        for at, (value, count) in enumerate(shown)
    )
    return svg(WIDTH, HEIGHT, *shapes)


def over_time(
    names: Sequence[str], rows: Sequence[int], known: Sequence[float] = (), means: Shares = (), of: str = ""
) -> Html:
    """Return the rows of each period, those with a label darker, and a line through the labels' mean.

    :param known: shares of rows with a label; none for data without. :param of: what the line is, in a reader's words.
    """
    x, y = columns(len(names), LEFT, RIGHT), Scale(0, max([*rows, 1]), BASE, 24)
    shares = known or [1.0] * len(rows)
    bars = (
        _rows((x(at) + 1, x(at + 1) - 1), y, rows[at], shares[at], f"{name}: {rows[at]:,} rows", bool(known))
        for at, name in enumerate(names)
    )
    there = [(at, mean) for at, mean in enumerate(means) if mean is not None]
    scale = drawing.scale_of([mean for _, mean in there], BASE, 24)
    points = [(x(at + 0.5), scale(mean)) for at, mean in there]
    dots = (
        drawing.dot(*point, 3, tip=f"{names[at]}: {number(mean)}")
        for point, (at, mean) in zip(points, there, strict=True)
    )
    words = f"bars: rows, the darker part has a label; line: {of}, from {number(scale.low)} to {number(scale.high)}"
    return svg(
        WIDE,
        TALL,
        drawing.axis(y, LEFT, RIGHT, (0, y.high), ",.0f"),
        *bars,
        drawing.group(drawing.path(points) if len(points) > 1 else None, *dots, kind="v1"),
        label(LEFT, 12, words, "soft") if known else None,
        *_below(names, x, BASE + 18),
    )


def _rows(sides: tuple[float, float], y: Scale, count: int, share: float, tip: str, labelled: bool) -> Html:
    tip = f"{tip}, {share:.0%} with a label" if labelled else tip
    whole = bar((sides[0], y(count)), (sides[1], y(0)), "rest", tip, 2)
    return whole + bar((sides[0], y(count * share)), (sides[1], y(0)), "interval", tip, 2)


def heat(names: Sequence[str], periods: Sequence[str], shares: Sequence[Sequence[float]]) -> Html:
    """Return a cell for each column and period, the fuller the more of it is missing."""
    x = columns(len(periods), NAMES, RIGHT)
    height = CELL * len(names)
    rows = (
        label(NAMES - 8, CELL * row + 14, name, "label", "end", most=LONGEST)
        + drawing.line((NAMES, CELL * (row + 1)), (RIGHT, CELL * (row + 1)), "axis")
        for row, name in enumerate(names)
    )
    cells = (
        tag(
            "rect",
            tag("title", f"{names[row]}, {periods[at]}: {share:.0%} missing"),
            class_="heat",
            x=x(at),
            y=CELL * row + 1,
            width=x(1) - x(0),
            height=CELL - 2,
            fill_opacity=f"{0.12 + 0.88 * share:.2f}",
        )
        for row, line in enumerate(shares)
        for at, share in enumerate(line)
        if share
    )
    return svg(WIDE, height + 22, *rows, *cells, *_below(periods, x, height + 16))


def _below(names: Sequence[str], x: Scale, y: float) -> list[Html]:
    """Return as many names as fit below their columns."""
    every = max(1, math.ceil(7 * max(map(len, names), default=1) * len(names) / (x.end - x.start)))
    return [label(x(at + 0.5), y, name, "soft", "middle") for at, name in enumerate(names) if at % every == 0]
