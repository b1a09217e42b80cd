"""A loop's history in one drawing: how the live model did, how its inputs drifted, and how versions followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airflow_mlops_provider.lifecycle.release.evaluation import Estimate
from airflow_mlops_provider.render import charts, drawing
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import link

WIDTH, LEFT, RIGHT = 1040, 112, 980
METRIC_TOP, METRIC_BASE = 58, 230
DRIFT = drawing.Scale(0, 1, 340, 262)
VERSIONS_TOP, ROW = 372, 34
NAMES = LEFT - 14  # where names end
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
class VersionSpan:
    """The intervals, by their number, that a version was trained and judged on, and served.

    :param until: the interval before which it stopped to serve; None if it serves still.
    :param served: whether it ever went live.
    """

    version: int
    trained: tuple[int, int]
    judged: tuple[int, int]
    until: int | None
    served: bool
    tip: str = ""


def timeline(
    steps: Sequence[Step], versions: Sequence[VersionSpan], metric: str, min_metric: float | None, drift_share: float
) -> Html:
    """Return the drawing: the metric with its intervals, the share of drifted inputs, and the versions."""
    bottom = VERSIONS_TOP + ROW * max(len(versions), 1)
    x = drawing.columns(len(steps), LEFT, RIGHT)
    return drawing.svg(
        WIDTH,
        bottom + 30,
        *_grid(steps, x, bottom),
        *_signals(steps, versions, x),
        *_metric(steps, x, metric, min_metric),
        *_drift(steps, x, drift_share),
        drawing.label(NAMES, VERSIONS_TOP - 8, "versions", "soft", "end"),
        *(_version(version, x, VERSIONS_TOP + ROW * row + 5) for row, version in enumerate(versions)),
    )


def _grid(steps: Sequence[Step], x: drawing.Scale, bottom: float) -> Iterator[Html]:
    for at in range(len(steps) + 1):
        yield drawing.line((x(at), METRIC_TOP), (x(at), bottom), "grid")
    for at, step in enumerate(steps):
        yield drawing.label(x(at + 0.5), bottom + 20, step.name, "soft", "middle")


def _signals(steps: Sequence[Step], versions: Sequence[VersionSpan], x: drawing.Scale) -> Iterator[Html]:
    """Yield a mark at the end of each interval in which a limit was crossed, down to the version that answers it."""
    rows = {version.version: row for row, version in enumerate(versions)}
    for at, step in enumerate(steps):
        if not step.signal:
            continue
        end_x = x(at + 1)
        end = VERSIONS_TOP + ROW * rows[step.answer] + 5 if step.answer in rows else METRIC_BASE
        yield drawing.group(
            drawing.line((end_x, 34), (end_x, end), ""),
            drawing.path([(end_x - 7, 26), (end_x + 7, 26), (end_x, 38)], "", closed=True),
            drawing.label(end_x, 17, f"drift → v{step.answer}" if step.answer else "drift, no training", "", "middle"),
            kind="signal" if step.answer else "signal unanswered",
            tip=f"{step.name}: {'; '.join(step.signal)}",
        )


def _metric(steps: Sequence[Step], x: drawing.Scale, name: str, min_metric: float | None) -> Iterator[Html]:
    known = list(filter(charts.is_finite, (step.metric for step in steps)))
    yield drawing.label(NAMES, METRIC_TOP - 12, name, "soft", "end", most=16)
    if not known:
        yield drawing.label((LEFT + RIGHT) / 2, (METRIC_TOP + METRIC_BASE) / 2, "too few labels yet", "soft", "middle")
        return
    edges = (edge for value in known for edge in (value.low, value.high))
    y = drawing.scale_of([*edges, min_metric], METRIC_BASE, METRIC_TOP)
    yield drawing.axis(y, LEFT, RIGHT, y.ticks, ".2f")
    if min_metric is not None:
        yield drawing.limit(y(min_metric), LEFT, RIGHT, f"least {min_metric:g}")
    for at, step in enumerate(steps):
        if charts.is_finite(step.metric):
            yield link(step.performance_page, _value(x(at + 0.5), step, step.metric, y))


def _value(x: float, step: Step, metric: Estimate, y: drawing.Scale) -> Html:
    return drawing.group(
        drawing.bar((x - 15, y(metric.high)), (x + 15, y(metric.low)), "interval"),
        drawing.dot(x, y(metric.value), 5),
        drawing.label(x + 22, y(metric.value) + 4, f"{metric.value:.3f}", "figure"),
        kind=_colour(step.version),
        tip=f"{step.name}, v{step.version}: {metric}",
    )


def _drift(steps: Sequence[Step], x: drawing.Scale, drift_share: float) -> Iterator[Html]:
    yield drawing.label(NAMES, DRIFT.end - 10, "inputs drifted", "soft", "end")
    yield drawing.axis(DRIFT, LEFT, RIGHT, (0, 1), ".0%")
    for at, step in enumerate(steps):
        if step.share is not None:
            middle = x(at + 0.5)
            shape = charts.share(middle, 20, DRIFT, step.share, drift_share, step.name)
            figure = drawing.label(middle, DRIFT.start - 7, f"{step.share:.0%}", "inside", "middle")
            yield link(step.drift_page, shape + figure)
    yield drawing.limit(DRIFT(drift_share), LEFT, RIGHT, f"limit {drift_share:.0%}")


def _version(version: VersionSpan, x: drawing.Scale, y: float) -> Html:
    trained, judged = version.trained, version.judged
    return drawing.group(
        drawing.label(NAMES, y + 17, f"v{version.version}", "name", "end"),
        _block("trained", "trained on", x(trained[0]), x(trained[1] + 1), y),
        _block("judged", "judged on", x(judged[0]), x(judged[1] + 1), y),
        _service(version, x, y),
        kind=_colour(version.version),
        tip=f"v{version.version}: {version.tip}",
    )


def _service(version: VersionSpan, x: drawing.Scale, y: float) -> Html | None:
    begin = x(version.judged[1] + 1)
    if not version.served:
        return drawing.label(begin + 8, y + 17, "rejected", "soft")
    if version.until is None:
        return _block("serving", "live", begin, WIDTH - 6, y)
    return _block("serving", "served", begin, x(version.until), y) if version.until > version.judged[1] + 1 else None


def _block(kind: str, words: str, begin: float, end: float, y: float) -> Html:
    name = drawing.label((begin + end) / 2, y + 16.5, words, "inside" if kind == "serving" else "label", "middle")
    return drawing.bar((begin + 2, y), (end - 2, y + 24), kind, rounded=5) + name


def _colour(version: int | None) -> str:
    return f"v{((version or 1) - 1) % COLOURS}"
