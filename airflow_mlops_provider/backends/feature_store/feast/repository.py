"""A Feast repository that somebody else keeps: opened by its ``feature_store.yaml``, used as Feast's own tool does.

Its code is imported only within the calls below; afterwards the process is as it was.
"""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.feature_store.feast.user_code import importable
from airflow_mlops_provider.backends.telemetry import disable_telemetry, without_typeguard
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MLOpsError, UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import digest, only_known

if TYPE_CHECKING:
    import pyarrow as pa

CONFIGURATION = "feature_store.yaml"
#: How far back Feast itself goes for a view that was never materialized and has no time to live.
_YEAR = timedelta(weeks=52)
#: Of a definition's own, but no part of what it defines: when, and bytes of a function whose source is there, too.
_UNESSENTIAL = frozenset({"meta", "body"})
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

log = logging.getLogger("mlops.feast")


class FeastRepository:
    """The feature store of a repository.

    :param folder: holds ``feature_store.yaml``; or that file itself.
    :param variables: what ``${NAME}`` in that file stands for, before the environment.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.file = (folder if folder.suffix in {".yaml", ".yml"} else folder / CONFIGURATION).absolute()
        self.variables = dict(variables or {})

    @cached_property
    def store(self) -> Any:
        """Feast's ``FeatureStore``. :raises ConfigurationError: if there is none, or its configuration is refused."""
        if not self.file.is_file():
            raise ConfigurationError(f"{self.file} is not there; name a folder with a {CONFIGURATION}, or that file")
        disable_telemetry()
        with without_typeguard():
            from feast import FeatureStore
            from feast.repo_config import RepoConfig
        import yaml

        logging.getLogger("feast.infra.registry").setLevel(logging.WARNING)  # it tells each time that it is read
        try:
            config = RepoConfig(**yaml.safe_load(self._filled_in(self.file.read_text("utf-8"))))
            config.repo_path = self.file.parent
            return FeatureStore(repo_path=str(self.file.parent), config=config)
        except Exception as error:  # noqa: BLE001 - Feast raises what its parts raise; its cause shows refused values
            raise ConfigurationError(f"Feast can't use {self.file}: {_shown(error)}") from None

    @contextmanager
    def at_work(self, what: str) -> Iterator[Any]:
        """Give the store, with the repository's code in reach: an on-demand view may need it. Its prints are logged.

        :param what: what is done, for the error.
        :raises BackendError: for whatever Feast, a database or a file raises.
        """
        store, printed = self.store, io.StringIO()
        try:
            with importable(self.file.parent), redirect_stdout(printed):
                yield store
        except MLOpsError:
            raise
        except Exception as error:
            raise BackendError(f"{self.file.parent}: {what}: {_shown(error)}") from error
        finally:
            for line in filter(None, _COLOUR.sub("", printed.getvalue()).splitlines()):
                log.info("%s", line)

    def views(self) -> dict[str, Any]:
        """Return the feature views by name. :raises BackendError: if the registry can't be read."""
        store = self.store
        try:
            return {view.name: view for view in store.list_feature_views()}
        except Exception as error:  # whatever keeps the registry raises what it likes
            raise BackendError(f"Feast's registry can't be read: {_shown(error)}") from error

    def view(self, name: str) -> Any:
        """Return a feature view. :raises UnknownNameError: if there is none; lists the known ones."""
        views = self.views()
        if name not in views:
            raise UnknownNameError("feature view", name, views)
        return views[name]

    def materialized_until(self, name: str) -> datetime | None:
        """Return where a view's newest materialized interval ends; None if it never was materialized."""
        return _until(self.view(name))

    def newest_row(self, name: str, begin: datetime, end: datetime) -> datetime | None:
        """Return the time of a view's newest row in its source, within a span; None if there is none."""
        view = self.view(name)
        try:
            rows = self.source_rows(view, begin, end)
        except Exception as error:  # any warehouse's own
            raise BackendError(f"the source of view {name!r} can't be read: {_shown(error)}") from error
        times = [value for value in rows.column(view.batch_source.timestamp_field).to_pylist() if value is not None]
        return _aware(max(times)) if times else None

    def source_rows(self, view: Any, begin: datetime, end: datetime, features: Collection[str] = ()) -> pa.Table:
        """Return keys, times and some features of the rows in a view's source, both ends of the span included."""
        source = view.batch_source
        provider = self.store._get_provider()  # noqa: SLF001 - no other call of Feast's reads a span of a source
        pull = partial(
            provider.offline_store.pull_all_from_table_or_query,
            config=self.store.config,
            data_source=source,
            join_key_columns=[column.name for column in view.entity_columns],
            feature_name_columns=[*features],
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column or None,
        )
        try:
            return pull(start_date=begin, end_date=end).to_arrow()
        except TypeError:  # Feast's store on files can't compare the moments of a file without rows
            rows = pull().to_arrow()
            if len(rows):
                raise
            return rows

    def definitions(self) -> dict[str, str]:
        """Return a hash of each definition in the registry, by kind and name, such as ``feature view driver_stats``."""
        from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

        store = self.store
        kinds = {
            "entity": store.list_entities,
            "data source": store.list_data_sources,
            "feature view": store.list_all_feature_views,
            "feature service": store.list_feature_services,
            "permission": store.list_permissions,
        }
        return {
            f"{kind} {definition.name}": digest(_essence(MessageToDict(definition.to_proto())))
            for kind, listed in kinds.items()
            for definition in listed()
            if not definition.name.startswith("__")  # Feast's own, of views without entity
        }

    def apply(self, *, skip_source_validation: bool = False) -> dict[str, list[str]]:
        """Bring the registry, and the online store's tables, to what the repository's code says, as ``feast apply``.

        :return: what was ``added``, ``changed`` and ``removed``, each as in :meth:`definitions`.
        :raises ConfigurationError: if the code can't be imported, or Feast refuses what it defines.
        :raises BackendError: if a source, the registry or the online store does not answer.
        """
        with self.at_work("feast apply") as store:
            contents, before = self._contents(store), self.definitions()
            from feast.repo_operations import apply_total_with_repo_instance

            apply_total_with_repo_instance(store, store.project, store.registry, contents, skip_source_validation)
            after = self.definitions()
        both = before.keys() & after.keys()
        return {
            "added": sorted(after.keys() - both),
            "changed": sorted(name for name in both if before[name] != after[name]),
            "removed": sorted(before.keys() - both),
        }

    def materialize(
        self, views: Collection[str] | None, start: datetime | None, end: datetime
    ) -> dict[str, tuple[datetime, datetime]]:
        """Bring rows online, both ends of the span included, as ``feast materialize`` has it.

        A span before what a view was brought up to is brought online with all that follows it: by itself it would take
        entities back in time.

        :param views: by name; None for all that are kept online.
        :param start: None to begin where the newest interval of each view ends. Before a view's first one lies its time
            to live, or a year.
        :return: each view's span; none for one that was brought up to ``end`` already and needs nothing.
        :raises UnknownNameError, ConfigurationError: for a view that isn't there, or isn't kept online.
        """
        with self.at_work("materialize") as store:
            if views is not None:
                only_known("feature view", views, [view.name for view in store.list_all_feature_views()])
            try:
                chosen = store._get_feature_views_to_materialize(None if views is None else [*views])  # noqa: SLF001
            except ValueError as error:
                raise ConfigurationError(str(error)) from None
            spans = {view.name: _span(view, start, end) for view in chosen}
            for span in dict.fromkeys(spans.values()):
                if span[0] < span[1]:
                    store.materialize(*span, [name for name in spans if spans[name] == span])
        return {name: span for name, span in spans.items() if span[0] < span[1]}

    def _contents(self, store: Any) -> Any:
        """Return what the repository's code defines."""
        from feast.repo_operations import _get_repo_contents

        try:
            with redirect_stdout(io.StringIO()) as printed:
                return _get_repo_contents(self.file.parent, store.project, store.config)
        except SystemExit:
            raise ConfigurationError(f"{self.file.parent}: {printed.getvalue().strip()[-500:]}") from None
        except Exception as error:  # it is the users' code
            raise ConfigurationError(
                f"the definitions in {self.file.parent} can't be imported: {_shown(error)}"
            ) from error

    def _filled_in(self, text: str) -> str:
        known = {**os.environ, **self.variables}
        return _VARIABLE.sub(lambda name: known.get(name[1] or name[2], name[0]), text)


def _span(view: Any, start: datetime | None, end: datetime) -> tuple[datetime, datetime]:
    until = _until(view)
    if start is None:
        return until or end - (getattr(view, "ttl", None) or _YEAR), end
    return start, max(end, until or end)


def _until(view: Any) -> datetime | None:
    until = getattr(view, "most_recent_end_time", None)  # an on-demand view has none
    return _aware(until) if until else None


def _essence(definition: Any) -> Any:
    """Return what a definition says, whatever order it says it in: Feast's lists are made of sets."""
    if isinstance(definition, dict):
        return {name: _essence(value) for name, value in definition.items() if name not in _UNESSENTIAL}
    return sorted(map(_essence, definition), key=digest) if isinstance(definition, list) else definition


def _shown(error: Exception) -> str:
    """Return what an error says; of settings that were refused not the values, which may be secrets."""
    listed = getattr(error, "errors", None)
    lines = listed() if callable(listed) else ()
    text = "; ".join(f"{'.'.join(map(str, line['loc']))}: {line['msg']}" for line in lines) or str(error)
    return f"{type(error).__name__}: {text[:500]}"


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
