"""Optuna: the database in which searches keep their trials."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.backends.search.optuna import database as search_database
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.hooks.artifact_store import artifact_folder
from airflow_mlops_provider.hooks.base import ServiceHook


class OptunaHook(ServiceHook):
    """The database in which searches keep their trials; by default a SQLite file in the artifact root.

    ``driver`` is SQLAlchemy's dialect and driver; host, port and schema (the database's name) say where, login and
    password who. Jobs on several machines need one, since a SQLite file is for the processes of a single machine.
    """

    default_conn_name = "mlops_optuna"
    conn_type = "optuna"
    hook_name = "Optuna"
    login_variable, password_variable = search_database.USER_VARIABLE, search_database.PASSWORD_VARIABLE

    def settings(self) -> dict[str, Any]:
        """Return the database's URL, without credentials."""
        conn = self.connection
        if not self.defined:
            url = defaults.option("search_storage") or f"sqlite:///{artifact_folder()}/optuna.db"
            return {"url": search_database.checked(url)}
        if not conn.host or not conn.schema:
            raise self.error("it needs a host, and the database's name as schema")
        port = f":{conn.port}" if conn.port else ""
        driver = self.extra.get("driver") or "postgresql+psycopg2"
        return {"url": search_database.checked(f"{driver}://{conn.host}{port}/{conn.schema}")}

    def get_conn(self) -> Any:
        """Return Optuna's storage, which ``optuna.load_study`` and its like take."""
        return search_database.database(self.settings()["url"], self.secrets())

    def probe(self) -> str:
        """Query the database, or look at the folder of its file."""
        url = self.settings()["url"]
        if url.startswith("sqlite:///"):
            probes.folder(artifact_folder())
            return f"{url} lies in a folder that can be written"
        return search_database.probe(url, self.secrets())
