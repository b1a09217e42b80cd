"""Lands a stream's entries as files below the landing root, in micro-batches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.triggers.base import NOTHING, Seen, StateTrigger, filled, number, whole

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.streams.landing import StreamLanding

#: So many names an event carries.
MOST_NAMES = 20


@dataclass(eq=False, repr=False, kw_only=True)
class StreamTrigger(StateTrigger):
    """Lands what a stream has had since, and fires when it has landed something or completed an interval.

    Of several at once, each entry is landed by one. An event is a wake-up call: what is landed lies below the root.

    :param conn_id: a connection of type ``mlops_stream``, or ``redis``.
    :param stream: its name.
    :param path: the folder of an interval below the landing root: ``orders/{start:%Y-%m-%d}/``; a source's own path.
    :param schedule: a cron expression, which cuts time into intervals; a product's own.
    :param start: a moment in the first interval that is landed, as text or datetime with a zone; a product's own.
    :param time_zone: the zone of the schedule.
    :param marker: the file in an interval's folder that is written once no further entry can be of it.
    :param json_field: the field whose text is the record, as a JSON object. Without it each field is a column of text.
    :param batch: so many entries make a file at most.
    :param max_seconds: for how long one look goes on to land; 0 for a single batch.
    :param lost_through: the id up to which entries are known to be lost, as an error has named it.
    """

    since: str | None = NOTHING
    stream: str
    path: str
    schedule: str
    start: str | datetime
    time_zone: str = "UTC"
    marker: str = "_COMPLETE"
    json_field: str | None = None
    batch: int = 10_000
    max_seconds: float = 30.0
    lost_through: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream, self.path = filled("stream", self.stream), filled("path", self.path)
        self.batch, self.max_seconds = whole("batch", self.batch) or 10_000, number("max_seconds", self.max_seconds)
        self.start = self.start if isinstance(self.start, str) else self.start.isoformat()
        self._landing: StreamLanding | None = None

    def look(self) -> Seen:
        """Land until there is nothing more, or the time is up, and return how far the stream is landed now."""
        landing, self._landing = self._landing or self.landing(), None
        ends, files, entries, marked = time.monotonic() + self.max_seconds, list[str](), 0, list[str]()
        while step := landing.step():
            (files if step.entries else marked).append(step.key)
            entries += step.entries
            if not step.more or time.monotonic() >= ends:
                break
        self._landing = landing
        assert landing.place
        through, interval = landing.place.behind.entry, landing.place.interval
        text = f"stream {self.stream} is landed through {through or 'nothing'}, in {interval}"
        facts = {"stream": self.stream, "entries": entries, "through": through}
        names = {"files": files[-MOST_NAMES:], "completed": marked[-MOST_NAMES:]}
        return Seen(f"{through} {interval.key}", text, {**facts, **names})

    def landing(self) -> StreamLanding:
        """Return what lands the stream. :raises ConfigurationError: if it can't, as the fields are."""
        from airflow_mlops_provider.backends.streams.landing import Plan, StreamLanding
        from airflow_mlops_provider.hooks import defaults
        from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
        from airflow_mlops_provider.hooks.stream import StreamHook
        from airflow_mlops_provider.storage.artifacts import open_store

        hook, plan = (
            ArtifactStoreHook(),
            Plan(
                stream=self.stream,
                path=self.path,
                marker=self.marker,
                since=_moment(self.start),
                json_field=self.json_field or None,
                most=self.batch,
                lost_through=self.lost_through or None,
            ),
        )
        store = open_store(defaults.landing_root(hook.settings()["root"]), hook.secrets())
        return StreamLanding(
            StreamHook(self.conn_id).server(), store, CronCalendar(self.schedule, self.time_zone), plan
        )


class CronCalendar:
    """The intervals into which a cron expression cuts time, as Airflow's own timetable does."""

    def __init__(self, schedule: str, time_zone: str) -> None:
        from airflow.exceptions import AirflowTimetableInvalid
        from airflow.timetables.interval import CronDataIntervalTimetable

        try:
            self._timetable = CronDataIntervalTimetable(schedule, timezone=time_zone)
            self._timetable.validate()
        except (AirflowTimetableInvalid, ValueError, KeyError) as error:
            raise ConfigurationError(f"schedule {schedule!r} in {time_zone!r} cuts no time: {error}") from None

    def containing(self, moment: datetime) -> Interval:
        return self.behind(self._ended_by(moment))

    def before(self, interval: Interval) -> Interval:
        return self._ended_by(interval.start)

    def behind(self, interval: Interval) -> Interval:
        import pendulum
        from airflow.timetables.base import DataInterval, TimeRestriction

        known = DataInterval(start=pendulum.instance(interval.start), end=pendulum.instance(interval.end))
        info = self._timetable.next_dagrun_info(
            last_automated_data_interval=known, restriction=TimeRestriction(earliest=None, latest=None, catchup=True)
        )
        assert info
        assert info.data_interval
        return _plain(info.data_interval.start, info.data_interval.end)

    def _ended_by(self, moment: datetime) -> Interval:
        import pendulum

        known = self._timetable.infer_manual_data_interval(run_after=pendulum.instance(moment))
        return _plain(known.start, known.end)


def _plain(start: datetime, end: datetime) -> Interval:
    """Return an interval of Python's own moments, which Pendulum's are not in all they do."""
    begins, ends = (datetime.fromtimestamp(moment.timestamp(), UTC) for moment in (start, end))
    return Interval(start=begins, end=ends)


def _moment(text: str | datetime) -> datetime:
    try:
        moment = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"start is {text!r}; give a moment such as 2026-01-01T00:00:00+00:00") from None
    if moment.tzinfo is None:
        raise ConfigurationError(f"start {text!r} has no zone; give one such as {text}+00:00")
    return moment
