"""The page of a search: how its trials went, what each setting was worth, and why it stopped."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.search.conclusion import Conclusion
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Choice, Span
from airflow_mlops_provider.lifecycle.search.trials import State, Trial, in_order
from airflow_mlops_provider.render import drawing
from airflow_mlops_provider.render.formats import settings
from airflow_mlops_provider.render.markup import Html, tag
from airflow_mlops_provider.render.parts import card, muted, report, table

WIDTH, HEIGHT, LEFT, TOP, BASE, RIGHT = 800, 300, 56, 16, 262, 690
# Each searched setting has a small chart, three in a row.
SMALL, SMALL_HEIGHT, SMALL_TOP, SMALL_BASE, SMALL_LEFT, SMALL_RIGHT = 268, 170, 26, 130, 8, 248
LONGEST = 32
STATES: tuple[State, ...] = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class SearchSummary:
    """What a search's page shows.

    :param limits: named values to compare with (the naive baseline, the current settings, the target).
    :param left_out: why some algorithms were not tried.
    """

    title: str
    metric: Metric
    conclusion: Conclusion
    trials: Sequence[Trial]
    algorithms: Sequence[Algorithm]
    limits: Mapping[str, float]
    left_out: Mapping[str, str]


def search_page(summary: SearchSummary) -> Html:
    """Return the whole page."""
    ended, end = in_order(summary.trials), summary.conclusion
    states = Counter(trial.state for trial in ended)
    counts = ", ".join(f"{states[state]} {state}" for state in STATES)
    head = ("#trial", "state", "algorithm", "settings", f"#{summary.metric.name}", "#seconds", "why")
    return report(
        summary.title,
        f"{end.ended} trials ended ({counts}); {summary.metric.name} on the validation rows. It stopped: {end.stopped}",
        *map(muted, end.broken),
        *(muted(f"{name} was left out: {why}") for name, why in summary.left_out.items()),
        card("All trials", tag("div", comparison(summary), class_="scroll")),
        card("Trials", table(head, map(_row, ended))),
    )


def comparison(summary: SearchSummary, alone: bool = False) -> Html:
    """Return the drawing of all trials: the history with the best so far, then each searched setting's worth.

    :param alone: it is to be a file of its own.
    """
    searched = [(algorithm, name, span) for algorithm in summary.algorithms for name, span in algorithm.space.items()]
    charts = (
        drawing.group(*_worth(summary, *chart), move=(number % 3 * SMALL, HEIGHT + 24 + number // 3 * SMALL_HEIGHT))
        for number, chart in enumerate(searched)
    )
    height = HEIGHT + 30 + math.ceil(len(searched) / 3) * SMALL_HEIGHT
    return drawing.svg(WIDTH, height, *_history(summary), *charts, title=summary.title, alone=alone)


def _history(summary: SearchSummary) -> Iterator[Html]:
    ended = in_order(summary.trials)
    x = drawing.columns(len(ended), LEFT, RIGHT)
    y = drawing.scale_of([*(trial.value for trial in ended), *summary.limits.values()], BASE, TOP, 0.06)
    yield drawing.axis(y, LEFT, RIGHT, y.ticks, ".3f")
    for name, value in summary.limits.items():
        yield drawing.group(drawing.limit(y(value), LEFT, RIGHT, f"{name} {value:.3f}"), kind="neutral")
    yield drawing.group(drawing.path(_best_so_far(ended, summary.metric, x, y)), kind="best")
    for number, trial in enumerate(ended):
        yield _trial(x(number + 0.5), y(y.low if trial.value is None else trial.value), trial, summary)
    for number, state in enumerate((*STATES, "best")):
        begin = LEFT + 110 * number
        yield _mark(begin, BASE + 24, state) + drawing.label(begin + 12, BASE + 28, state)


def _best_so_far(
    ended: Sequence[Trial], metric: Metric, x: drawing.Scale, y: drawing.Scale
) -> Iterator[tuple[float, float]]:
    """Yield the corners of a line that steps at each trial better than all before it."""
    best: float | None = None
    for number, trial in enumerate(ended):
        if trial.state == "complete" and trial.value is not None:
            if best is not None:
                yield x(number + 0.5), y(best)
            if best is None or metric.better(trial.value, best):
                best = trial.value
            yield x(number + 0.5), y(best)


def _worth(summary: SearchSummary, algorithm: Algorithm, name: str, span: Span) -> Iterator[Html]:
    """Yield a small chart of one setting's values against what they reached."""
    ended = [trial for trial in summary.trials if trial.ended and trial.value is not None]
    y = drawing.scale_of([trial.value for trial in ended], SMALL_BASE, SMALL_TOP, 0.06)
    x = drawing.Scale(0, 1, SMALL_LEFT, SMALL_RIGHT)
    yield drawing.label(SMALL_LEFT, 14, f"{algorithm.name}: {name}", most=LONGEST)
    yield drawing.line((SMALL_LEFT, SMALL_BASE + 6), (SMALL_RIGHT, SMALL_BASE + 6), "axis")
    for at, end, anchor in zip((SMALL_LEFT, SMALL_RIGHT), _ends(span), ("", "end"), strict=True):
        yield drawing.label(at, SMALL_BASE + 22, end, "soft", anchor, most=LONGEST // 2)
    for trial in ended:
        if trial.algorithm == algorithm.name and trial.value is not None and name in trial.params:
            yield _trial(x(_position(span, trial.params[name])), y(trial.value), trial, summary)


def _position(span: Span, value: float | str | None) -> float:
    """Return where a value lies in its span, 0 to 1, on the span's own scale."""
    if isinstance(span, Choice):
        return (span.options.index(value) + 0.5) / len(span.options)
    number = float(value or 0)
    if span.log:
        return math.log(number / span.low) / math.log(span.high / span.low)
    return (number - span.low) / (span.high - span.low)


def _ends(span: Span) -> tuple[str, str]:
    if isinstance(span, Choice):
        return str(span.options[0]), str(span.options[-1])
    return f"{span.low:g}", f"{span.high:g}{' (log)' if span.log else ''}"


def _trial(x: float, y: float, trial: Trial, summary: SearchSummary) -> Html:
    value = "no value" if trial.value is None else f"{summary.metric.name} {trial.value:.4f}"
    tip = f"trial {trial.slot}: {trial.state}, {value}; {trial.algorithm} {settings(trial.params)}"
    best = summary.conclusion.best
    return drawing.group(_mark(x, y, "best" if best and best.slot == trial.slot else trial.state), tip=tip)


def _mark(x: float, y: float, state: str) -> Html:
    if state == "failed":
        return tag("path", class_="cross failed", d=f"M{x - 4:.1f},{y - 4:.1f}l8,8m0,-8l-8,8")
    kind = "dot pruned hollow" if state == "pruned" else f"dot {state}"
    return drawing.dot(x, y, 6 if state == "best" else 4, kind)


def _row(trial: Trial) -> tuple[str | float | None, ...]:
    begin = (trial.slot, trial.state, trial.algorithm, settings(trial.params))
    return *begin, trial.value, f"{trial.seconds:.1f}", trial.reason
