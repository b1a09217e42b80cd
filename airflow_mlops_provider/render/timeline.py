"""One drawing of a loop's history: how the live model did, how its inputs drifted, and how versions followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from airflow_mlops_provider.lifecycle.monitoring.limits import reached
from airflow_mlops_provider.lifecycle.product import Monitoring
from airflow_mlops_provider.lifecycle.release.gates import Estimate
from airflow_mlops_provider.render.charts import linked

WIDTH, LEFT, RIGHT = 1040, 112, 60
METRIC_TOP, METRIC_BASE = 58, 230
DRIFT_TOP, DRIFT_BASE = 262, 340
VERSIONS_TOP, ROW = 372, 34
COLOURS = 5


@dataclass(frozen=True)
class Step:
    """One data interval.

    :param version: the version that predicted it.
    :param share: share of model inputs that drifted.
    :param signal: the limits that were crossed; empty if none.
    :param answer: the version that was trained upon the signal.
    :param performance_page: address of the report that the metric is from; ``drift_page``, of that on drift.
    """

    name: str
    version: int | None = None
    metric: Estimate | None = None
    share: float | None = None
    signal: tuple[str, ...] = ()
    answer: int | None = None
    performance_page: str = ""
    drift_page: str = ""


@dataclass(frozen=True)
class Life:
    """A version's way: the intervals, by their place in the drawing, that it learned from and was judged on.

    :param until: the place before which it stopped to serve; None if it serves still.
    :param served: whether it ever went live.
    """

    version: int
    trained: tuple[int, int]
    judged: tuple[int, int]
    until: int | None
    served: bool
    tip: str = ""


def timeline(steps: Sequence[Step], lives: Sequence[Life], metric: str, limits: Monitoring) -> str:
    """Return the drawing: the metric with its intervals, the share of drifted inputs, and the versions' lives."""
    bottom = VERSIONS_TOP + ROW * max(len(lives), 1)
    drawing = [
        *_months(steps, bottom),
        *_signals(steps, lives),
        *_metric(steps, metric, limits.min_metric),
        *_drift(steps, limits.drift_share),
        *_lives(lives, len(steps)),
    ]
    return f"<svg class='history' viewBox='0 0 {WIDTH} {bottom + 30}' role='img'>{''.join(drawing)}</svg>"


def _months(steps: Sequence[Step], bottom: float) -> Iterator[str]:
    for at, step in enumerate(steps):
        yield _line("grid", _edge(at, len(steps)), METRIC_TOP, bottom)
        yield _text(_middle(at, len(steps)), bottom + 20, step.name, "soft", "middle")
    yield _line("grid", _edge(len(steps), len(steps)), METRIC_TOP, bottom)


def _signals(steps: Sequence[Step], lives: Sequence[Life]) -> Iterator[str]:
    """Yield a mark at the end of each interval in which a limit was crossed, down to the version that answers it."""
    rows = {life.version: row for row, life in enumerate(lives)}
    for at, step in enumerate(steps):
        if not step.signal:
            continue
        x = _edge(at + 1, len(steps))
        end = VERSIONS_TOP + ROW * rows[step.answer] + 5 if step.answer in rows else METRIC_BASE
        label = f"drift → v{step.answer}" if step.answer else "drift, no training"
        tip = "; ".join(step.signal)
        yield f"<g class='signal{'' if step.answer else ' held'}'><title>{escape(step.name)}: {escape(tip)}</title>"
        yield _line("", x, 34, end)
        yield f"<path d='M{x - 7:.1f},26 h14 l-7,12 z'/>{_text(x, 17, label, '', 'middle')}</g>"


def _metric(steps: Sequence[Step], metric: str, limit: float | None) -> Iterator[str]:
    known = [step.metric for step in steps if step.metric]
    yield _text(LEFT - 14, METRIC_TOP - 12, metric, "soft", "end")
    if not known:
        yield _text((LEFT + WIDTH - RIGHT) / 2, (METRIC_TOP + METRIC_BASE) / 2, "too few labels yet", "soft", "middle")
        return
    bounds = [edge for found in known for edge in (found.low, found.high)] + ([limit] if limit is not None else [])
    low, high = min(bounds) - 0.01, max(bounds) + 0.01
    yield from _axis((low, (low + high) / 2, high), low, high, METRIC_TOP, METRIC_BASE, ".2f")
    if limit is not None:
        yield from _limit(_height(limit, low, high, METRIC_TOP, METRIC_BASE), f"least {limit:g}")
    for at, step in enumerate(steps):
        if step.metric:
            yield linked([escape(step.performance_page)], _dot(_middle(at, len(steps)), step, step.metric, low, high))


def _dot(x: float, step: Step, found: Estimate, low: float, high: float) -> str:
    y, top, base = (_height(v, low, high, METRIC_TOP, METRIC_BASE) for v in (found.value, found.high, found.low))
    return (
        f"<g class='{_colour(step.version)}'><title>{escape(step.name)}, v{step.version}: {escape(str(found))}</title>"
        f"<rect class='span' x='{x - 15:.1f}' y='{top:.1f}' width='30' height='{base - top:.1f}' rx='4'/>"
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='5'/>{_text(x + 22, y + 4, f'{found.value:.3f}', 'figure', 'start')}</g>"
    )


def _drift(steps: Sequence[Step], limit: float) -> Iterator[str]:
    yield _text(LEFT - 14, DRIFT_TOP - 10, "inputs drifted", "soft", "end")
    yield from _axis((0.0, 1.0), 0.0, 1.0, DRIFT_TOP, DRIFT_BASE, ".0%")
    for at, step in enumerate(steps):
        if step.share is not None:
            x, y = _middle(at, len(steps)), _height(step.share, 0.0, 1.0, DRIFT_TOP, DRIFT_BASE)
            kind = "over" if reached(step.share, limit) else "bar"
            drawing = (
                f"<rect class='{kind}' x='{x - 20:.1f}' y='{y:.1f}' width='40' height='{DRIFT_BASE - y:.1f}' rx='3'/>"
                f"{_text(x, DRIFT_BASE - 7, f'{step.share:.0%}', 'inside', 'middle')}"
            )
            yield linked([escape(step.drift_page)], drawing)
    yield from _limit(_height(limit, 0.0, 1.0, DRIFT_TOP, DRIFT_BASE), f"limit {limit:.0%}")


def _lives(lives: Sequence[Life], count: int) -> Iterator[str]:
    yield _text(LEFT - 14, VERSIONS_TOP - 8, "versions", "soft", "end")
    for row, life in enumerate(lives):
        y = VERSIONS_TOP + ROW * row + 5
        colour = _colour(life.version)
        yield f"<g class='{colour}'><title>v{life.version}: {escape(life.tip)}</title>"
        yield _text(LEFT - 14, y + 17, f"v{life.version}", "name", "end")
        yield _block("learned", "learned from", _edge(life.trained[0], count), _edge(life.trained[1] + 1, count), y)
        yield _block("judged", "judged on", _edge(life.judged[0], count), _edge(life.judged[1] + 1, count), y)
        begin = _edge(life.judged[1] + 1, count)
        if life.served and life.until is None:
            yield _block("serving", "live", begin, WIDTH - 6, y)
        elif life.served and life.until is not None and life.until > life.judged[1] + 1:
            yield _block("serving", "served", begin, _edge(life.until, count), y)
        elif not life.served:
            yield _text(begin + 8, y + 17, "rejected", "soft", "start")
        yield "</g>"


def _block(kind: str, words: str, begin: float, end: float, y: float) -> str:
    return (
        f"<rect class='{kind}' x='{begin + 2:.1f}' y='{y}' width='{end - begin - 4:.1f}' height='24' rx='5'/>"
        f"{_text((begin + end) / 2, y + 16.5, words, f'on-{kind}', 'middle')}"
    )


def _axis(values: Sequence[float], low: float, high: float, top: float, base: float, form: str) -> Iterator[str]:
    for value in values:
        y = _height(value, low, high, top, base)
        yield f"<line class='axis' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
        yield _text(LEFT - 14, y + 4, f"{value:{form}}", "soft", "end")


def _limit(y: float, words: str) -> Iterator[str]:
    yield f"<line class='limit' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
    yield _text(WIDTH - RIGHT + 6, y + 4, words, "beyond", "start")


def _line(kind: str, x: float, top: float, base: float) -> str:
    return f"<line class='{kind}' x1='{x:.1f}' x2='{x:.1f}' y1='{top:.1f}' y2='{base:.1f}'/>"


def _text(x: float, y: float, words: str, kind: str, anchor: str) -> str:
    return f"<text class='{kind}' x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(words)}</text>"


def _colour(version: int | None) -> str:
    return f"v{((version or 1) - 1) % COLOURS}"


def _edge(at: int, count: int) -> float:
    return LEFT + at * (WIDTH - LEFT - RIGHT) / max(count, 1)


def _middle(at: int, count: int) -> float:
    return (_edge(at, count) + _edge(at + 1, count)) / 2


def _height(value: float, low: float, high: float, top: float, base: float) -> float:
    return base - (value - low) / (high - low) * (base - top)
