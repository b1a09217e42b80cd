"""Waits for deliveries to arrive whole, and for features to be fresh."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.interval import interval_of
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.sensors.base import StateSensor
from airflow_mlops_provider.triggers.base import StateTrigger, one_of
from airflow_mlops_provider.triggers.deliveries import DeliveryTrigger, RunEndsTrigger
from airflow_mlops_provider.triggers.features import BY, FeastFreshnessTrigger, seconds

if TYPE_CHECKING:
    from airflow.sdk import Context

#: What no timeout comes to: a delivery may be months away.
FOR_EVER = timedelta(days=36_500)


class SourceDeliverySensor(StateSensor):
    """Waits until a delivery is complete: all of it is there and lies still, or its marker is there.

    ``product=`` is the short way: every source of that product must have delivered the run's data interval. Earlier
    runs that have not ended go first then, so that a product's intervals are done in order.

    It hands on ``delivered``, the files' names, of many the newest; and ``files`` and ``bytes`` of a path.

    :param path: a file, a folder (``…/``) or a pattern with ``*``, ``?``, ``[…]`` and ``**``: a path or URI, such as
        ``s3://lake/trips/{{ ds }}/*.parquet``, or below the root of the connection, without one the landing root.
    :param marker: a file in the path's folder that whoever delivers writes last, such as ``_SUCCESS``.
    :param settle_seconds: how long all must have lain unchanged without a marker; a product's sources say their own.
    :param product: the product's declaration, in place of a path.
    :param poke_seconds: pause between two looks; by default what ``[mlops] poke_seconds`` says.
    :param timeout: how long to wait before the task fails, from its beginning; by default for ever.
    :param conn_id: a connection of type ``mlops_artifact_store``, with the keys of the path's bucket.
    :param deferrable: wait in the triggerer; unlike other sensors this one does so by default, as it may take long.
    """

    trigger_class = DeliveryTrigger
    template_fields: Sequence[str] = ("path", "marker", "settle_seconds", "conn_id")

    def __init__(
        self,
        *,
        path: str | None = None,
        marker: str | None = None,
        settle_seconds: Any = 5.0,
        product: MLProduct | None = None,
        poke_seconds: float | None = None,
        timeout: timedelta | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        if (product is None) == (path is None):
            raise ConfigurationError("say what is waited for: path, or product")
        super().__init__(timeout=timeout or FOR_EVER, deferrable=deferrable, **kwargs)
        self.path = path
        self.marker = marker
        self.settle_seconds = settle_seconds
        self.product = product
        self.poke_seconds = poke_seconds

    @property
    def pause(self) -> float:
        from airflow_mlops_provider.hooks.defaults import option

        return self.poke_seconds or float(option("poke_seconds") or 30)

    def trigger(self, context: Context) -> StateTrigger:
        return self._of_sources(self.product, context) if self.product else super().trigger(context)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """Look again: meanwhile another file may count or be unreadable, or it may be another run's turn."""
        return self.execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        looked = super().poke(context)
        return PokeReturnValue(is_done=False) if looked and self._earlier(context) else looked

    def done(self, trigger: StateTrigger, facts: dict[str, Any], context: Context) -> Any:
        """Let a product's earlier runs go first."""
        earlier = self._earlier(context) if self.deferrable else None
        if earlier:
            self.wait(RunEndsTrigger(self.dag_id, earlier, self.pause), context)
        return super().done(trigger, facts, context)

    def _earlier(self, context: Context) -> str | None:
        """Return the run that goes first, if there is one."""
        earlier = context["ti"].get_previous_dagrun(state="running") if self.product else None
        if earlier is None:
            return None
        self.log.info("delivered; waiting for %s, which goes first, to end", earlier.run_id)
        return str(earlier.run_id)

    def _of_sources(self, product: MLProduct, context: Context) -> StateTrigger:
        from airflow_mlops_provider.hooks.services import services

        interval = interval_of(context)
        if interval is None:
            raise ConfigurationError(
                f"{self.dag_id} works on a data interval and this run has none; trigger it with a logical date"
            )
        delivering = [source for source in product.data.sources if source.path]
        return DeliveryTrigger(
            root=services(product.name)[0].landing,
            keys=sorted({source.awaited(interval) for source in delivering}),
            settle_seconds=max((source.settle_seconds for source in delivering), default=0.0),
            seconds=self.pause,
        )


class FeastFreshnessSensor(StateSensor):
    """Waits until a feature view has been brought up to a recent moment. It hands on ``view`` and ``until``.

    :param view: the feature view's name.
    :param within: how much time may lie between that moment and now.
    :param by: ``materialized``: where the newest interval that was brought online ends; ``rows``: the newest row in the
        view's source, since an interval without rows is brought online as well.
    :param conn_id: a connection of type ``feast`` that names a repository.
    """

    trigger_class = FeastFreshnessTrigger
    template_fields: Sequence[str] = ("view", "within", "by", "conn_id")

    def __init__(self, *, view: str, within: timedelta | float | str, by: str = "materialized", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.view = view
        self.within = within if isinstance(within, str) else seconds(within)  # a text may be a template
        self.by = one_of("by", by, BY)
