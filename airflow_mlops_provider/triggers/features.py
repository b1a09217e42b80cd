"""Waits for features to be fresh in a feature store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.triggers.base import Seen, StateTrigger, filled, number, one_of, shown

#: By what a view's freshness is judged.
BY = ("materialized", "rows")


@dataclass(eq=False, repr=False, kw_only=True)
class FeastFreshnessTrigger(StateTrigger):
    """Fires when a feature view has been brought up to a recent moment.

    :param view: the feature view's name.
    :param within: seconds that may lie between that moment and now.
    :param by: ``materialized``: where the newest interval that was brought online ends; ``rows``: the newest row in the
        view's source, since an interval without rows is brought online as well.
    """

    view: str
    within: float
    by: str = "materialized"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.view, self.by, self.within = filled("view", self.view), one_of("by", self.by, BY), seconds(self.within)

    def look(self) -> Seen:
        from airflow_mlops_provider.hooks.feast import FeastHook

        repository, now = FeastHook(self.conn_id).open(), datetime.now(UTC)
        if self.by == "rows":
            newest = repository.newest_row(self.view, now - timedelta(seconds=self.within), now)
        else:
            newest = repository.materialized_until(self.view)
        return freshness(self.view, newest, now, self.within)


def freshness(view: str, newest: datetime | None, now: datetime, within: float) -> Seen:
    """Return whether a view that was brought up to a moment is fresh."""
    if newest is None:
        return Seen(None, f"view {view} has nothing within {timedelta(seconds=within)}")
    if now - newest > timedelta(seconds=within):
        return Seen(None, f"view {view} is of {shown(newest)}, older than {timedelta(seconds=within)}")
    return Seen(shown(newest), f"view {view} is of {shown(newest)}", {"view": view, "until": shown(newest)})


def seconds(within: timedelta | float | str) -> float:
    """Return a length of time in seconds. :raises ConfigurationError: if it is none, or not above 0."""
    length = within.total_seconds() if isinstance(within, timedelta) else number("within", within)
    if not length > 0:
        raise ConfigurationError(f"within is {within!r}; give a timedelta, or seconds, above 0")
    return length
