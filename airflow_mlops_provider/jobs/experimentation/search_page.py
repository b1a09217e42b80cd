"""The page of a search: how its trials went, what each setting was worth, and why it stopped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Choice, Span
from airflow_mlops_provider.lifecycle.search.trials import Trial, in_order
from airflow_mlops_provider.render.pages import page, table

COLOURS = {"complete": "#0b6e99", "pruned": "#b08a2e", "failed": "#b3423a", "best": "#7a5195", "line": "#98a4b0"}
WIDTH, HEIGHT, LEFT, TOP, BASE, RIGHT = 800, 300, 56, 16, 262, 690
SMALL, SMALL_HEIGHT = 260, 170


@dataclass(frozen=True)
class Story:
    """What a search's page tells.

    :param limits: named values to compare with (the naive baseline, the current settings, the target).
    :param best: the winner; None if there is none.
    """

    title: str
    metric: str
    stopped: str
    trials: Sequence[Trial]
    algorithms: Sequence[Algorithm]
    limits: dict[str, float]
    best: Trial | None
    notes: Sequence[str] = ()


def search_page(story: Story) -> str:
    """Return the whole page."""
    ended = in_order(story.trials)
    counts = {state: sum(1 for one in ended if one.state == state) for state in ("complete", "pruned", "failed")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    return page(
        story.title,
        f"{len(ended)} trials ended ({told}); {story.metric} on the validation rows. It stopped: {story.stopped}",
        *(f"<p>{escape(note)}</p>" for note in story.notes),
        f"<div class='comparison'>{comparison(story)}</div>",
        "<h2>Trials</h2>",
        table(("trial", "state", "algorithm", "settings", story.metric, "seconds", "why"), map(_row, ended)),
    )


def comparison(story: Story) -> str:
    """Return the drawing of all trials: the history with the best so far, then each searched setting's worth."""
    charts = [
        _worth(story, algorithm, name, span) for algorithm in story.algorithms for name, span in algorithm.space.items()
    ]
    rows = -(-len(charts) // 3)
    height = HEIGHT + 30 + rows * SMALL_HEIGHT
    placed = "".join(
        f"<g transform='translate({index % 3 * (SMALL + 8)},{HEIGHT + 24 + index // 3 * SMALL_HEIGHT})'>{chart}</g>"
        for index, chart in enumerate(charts)
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='100%' viewBox='0 0 {WIDTH} {height}' role='img' "
        f"font-family='system-ui,sans-serif' font-size='12'>{_history(story)}{placed}</svg>"
    )


def _history(story: Story) -> str:
    ended = in_order(story.trials)
    values = [one.value for one in ended if one.value is not None]
    low, high = _bounds([*values, *story.limits.values()])
    spot = {one.slot: LEFT + (number + 0.5) * (RIGHT - LEFT) / len(ended) for number, one in enumerate(ended)}

    def y(value: float) -> float:
        return BASE - (value - low) / (high - low) * (BASE - TOP)

    params = [_axis(y(value), f"{value:.3f}") for value in (low, (low + high) / 2, high)]
    params += [_limit(y(value), name, value) for name, value in story.limits.items()]
    params += [_path(_best_so_far(ended), spot, y)]
    params += [
        _dot(spot[one.slot], y(low if one.value is None else one.value), one, story.best, story.metric) for one in ended
    ]
    legend = "".join(
        f"<g transform='translate({LEFT + 110 * index},{BASE + 28})'>{_mark(0, -4, state)}"
        f"<text x='12'>{state}</text></g>"
        for index, state in enumerate(("complete", "pruned", "failed", "best"))
    )
    return "".join(params) + legend


def _best_so_far(ended: Iterable[Trial]) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for one in ended:
        if one.state == "complete" and one.value is not None:
            found.append((one.slot, max(one.value, found[-1][1] if found else one.value)))
    return found


def _path(best: list[tuple[int, float]], spot: dict[int, float], y: Any) -> str:
    if not best:
        return ""
    steps = [f"M{spot[best[0][0]]:.1f},{y(best[0][1]):.1f}"]
    steps += [f"H{spot[slot]:.1f}V{y(value):.1f}" for slot, value in best[1:]]
    return f"<path d='{''.join(steps)}' fill='none' stroke='{COLOURS['best']}' stroke-width='1.5'/>"


def _worth(story: Story, algorithm: Algorithm, name: str, span: Span) -> str:
    """Return a small drawing of one setting's values against what they reached."""
    seen = [one for one in story.trials if one.algorithm == algorithm.name and one.value is not None and one.ended]
    low, high = _bounds([one.value for one in story.trials if one.value is not None and one.ended])
    top, base, left, right = 26, SMALL_HEIGHT - 40, 8, SMALL - 12

    def y(value: float) -> float:
        return base - (value - low) / (high - low) * (base - top)

    dots = [
        _dot(left + _place(span, one.params[name]) * (right - left), y(one.value or 0.0), one, story.best, story.metric)
        for one in seen
        if name in one.params
    ]
    first, last = _ends(span)
    return (
        f"<text y='14' x='{left}'>{escape(algorithm.name)}: {escape(name)}</text>"
        f"<line x1='{left}' x2='{right}' y1='{base + 6}' y2='{base + 6}' stroke='{COLOURS['line']}'/>"
        f"<text x='{left}' y='{base + 22}' fill='#5b6b7a'>{escape(first)}</text>"
        f"<text x='{right}' y='{base + 22}' text-anchor='end' fill='#5b6b7a'>{escape(last)}</text>{''.join(dots)}"
    )


def _place(span: Span, value: Any) -> float:
    """Return where a value lies in its span, 0 to 1, on the span's own scale."""
    if isinstance(span, Choice):
        return (span.options.index(value) + 0.5) / len(span.options)
    if span.log:
        return math.log(value / span.low) / math.log(span.high / span.low)
    return float((value - span.low) / (span.high - span.low))


def _ends(span: Span) -> tuple[str, str]:
    if isinstance(span, Choice):
        return str(span.options[0]), str(span.options[-1])
    return f"{span.low:g}", f"{span.high:g}{' (log)' if span.log else ''}"


def _dot(x: float, y: float, one: Trial, best: Trial | None, metric: str) -> str:
    value = "no value" if one.value is None else f"{metric} {one.value:.4f}"
    settings = ", ".join(f"{name} {_plain(setting)}" for name, setting in one.params.items())
    told = f"trial {one.slot}: {one.state}, {value}; {one.algorithm} {settings}"
    mark = _mark(x, y, "best" if best and best.slot == one.slot else one.state)
    return f"<g><title>{escape(told)}</title>{mark}</g>"


def _mark(x: float, y: float, state: str) -> str:
    colour = COLOURS[state]
    if state == "failed":
        return f"<path d='M{x - 4:.1f},{y - 4:.1f}l8,8m0,-8l-8,8' stroke='{colour}' stroke-width='2'/>"
    fill = "none" if state == "pruned" else colour
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{6 if state == 'best' else 4}' fill='{fill}' stroke='{colour}'/>"


def _axis(y: float, text: str) -> str:
    return (
        f"<line x1='{LEFT}' x2='{RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e3e8ee'/>"
        f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end' fill='#5b6b7a'>{text}</text>"
    )


def _limit(y: float, name: str, value: float) -> str:
    line = (
        f"<line x1='{LEFT}' x2='{RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='{COLOURS['line']}' stroke-dasharray='4 4'/>"
    )
    return f"{line}<text x='{RIGHT + 6}' y='{y + 4:.1f}' fill='#5b6b7a'>{escape(name)} {value:.3f}</text>"


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room


def _row(one: Trial) -> tuple[Any, ...]:
    settings = ", ".join(f"{name} {_plain(value)}" for name, value in one.params.items())
    value = "" if one.value is None else one.value
    return one.slot, one.state, one.algorithm, settings, value, f"{one.seconds:.1f}", one.reason or ""


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
