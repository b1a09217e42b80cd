"""What a search comes to: why it stopped, its winner, and whether that is worth anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.metrics import Metric
from airflow_mlops_provider.lifecycle.search.declaration import Criteria
from airflow_mlops_provider.lifecycle.search.trials import Stop, Trial, best_of, in_order, stop


class Conclusion(Frozen):
    """The end of a search.

    :param stop: why it took no further trial; None if trials are left that nobody ended.
    :param unfinished: slots that were begun and not ended.
    :param current: what the pipeline's settings reached in it; None where they were not tried to the end.
    :param broken: why the winner is not worth exporting; empty if it is.
    :param needs_data_change: what points at the data rather than at the settings; None if nothing does.
    """

    stop: Stop | None
    ended: int
    unfinished: tuple[int, ...] = ()
    best: Trial | None = None
    current: float | None = None
    broken: tuple[str, ...] = ()
    needs_data_change: str | None = None

    @property
    def kind(self) -> str:
        """Why it stopped, in a word."""
        return self.stop.kind if self.stop else "unfinished"

    @property
    def stopped(self) -> str:
        """Why it stopped, in a sentence."""
        if self.stop:
            return self.stop.reason
        begun = f" (slot {', '.join(map(str, self.unfinished))} begun)" if self.unfinished else ""
        return f"{self.ended} trials have ended, others{begun} were given up; clear their tasks to go on"


def conclude(
    criteria: Criteria, trials: Iterable[Trial], baseline: float, current: int | None, metric: Metric
) -> Conclusion:
    """Return what a search comes to.

    :param baseline: the metric of the naive prediction on the validation rows.
    :param current: the slot that tried the pipeline's own settings; None if none did.
    """
    known = list(trials)
    best = best_of(known, metric)
    today = next((one for one in known if one.slot == current and one.state == "complete"), None)
    lost = tuple(_without_worth(best, baseline, today, metric))
    return Conclusion(
        stop=stop(criteria, known, metric),
        ended=len(in_order(known)),
        unfinished=tuple(one.slot for one in known if one.state == "running"),
        best=best,
        current=today.value if today else None,
        broken=lost,
        needs_data_change=_points_at_data(criteria, best, baseline, metric),
    )


def _without_worth(best: Trial | None, baseline: float, today: Trial | None, metric: Metric) -> Iterator[str]:
    if best is None or best.value is None:
        yield "no trial was complete"
        return
    if not metric.better(best.value, baseline):
        yield f"the best trial reached {best.value:.4f}, the naive baseline {baseline:.4f}"
    if today and today.value is not None and not metric.better(best.value, today.value):
        yield f"no trial beats the current settings, which reached {today.value:.4f}"


def _points_at_data(criteria: Criteria, best: Trial | None, baseline: float, metric: Metric) -> str | None:
    if best is None or best.value is None:
        return None
    if not metric.better(best.value, baseline):
        return f"no trial beats the naive baseline {baseline:.4f}: the best reached {best.value:.4f}"
    if criteria.target is not None and not metric.meets(best.value, criteria.target):
        return f"no trial reaches the target {criteria.target:g}: the best reached {best.value:.4f}"
    return None
