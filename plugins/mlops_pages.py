"""The MLOps pages in Airflow's UI, under ``/mlops/`` and as an entry in its navigation; and what is loaded early.

The installed package registers this by its ``airflow.plugins`` entry point; no plugins folder need name it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from airflow_mlops_provider.preload import Preload

PREFIX = "/mlops"


class LazyApp:
    """The pages' application, imported when first asked: every Airflow process loads plugins, tasks included."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from airflow_mlops_provider.ui.app import app

        await app(scope, receive, send)


class MLOpsPages(AirflowPlugin):
    """Mounts the pages, shows them in the navigation, and has components load operators before they fork."""

    name = "mlops_pages"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": PREFIX, "name": "MLOps pages"}]
    external_views = [
        {
            "name": "MLOps",
            "href": f"{urlsplit(conf.get('api', 'base_url', fallback='') or '').path.rstrip('/')}{PREFIX}/",
            "destination": "nav",
            "url_route": "mlops",
        }
    ]
    listeners = [Preload()]
