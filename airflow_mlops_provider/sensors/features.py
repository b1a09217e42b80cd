"""Waits for an interval's source data to arrive whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.base import interval_of
from airflow_mlops_provider.places.deferral import TRIGGER_FAILED
from airflow_mlops_provider.triggers.deliveries import DeliveriesTrigger, RunEndsTrigger, pending_deliveries

if TYPE_CHECKING:
    from airflow.sdk import Context


class SourceDeliverySensor(BaseOperator):
    """Waits, deferred, until every source of a product has delivered the run's data interval, whole.

    Earlier runs that have not ended go first, so that a product's intervals are done in order.

    :param poke_seconds: pause between two looks; by default what ``[mlops] poke_seconds`` says.
    :param timeout: how long to wait before the task fails, from its beginning; by default for ever.
    :param refresh_after: after how long the product and the landing root are read again: either may have changed.
    """

    ui_color = "#e6f1f2"

    def __init__(
        self,
        *,
        product: MLProduct,
        poke_seconds: float | None = None,
        timeout: timedelta | None = None,
        refresh_after: timedelta = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.product = product
        self.poke_seconds = poke_seconds
        self.timeout = timeout
        self.refresh_after = refresh_after

    def execute(self, context: Context) -> None:
        """Return if all deliveries are there; else defer."""
        from airflow_mlops_provider.hooks.defaults import option
        from airflow_mlops_provider.hooks.services import services

        interval = interval_of(context)
        if interval is None:
            raise ConfigurationError(
                f"{self.dag_id} works on a data interval and this run has none; trigger it with a logical date"
            )
        pause = self.poke_seconds or float(option("poke_seconds") or 30)
        landing = services(self.product.name)[0].landing
        keys = sorted({source.delivery(interval) for source in self.product.data.sources})
        settle_seconds = max(source.settle_seconds for source in self.product.data.sources)
        try:
            pending = pending_deliveries(landing, keys, settle_seconds)
        except SourceDataError as error:
            raise AirflowFailException(str(error)) from None
        if pending:
            for key, reason in pending.items():
                self.log.info("waiting: %s/%s %s", landing, key, reason)
            self._wait(DeliveriesTrigger(landing, keys, pause, settle_seconds), context)
        earlier = context["ti"].get_previous_dagrun(state="running")
        if earlier:
            self.log.info("delivered; waiting for %s, which goes first, to end", earlier.run_id)
            self._wait(RunEndsTrigger(self.dag_id, earlier.run_id, pause), context)
        self.log.info("delivered: %s", ", ".join(keys))

    def delivered(self, context: Context, event: dict[str, Any]) -> None:
        """Look again: meanwhile another file may count or be unreadable, or it may be another run's turn."""
        self.execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Look again after a while, and after a trigger that failed; fail only once the time is over."""
        if next_method == TRIGGER_FAILED and self._time_left(context) > timedelta():
            return self.execute(context)
        return super().resume_execution(next_method, next_kwargs, context)

    def _wait(self, trigger: Any, context: Context) -> None:
        self.defer(trigger=trigger, method_name="delivered", timeout=min(self.refresh_after, self._time_left(context)))

    def _time_left(self, context: Context) -> timedelta:
        if self.timeout is None:
            return timedelta.max
        return context["ti"].start_date + self.timeout - datetime.now(UTC)  # it began before it was first deferred
