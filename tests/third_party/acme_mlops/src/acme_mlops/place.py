"""A place: this very process, for whoever wants to step through a job with a debugger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.places.base import Log, Place, decide
from airflow_mlops_provider.runtime.runner import run

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops_provider.lifecycle.records.manifest import Manifest
    from airflow_mlops_provider.lifecycle.records.spec import JobSpec


class Here(Place):
    """Runs jobs that need no credentials, for other environment variables than its own it can give to nobody."""

    def run(
        self,
        spec: JobSpec,
        secrets: Mapping[str, str],
        log: Log,
        context: Context | None = None,
        event: dict[str, Any] | None = None,
    ) -> Manifest:
        if secrets:
            raise ConfigurationError(f"this place can't keep secrets from others; it was given {', '.join(secrets)}")
        manifest = run(spec)
        return decide(spec, int(manifest.state != "success"), manifest)

    def stop(self) -> None:
        """Nothing that it started outlives it."""
