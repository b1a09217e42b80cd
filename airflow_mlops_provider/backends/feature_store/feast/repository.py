"""A Feast repository that somebody else keeps: opened by its ``feature_store.yaml``, read as it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.telemetry import disable_telemetry, without_typeguard
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, UnknownNameError

CONFIGURATION = "feature_store.yaml"


class FeastRepository:
    """The feature store of a repository. :param folder: holds ``feature_store.yaml``; or that file itself."""

    def __init__(self, folder: Path) -> None:
        self.file = folder if folder.suffix in {".yaml", ".yml"} else folder / CONFIGURATION

    @cached_property
    def store(self) -> Any:
        """Feast's ``FeatureStore``. :raises ConfigurationError: if there is none, or its configuration is refused."""
        if not self.file.is_file():
            raise ConfigurationError(f"{self.file} is not there; name a folder with a {CONFIGURATION}, or that file")
        disable_telemetry()
        with without_typeguard():
            from feast import FeatureStore
        try:
            return FeatureStore(repo_path=str(self.file.parent), fs_yaml_file=self.file)
        except Exception as error:  # Feast raises what its parts raise
            raise ConfigurationError(
                f"Feast can't use {self.file}: {type(error).__name__}: {str(error)[:500]}"
            ) from error

    def views(self) -> dict[str, Any]:
        """Return the feature views by name. :raises BackendError: if the registry can't be read."""
        store = self.store
        try:
            return {view.name: view for view in store.list_feature_views()}
        except Exception as error:  # whatever keeps the registry raises what it likes
            raise BackendError(f"Feast's registry can't be read: {type(error).__name__}: {str(error)[:500]}") from error

    def view(self, name: str) -> Any:
        """Return a feature view. :raises UnknownNameError: if there is none; lists the known ones."""
        views = self.views()
        if name not in views:
            raise UnknownNameError("feature view", name, views)
        return views[name]

    def materialized_until(self, name: str) -> datetime | None:
        """Return where a view's newest materialized interval ends; None if it never was materialized."""
        until = self.view(name).most_recent_end_time
        return _aware(until) if until else None

    def newest_row(self, name: str, begin: datetime, end: datetime) -> datetime | None:
        """Return the time of a view's newest row in its source, within a span; None if there is none."""
        view = self.view(name)
        source = view.batch_source
        try:
            provider = self.store._get_provider()  # noqa: SLF001 - no other call of Feast's reads a span of a source
            rows = provider.offline_store.pull_all_from_table_or_query(
                config=self.store.config,
                data_source=source,
                join_key_columns=[column.name for column in view.entity_columns],
                feature_name_columns=[],
                timestamp_field=source.timestamp_field,
                start_date=begin,
                end_date=end,
            ).to_arrow()
        except Exception as error:  # any warehouse's own
            raise BackendError(
                f"the source of view {name!r} can't be read: {type(error).__name__}: {str(error)[:500]}"
            ) from error
        times = [value for value in rows.column(source.timestamp_field).to_pylist() if value is not None]
        return _aware(max(times)) if times else None


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
