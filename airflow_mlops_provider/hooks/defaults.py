"""Where things lie when no connection says otherwise: in a folder below Airflow's home."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow.sdk import conf

SECTION = "mlops"


def home() -> Path:
    """Return the folder of the embedded defaults: ``$AIRFLOW_HOME/mlops``."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().absolute() / "mlops"


def option(name: str) -> str | None:
    """Return an option of the ``[mlops]`` section; None if it is unset or empty."""
    return conf.get(SECTION, name, fallback=None) or None


def artifact_root() -> str:
    """Return the artifact root where no connection names one."""
    return option("artifact_root") or str(home())


def mlflow_uri(root: str) -> str:
    """Return MLflow's URI where no connection names one: a file below the artifact root, if that is a folder.

    :param root: the artifact root's URI.
    """
    return option("mlflow_uri") or f"sqlite:///{folder_of(root)}/mlflow.db"


def search_storage(root: str) -> str:
    """Return where searches keep their trials where no connection says so: a file below the artifact root.

    :param root: the artifact root's URI.
    """
    return option("search_storage") or f"sqlite:///{folder_of(root)}/optuna.db"


def landing_root(root: str) -> str:
    """Return where sources deliver."""
    return option("landing_root") or str(folder_of(root) / "landing")


def folder_of(root: str) -> Path:
    """Return the folder behind a root: itself, or for a bucket the folder of the embedded defaults."""
    if root.startswith("file://"):
        return Path(unquote(urlsplit(root).path))
    return home() if "://" in root else Path(root)
