"""Waits for model versions in a registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.sensors.base import StateSensor
from airflow_mlops_provider.triggers.registry import MlflowModelVersionTrigger


class MlflowModelVersionSensor(StateSensor):
    """Waits until an alias points at another version than at the start, or a version is there, whoever made it.

    It hands on ``name``, ``version``, ``run_id`` and ``alias``.

    :param name: the registered model's.
    :param alias: whose move is waited for.
    :param version: the number that is waited for; it may be there already. With neither, a newer version than at the
        start is.
    :param since: the version that is known already, in place of that at the start; 0 for none.
    :param conn_id: a connection of type ``mlflow``.
    """

    trigger_class = MlflowModelVersionTrigger
    template_fields: Sequence[str] = ("name", "alias", "version", "since", "conn_id")

    def __init__(
        self, *, name: str, alias: str | None = None, version: Any = None, since: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.alias = alias
        self.version = version
        self.since = since
