"""Waits for model servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.sensors.base import StateSensor
from airflow_mlops_provider.triggers.serving import ModelServerReadyTrigger


class ModelServerReadySensor(StateSensor):
    """Waits until a model server can predict, with a certain version if one is named.

    It hands on ``product``, ``version`` and ``url``.

    :param product: the name of the product that it must serve. Without ``conn_id`` its own connection says where,
        ``mlops_model_server_<product>``, or else the one for all, ``mlops_model_server``.
    :param version: the version's number.
    :param address: where the server listens if no connection says so, such as ``http://localhost:8900``.
    :param conn_id: a connection of type ``mlops_model_server``.
    """

    trigger_class = ModelServerReadyTrigger
    template_fields: Sequence[str] = ("product", "version", "address", "conn_id")

    def __init__(
        self, *, product: str | None = None, version: Any = None, address: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.product = product
        self.version = version
        self.address = address
