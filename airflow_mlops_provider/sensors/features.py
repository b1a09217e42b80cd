"""Waits for an interval's source data to arrive whole."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.base import interval_of
from airflow_mlops_provider.triggers.deliveries import DeliveriesTrigger, pending_deliveries

if TYPE_CHECKING:
    from airflow.sdk import Context


class SourceDeliverySensor(BaseOperator):
    """Waits, deferred, until every source of a product has delivered the run's data interval, whole.

    :param product: the product's declaration.
    :param poke_seconds: pause between two looks; by default what ``[mlops] poke_seconds`` says.
    :param patience: how long to wait before the task fails.
    """

    ui_color = "#e6f1f2"

    def __init__(
        self, *, product: MLProduct, poke_seconds: float | None = None, patience: timedelta | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.product = product
        self.poke_seconds = poke_seconds
        self.patience = patience

    def execute(self, context: Context) -> None:
        """Return if all deliveries are there; else wait for them without holding a worker."""
        from airflow_mlops_provider.hooks.defaults import option
        from airflow_mlops_provider.hooks.services import services

        interval = interval_of(context)
        if interval is None:
            raise ConfigurationError(
                f"{self.dag_id} works on a data interval and this run has none; trigger it with a logical date"
            )
        landing = services(self.product)[0].landing
        keys = sorted({self.product.delivery(source, interval) for source in self.product.sources})
        settle_seconds = max(source.settle_seconds for source in self.product.sources)
        try:
            pending = pending_deliveries(landing, keys, settle_seconds)
        except SourceDataError as error:
            raise AirflowFailException(str(error)) from None
        if pending:
            for key, reason in pending.items():
                self.log.info("waiting: %s/%s %s", landing, key, reason)
            seconds = self.poke_seconds or float(option("poke_seconds") or 30)
            trigger = DeliveriesTrigger(landing, keys, seconds, settle_seconds)
            self.defer(trigger=trigger, method_name="delivered", timeout=self.patience)

    def delivered(self, context: Context, event: dict[str, Any]) -> None:
        """End the task: the deliveries are there, or one can never be read."""
        if "refused" in event:
            raise AirflowFailException(event["refused"])
        self.log.info("delivered: %s", ", ".join(event["delivered"]))
