"""A table's whole profile: measured and decided in turns, as what is the label decides what may give it away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.backends.profiles import columns as by_column
from airflow_mlops_provider.backends.profiles import time as by_time
from airflow_mlops_provider.backends.profiles.label import label_profile
from airflow_mlops_provider.backends.profiles.leaks import suspects
from airflow_mlops_provider.backends.profiles.naive import naive, seasonal, split
from airflow_mlops_provider.backends.profiles.values import Floats, Values, values_of
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.initiation import candidates
from airflow_mlops_provider.lifecycle.initiation.problem import CLASSES, Problem, choose
from airflow_mlops_provider.lifecycle.initiation.profile import (
    Candidate,
    ColumnProfile,
    LabelProfile,
    Naive,
    Profile,
    Reading,
    Suspect,
    TimeProfile,
)
from airflow_mlops_provider.lifecycle.initiation.propose import metric_for

#: What is given in place of a label where nothing is labelled.
NO_LABEL = "none"


@dataclass(frozen=True)
class _When:
    """Each row's time, and how rows lie in it."""

    seconds: Floats
    profile: TimeProfile

    @property
    def columns(self) -> set[str]:
        return {self.profile.column, *self.profile.parts}


class Look:
    """A table that is looked at: read once, and looked at again when somebody names another label.

    :raises SourceDataError: for a table of one column, from which nothing can be learned.
    """

    def __init__(self, table: pa.Table, reading: Reading) -> None:
        self.values, missing, left_out = values_of(table)
        self.reading = reading.model_copy(update={"missing": missing, "left_out": {**reading.left_out, **left_out}})
        if len(self.values) < 2:
            names = ", ".join(self.values) or "none"
            raise SourceDataError(f"{reading.source} has only one column to look at ({names}); give two or more")
        related = by_column.associations(self.values)
        self.columns = tuple(
            by_column.column_profile(values).model_copy(update={"association": related.get(name)})
            for name, values in self.values.items()
        )

    def profile(
        self, label: str | None = None, time: str | None = None, problem: str | None = None
    ) -> tuple[Profile, Problem]:
        """Return the profile, and the kind of problem.

        :param label, time, problem: what the user names in place of what is proposed; the label may be ``none``.
        :raises UnknownNameError: for a column or a kind that there is not; lists those there are.
        :raises ConfigurationError: for a label, a time or a kind that can't be one.
        """
        only_known("column", [name for name in (label, time) if name and name != NO_LABEL], self.values)
        times = self._times(time)
        taken = {times[0].column, *times[0].parts} if times else set()
        labels = candidates.labels(self.columns, self.reading.sampled, taken)
        guess = labels[0].column if labels and problem != "anomaly_detection" else None
        name = None if label == NO_LABEL else label or guess
        when = self._when(times[0], name) if times else None
        own = self._column(name) if name else None
        seconds, in_time = (when.seconds, when.profile) if when else (None, None)
        chosen = choose(own, self.columns, self.reading.sampled, in_time, problem)
        known = label_profile(self.values[name], self.values, seconds, in_time) if name else None
        profile = Profile(
            reading=self.reading,
            columns=self._over_time(when) if when else self.columns,
            duplicates=by_column.duplicates(self.values),
            times=times,
            labels=labels,
            time=in_time,
            label=known,
            problem=chosen.kind,
            guessed=label is None,
            suspects=self._suspects(known, when, chosen) if known else (),
            naive=self._naive(own, when, chosen) if own else None,
        )
        return profile, chosen

    def _times(self, given: str | None) -> tuple[Candidate, ...]:
        """Return the columns that may be the time, that which is taken first; none if none is likely."""
        times = candidates.times(self.columns)
        if given is None:
            return times if times and times[0].points >= candidates.LEAST_TIME else ()
        if given not in [each.column for each in times]:
            known = ", ".join(each.column for each in times) or "none of the columns"
            raise ConfigurationError(f"column {given!r} holds {self._column(given).type}, not times; {known} may")
        return tuple(sorted(times, key=lambda each: each.column != given))

    def _when(self, candidate: Candidate, label: str | None) -> _When:
        seconds = by_time.seconds_of(self.values, candidate)
        return _When(seconds, by_time.time_profile(seconds, candidate, self.values, {label or ""}))

    def _column(self, name: str) -> ColumnProfile:
        return next(column for column in self.columns if column.name == name)

    def _suspects(self, label: LabelProfile, when: _When | None, chosen: Problem) -> tuple[Suspect, ...]:
        """Return what may give the label away. When it became known is no secret: that column is no input anyway."""
        if chosen.kind == "multilabel_classification":
            return ()
        values = self.values[label.column]
        classes = chosen.kind in CLASSES or values.type in ("string", "bool")
        beside = {label.column, label.delay.known_at if label.delay else None, *(when.columns if when else ())}
        others = {name: other for name, other in self.values.items() if name not in beside and other.distinct > 1}
        seconds, time = (when.seconds, when.profile.column) if when else (None, None)
        return tuple(suspects(values, others, seconds, time, classes=classes))

    def _naive(self, label: ColumnProfile, when: _When | None, chosen: Problem) -> Naive | None:
        judged = split(when.seconds if when else None, by_column.row_hashes(self.values))
        values, metric = self.values[label.name], metric_for(chosen.kind, label)
        if chosen.kind != "forecasting" or when is None or when.profile.step is None:
            return naive(values, chosen.kind, metric, judged)
        keys = {key: self.values[key] for key in when.profile.keys}
        series = by_column.row_hashes(keys) if keys else np.zeros(len(judged), dtype=np.uint64)
        return seasonal(values, judged, when.seconds, series, when.profile.step, metric)

    def _over_time(self, when: _When) -> tuple[ColumnProfile, ...]:
        shown = when.profile.periods
        period, count = by_time.period_of(when.seconds, shown), len(shown.starts)
        moved = by_time.drifts(_without(self.values, when.columns), when.seconds)
        gaps = {
            column.name: tuple(
                share or 0.0
                for share in by_time.mean_by_period(self.values[column.name].missing.astype(float), period, count)
            )
            for column in self.columns
            if column.missing
        }
        return tuple(
            column.model_copy(update={"drift": moved.get(column.name), "missing_by_period": gaps.get(column.name, ())})
            for column in self.columns
        )


def _without(values: Mapping[str, Values], names: set[str]) -> dict[str, Values]:
    return {name: each for name, each in values.items() if name not in names}
