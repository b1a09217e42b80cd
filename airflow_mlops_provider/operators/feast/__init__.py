"""A team's own Feast repository: apply, materialize, retrieve and push, in anybody's DAG, without a product."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from airflow.sdk import Context

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.lifecycle.interval import Interval, interval_of
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.triggers.base import filled, one_of

TO = ("online", "offline", "online_and_offline")


class RepositoryJob(JobOperator):
    """Runs a job on the Feast repository of a connection.

    :param conn_id: a connection of type ``feast`` with a ``repository``: the folder of its ``feature_store.yaml``, as
        it is found where the job runs.
    """

    service = "feast"
    roles: ClassVar[tuple[str, ...] | None] = ()
    template_fields: Sequence[str] = ("conn_id",)

    def __init__(self, *, conn_id: str = FeastHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)

    def sections(self) -> dict[str, Any]:
        """Return the job's settings."""
        return {"repository": str(FeastHook(self.conn_id).repository())}


class FeastApplyOperator(RepositoryJob):
    """Brings the registry and the online store's tables to what the repository's code says, as ``feast apply`` does.

    It hands on what was ``added``, ``changed`` and ``removed``, by kind and name, as ``feature view driver_stats``.

    :param skip_source_validation: do not look whether the sources are there.
    """

    job = "apply_repository"

    def __init__(self, *, skip_source_validation: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skip_source_validation = skip_source_validation

    def sections(self) -> dict[str, Any]:
        return {**super().sections(), "skip_source_validation": self.skip_source_validation}


class FeastMaterializeOperator(RepositoryJob):
    """Brings rows of the run's own data interval online, both ends included, as ``feast materialize`` has it.

    Of an interval that lies before what is online already, all that follows it is brought online with it: an entity
    never goes back in time. It hands on the span of each view, as ``views``.

    :param views: the feature views, by name; by default all that are kept online.
    :param start, end: another span: a moment, or text in ISO 8601; without a zone it is UTC.
    :param incremental: begin where each view's last span ended; before its first, its time to live ahead of the end.
    """

    job = "materialize_views"
    template_fields: Sequence[str] = (*RepositoryJob.template_fields, "views", "start", "end")

    def __init__(
        self,
        *,
        views: Sequence[str] | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        incremental: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if incremental and start is not None:
            raise ConfigurationError("incremental=True begins where the last span ended; leave start out")
        for name, value in (("start", start), ("end", end)):
            if "{{" not in str(value):
                moment(name, value)
        self.views, self.start, self.end, self.incremental = views, start, end, incremental

    def sections(self) -> dict[str, Any]:
        return {**super().sections(), "views": self.views}

    def interval(self, context: Context) -> Interval | None:
        """Return what is materialized; of an incremental one, whose beginning Feast knows, the run's own interval."""
        start, end = self.span(context)
        return Interval(start=start, end=end) if start else interval_of(context)

    def params_of(self, context: Context) -> dict[str, Any]:
        return {
            name: value.isoformat() for name, value in zip(("start", "end"), self.span(context), strict=True) if value
        }

    def span(self, context: Context) -> tuple[datetime | None, datetime]:
        """Return from when to when. :raises ConfigurationError: if neither arguments nor run tell."""
        run = interval_of(context)
        if self.incremental:
            start, end = None, moment("end", self.end) or context.get("data_interval_end")
        else:
            start = moment("start", self.start) or (run.start if run else None)
            end = moment("end", self.end) or (run.end if run else None)
        if end is None or not (start or self.incremental):
            raise ConfigurationError(
                "the run has no data interval, as with schedule='@daily' unless [scheduler] create_cron_data_intervals "
                "is on; give start and end, or incremental=True, or the DAG a CronDataIntervalTimetable"
            )
        if start and not start < end:
            raise ConfigurationError(f"nothing lies between {start} and {end}; give an end after the start")
        return start, end


class FeastRetrieveOperator(RepositoryJob):
    """Joins rows with features as they were known at each row's moment; hands on a dataset with the one ``table``.

    No row is left out: ``unmatched`` counts those without any feature of a view, by the view's name. ``definitions``
    holds the hash of each view and service that decided. It always runs, for what lies in the offline store may have
    changed; the same features have the same hash, so that what is made of them is found again.

    :param entities: the rows: what another task hands on, ``Files``, ``Sql``, or a path.
    :param service: the feature service whose features are wanted.
    :param features: or these, as ``view:feature``.
    :param event_time: the column of each row's moment, which comes to be called ``event_timestamp``, in UTC.
    :param full_feature_names: call a feature ``view__feature``.
    """

    job = "retrieve_features"
    roles = ("entities",)
    template_fields: Sequence[str] = (
        *RepositoryJob.template_fields,
        "entities",
        "feature_service",
        "features",
        "event_time",
    )

    def __init__(
        self,
        *,
        entities: Any,
        service: str | None = None,
        features: Sequence[str] | None = None,
        event_time: str = "event_timestamp",
        full_feature_names: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (service is None) == (features is None):
            raise ConfigurationError("say which features: service, or features as view:feature; one of the two")
        self.entities = entities
        self.feature_service, self.features = service, features
        self.event_time, self.full_feature_names = event_time, full_feature_names

    def sections(self) -> dict[str, Any]:
        names = ("features", "event_time", "full_feature_names")
        own = {"service": self.feature_service, **{name: getattr(self, name) for name in names}}
        return {**super().sections(), **own}


class FeastPushOperator(RepositoryJob):
    """Pushes rows to a push source, to all views that take from it. Again, it doubles nothing.

    It hands on how many ``rows`` there were and how many went ``online`` and ``offline``: rows that the offline store
    has already are not written again.

    :param source: the push source's name.
    :param rows: what another task hands on, ``Files``, ``Sql``, or a path; with the columns of the source.
    :param to: ``online``, ``offline`` or ``online_and_offline``.
    """

    job = "push_rows"
    roles = ("rows",)
    template_fields: Sequence[str] = (*RepositoryJob.template_fields, "source", "rows")

    def __init__(self, *, source: str, rows: Any, to: str = "online", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = filled("source", source)
        self.rows = rows
        self.to = one_of("to", to, TO)

    def sections(self) -> dict[str, Any]:
        return {**super().sections(), "source": self.source, "to": self.to}


def moment(name: str, value: datetime | str | None) -> datetime | None:
    """Return a moment, in UTC if it has no zone. :raises ConfigurationError: for what is none."""
    if value is None:
        return None
    try:
        parsed = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} is {value!r}; give a moment, or text in ISO 8601") from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
