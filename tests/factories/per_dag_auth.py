"""An auth manager for tests: Airflow's simple one, except that nobody reads what the DAG ``secret`` made."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PerDagAuthManager(SimpleAuthManager):
    """As roles of larger auth managers do, decides by the DAG."""

    def is_authorized_dag(self, *, details: Any = None, **kwargs: Any) -> bool:
        """Say no to the one DAG, and whatever Airflow says to all others."""
        secret = details is not None and details.id == "secret"
        return not secret and super().is_authorized_dag(details=details, **kwargs)
