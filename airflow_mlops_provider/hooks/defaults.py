"""Where things lie when no connection says otherwise: in a folder below Airflow's home, or where an option says."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow.sdk import conf


def home() -> Path:
    """Return the folder of the embedded defaults: ``$AIRFLOW_HOME/mlops``."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().absolute() / "mlops"


def option(name: str, team: str | None = None) -> str | None:
    """Return an option of the ``[mlops]`` section; None if it is unset or empty.

    :param team: in an Airflow of several teams, the one whose own setting comes before everybody's.
    """
    own = conf.get("mlops", name, fallback=None, team_name=team) if team else None
    return own or conf.get("mlops", name, fallback=None) or None


def landing_root(root: str) -> str:
    """Return where sources deliver, for an artifact root's URI."""
    return option("landing_root") or str(folder_of(root) / "landing")


def folder_of(root: str) -> Path:
    """Return the folder behind a root: itself, or for a bucket the folder of the embedded defaults."""
    if root.startswith("file://"):
        return Path(unquote(urlsplit(root).path))
    return home() if "://" in root else Path(root)
