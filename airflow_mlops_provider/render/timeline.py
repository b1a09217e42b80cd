"""A loop's history in one drawing: how the live model did, how its inputs drifted, and how versions followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airflow_mlops_provider.lifecycle.release.gates import Estimate
from airflow_mlops_provider.render import charts
from airflow_mlops_provider.render.drawing import (
    Columns,
    Scale,
    axis,
    bar,
    dot,
    group,
    label,
    limit,
    line,
    linked,
    path,
    scale_of,
    svg,
)
from airflow_mlops_provider.render.markup import Html

WIDTH, LEFT, RIGHT = 1040, 112, 980
METRIC_TOP, METRIC_BASE = 58, 230
DRIFT = Scale(0, 1, 340, 262)
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
    columns = Columns(len(steps), LEFT, RIGHT)
    return svg(
        WIDTH,
        bottom + 30,
        *_grid(steps, columns, bottom),
        *_signals(steps, versions, columns),
        *_metric(steps, columns, metric, min_metric),
        *_drift(steps, columns, drift_share),
        label(NAMES, VERSIONS_TOP - 8, "versions", "soft", "end"),
        *(_version(version, columns, VERSIONS_TOP + ROW * row + 5) for row, version in enumerate(versions)),
    )


def _grid(steps: Sequence[Step], columns: Columns, bottom: float) -> Iterator[Html]:
    for at in range(len(steps) + 1):
        yield line((columns.edge(at), METRIC_TOP), (columns.edge(at), bottom), "grid")
    for at, step in enumerate(steps):
        yield label(columns.middle(at), bottom + 20, step.name, "soft", "middle")


def _signals(steps: Sequence[Step], versions: Sequence[VersionSpan], columns: Columns) -> Iterator[Html]:
    """Yield a mark at the end of each interval in which a limit was crossed, down to the version that answers it."""
    rows = {version.version: row for row, version in enumerate(versions)}
    for at, step in enumerate(steps):
        if not step.signal:
            continue
        x = columns.edge(at + 1)
        end = VERSIONS_TOP + ROW * rows[step.answer] + 5 if step.answer in rows else METRIC_BASE
        yield group(
            line((x, 34), (x, end), ""),
            path([(x - 7, 26), (x + 7, 26), (x, 38)], "", closed=True),
            label(x, 17, f"drift → v{step.answer}" if step.answer else "drift, no training", anchor="middle"),
            kind="signal" if step.answer else "signal unanswered",
            tip=f"{step.name}: {'; '.join(step.signal)}",
        )


def _metric(steps: Sequence[Step], columns: Columns, name: str, min_metric: float | None) -> Iterator[Html]:
    known = [step.metric for step in steps if step.metric]
    yield label(NAMES, METRIC_TOP - 12, name, "soft", "end", most=16)
    if not known:
        middle = (LEFT + RIGHT) / 2, (METRIC_TOP + METRIC_BASE) / 2
        yield label(*middle, "too few labels yet", "soft", "middle")
        return
    y = scale_of([*(edge for value in known for edge in (value.low, value.high)), min_metric], METRIC_BASE, METRIC_TOP)
    yield axis(y, LEFT, RIGHT, y.ticks, ".2f")
    if min_metric is not None:
        yield limit(y(min_metric), LEFT, RIGHT, f"least {min_metric:g}")
    for at, step in enumerate(steps):
        if step.metric:
            yield linked(step.performance_page, _value(columns.middle(at), step, step.metric, y))


def _value(x: float, step: Step, metric: Estimate, y: Scale) -> Html:
    return group(
        bar((x - 15, y(metric.high)), (x + 15, y(metric.low)), "interval"),
        dot(x, y(metric.value), 5),
        label(x + 22, y(metric.value) + 4, f"{metric.value:.3f}", "figure"),
        kind=_colour(step.version),
        tip=f"{step.name}, v{step.version}: {metric}",
    )


def _drift(steps: Sequence[Step], columns: Columns, drift_share: float) -> Iterator[Html]:
    yield label(NAMES, DRIFT.end - 10, "inputs drifted", "soft", "end")
    yield axis(DRIFT, LEFT, RIGHT, (0, 1), ".0%")
    for at, step in enumerate(steps):
        if step.share is not None:
            x = columns.middle(at)
            shape = charts.share(x, 20, DRIFT, step.share, drift_share, step.name)
            figure = label(x, DRIFT.start - 7, f"{step.share:.0%}", "inside", "middle")
            yield linked(step.drift_page, shape + figure)
    yield limit(DRIFT(drift_share), LEFT, RIGHT, f"limit {drift_share:.0%}")


def _version(version: VersionSpan, columns: Columns, y: float) -> Html:
    trained, judged = version.trained, version.judged
    return group(
        label(NAMES, y + 17, f"v{version.version}", "name", "end"),
        _block("trained", "trained on", columns.edge(trained[0]), columns.edge(trained[1] + 1), y),
        _block("judged", "judged on", columns.edge(judged[0]), columns.edge(judged[1] + 1), y),
        _service(version, columns, y),
        kind=_colour(version.version),
        tip=f"v{version.version}: {version.tip}",
    )


def _service(version: VersionSpan, columns: Columns, y: float) -> Html | None:
    begin = columns.edge(version.judged[1] + 1)
    if not version.served:
        return label(begin + 8, y + 17, "rejected", "soft")
    if version.until is None:
        return _block("serving", "live", begin, WIDTH - 6, y)
    return (
        _block("serving", "served", begin, columns.edge(version.until), y)
        if version.until > version.judged[1] + 1
        else None
    )


def _block(kind: str, words: str, begin: float, end: float, y: float) -> Html:
    name = label((begin + end) / 2, y + 16.5, words, "inside" if kind == "serving" else "label", "middle")
    return bar((begin + 2, y), (end - 2, y + 24), kind, rounded=5) + name


def _colour(version: int | None) -> str:
    return f"v{((version or 1) - 1) % COLOURS}"
