"""The conclusion of a search: why it stopped, its winner, and whether that is worth exporting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.search.declaration import Criteria
from airflow_mlops_provider.lifecycle.search.trials import Stop, Trial, best_of, in_order, stop


class Conclusion(Frozen):
    """The end of a search.

    :param stop: why it took no further trial; None if trials are left that nobody ended.
    :param ended, unfinished: how many trials ended, and the slots that were begun and did not.
    :param current: what the pipeline's settings reached in it; None where they were not tried to the end.
    :param broken: why the winner is not worth exporting.
    :param needs_data_change: what points at the data rather than at the settings.
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
    criteria: Criteria, trials: Sequence[Trial], baseline: float, current: int | None, metric: Metric
) -> Conclusion:
    """Return the conclusion of a search. Slot ``current`` tried the pipeline's own settings, if that is not None."""
    best = best_of(trials, metric)
    reached = next((trial.value for trial in trials if trial.slot == current and trial.state == "complete"), None)
    return Conclusion(
        stop=stop(criteria, trials, metric),
        ended=len(in_order(trials)),
        unfinished=tuple(trial.slot for trial in trials if trial.state == "running"),
        best=best,
        current=reached,
        broken=tuple(_shortcomings(best, baseline, reached, metric)),
        needs_data_change=_data_problem(criteria, best, baseline, metric),
    )


def _shortcomings(best: Trial | None, baseline: float, current: float | None, metric: Metric) -> Iterator[str]:
    if best is None or best.value is None:
        yield "no trial was complete"
        return
    if not metric.better(best.value, baseline):
        yield f"the best trial reached {best.value:.4f}, the naive baseline {baseline:.4f}"
    if current is not None and not metric.better(best.value, current):
        yield f"no trial beats the current settings, which reached {current:.4f}"


def _data_problem(criteria: Criteria, best: Trial | None, baseline: float, metric: Metric) -> str | None:
    if best is None or best.value is None:
        return None
    if not metric.better(best.value, baseline):
        return f"no trial beats the naive baseline {baseline:.4f}: the best reached {best.value:.4f}"
    if criteria.target is not None and not metric.meets(best.value, criteria.target):
        return f"no trial reaches the target {criteria.target:g}: the best reached {best.value:.4f}"
    return None
