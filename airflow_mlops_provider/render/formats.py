"""How values are written for a person: names, moments, durations, settings."""

from __future__ import annotations

from datetime import datetime

from airflow_mlops_provider.lifecycle.interval import Interval


def title(name: str) -> str:
    """Return a name as a heading."""
    return name.replace("_", " ").capitalize()


def interval(span: Interval) -> str:
    """Return an interval's start without the parts that say nothing: ``Apr 2013`` for a month."""
    start = span.start
    return f"{start:%b %Y}" if start.day == 1 and not start.hour else f"{start:%d %b %Y %H:%M}".removesuffix(" 00:00")


def moment(when: datetime) -> str:
    """Return a moment, to the minute."""
    return f"{when:%d %b %Y %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return how long something took."""
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def number(value: float) -> str:
    """Return an amount in few digits."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def settings(values: dict[str, object]) -> str:
    """Return training settings in a line."""
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def shorten(words: str, most: int) -> str:
    """Return a text of at most so many characters."""
    return words if len(words) <= most else f"{words[: most - 1]}…"
