"""Operators that clean up, reconcile, make anew, and forget. No stage of the loop: nothing waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DagRunTriggerException
from airflow.sdk.types import RuntimeTaskInstanceProtocol

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.erasure import parse_entity
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator
from airflow_mlops_provider.operators.deployment import port
from airflow_mlops_provider.operators.links import RunAgainLink
from airflow_mlops_provider.operators.validation import judged
from airflow_mlops_provider.places.base import GONE, Place
from airflow_mlops_provider.places.named import check, find, team_of, with_orphans
from airflow_mlops_provider.places.retry_policy import final_failures
from airflow_mlops_provider.storage.erasures import Erasures
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.storage.stale import Stale, stale


class PlaceRemoveOrphansOperator(BaseOperator):
    """Removes what is left at a place of task instances that are finished or gone, and hands on the names.

    It is skipped where a place cannot know what is this Airflow's own: pods need ``[mlops] installation``.

    :param place: a place, or the name of one; by default all that ``[mlops] places`` describes.
    :param conn_id: the Kubernetes connection, where ``[mlops] places`` describes no pod; a place has its own.
    :param keep_hours: for how long what a place keeps for a look at it stays.
    """

    template_fields: Sequence[str] = ("conn_id",)
    ui_color = "#dcecf5"

    def __init__(
        self,
        *,
        place: Place | str | None = None,
        conn_id: str | None = None,
        keep_hours: float = 72,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if place is not None and conn_id is not None:
            raise ConfigurationError(f"place={place!r:.100} has a connection of its own; give that or conn_id=")
        if isinstance(place, str):
            check(place)
        self.place = place
        self.conn_id = conn_id
        self.keep_hours = keep_hours

    @final_failures()
    def execute(self, context: Context) -> list[str]:
        ti, removed, errors = context["ti"], list[str](), list[MLOpsError]()
        places = self.places(context)
        reasons = []
        for place in places:
            try:
                removed += place.remove_orphans(lambda run: state_of(ti, run), self.log, self.keep_hours)
            except AirflowSkipException as reason:
                reasons.append(str(reason))
            except MLOpsError as error:  # the other places come first
                errors.append(error)
        self.log.info("removed %d orphans", len(removed))
        if errors:
            raise errors[0]
        if len(reasons) == len(places):
            raise AirflowSkipException("; ".join(dict.fromkeys(reasons)))
        return removed

    def places(self, context: Context) -> list[Place]:
        """Return the places to look at."""
        if isinstance(self.place, Place):
            return [self.place]
        team = team_of(context)
        return [find(self.place, team)] if self.place else with_orphans(team, self.conn_id)


class ModelServerReconcileOperator(JobOperator):
    """Brings model server, release pointer, ledger and MLflow's aliases back to one truth, and says what differed.

    What a killed deployment left is finished or taken back, and a local server that died is started again. It fails if
    something differs that only a person can put right; a product without versions is skipped.

    :param serving: where the local model server listens, in place of what the product says.
    """

    job = "reconcile"
    service = "model_server"

    def __init__(self, *, serving: Serving | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(serving=serving)

    def execute(self, context: Context) -> dict[str, Any]:
        name = self.kept_under(context)
        if not Records(self.artifacts()).registered_any(name):
            raise AirflowSkipException(f"no version of {name} was ever registered")
        return super().execute(context)

    def interval(self, context: Context) -> Interval | None:
        return None

    def params_of(self, context: Context) -> dict[str, Any]:
        return port()

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        report = manifest.result
        assert isinstance(report, Report)
        if not report.verdict("deployment"):
            raise AirflowFailException("; ".join(report.broken))
        return report.to_json()


class EntitiesForgetOperator(JobOperator):
    """Takes the rows of entities out of all that is kept of a product, and hands on a report that none is left.

    Those from before the request: in snapshots, features, training sets and predictions, offline and online, in the
    model servers' logs and in the pages that quote values. The report names the models that saw them. Deliveries that
    are read again later are read without them. It fails if something is left, or nothing could ever be found.

    :param entities: each as ``"customer=4711"``, or ``"order=7,line=2"`` where it takes several columns; by default the
        parameter ``entities`` that the DAG declares. Without either, or with none, the requests that are due: begun
        and not ended, or to be looked at a last time a day later. No template: what is rendered, Airflow shows.
    :param reason: why, for the record.
    :param shape: the columns of a row, in place of the product's.
    :param served_log: the folder or bucket with the servers' logs, in place of where they lie by default.
    """

    job = "forget"
    roles = ()
    template_fields: Sequence[str] = ("reason", "served_log", *JobOperator.template_fields)

    def __init__(
        self,
        *,
        entities: Sequence[str] | None = None,
        reason: str = "",
        shape: Shape | None = None,
        served_log: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.needs(shape=shape)
        self.take(shape=shape)
        self.entities = [entities] if isinstance(entities, str) else entities
        self.reason, self.served_log = reason, served_log

    @final_failures()
    def execute(self, context: Context) -> dict[str, Any]:
        erasures = Erasures(self.artifacts(), self.kept_under(context))
        entities = [*map(parse_entity, self._named(context))]
        if entities:
            request = erasures.ask(entities, RunIdentity.of(context["ti"]).path, self.reason)
            self.requests = [request.key]
        else:
            self.requests = [request.key for request in erasures.all() if request.is_due(datetime.now(UTC))]
        if not self.requests:
            raise AirflowSkipException("nobody is to be forgotten: no request is due")
        return super().execute(context)

    def _named(self, context: Context) -> Sequence[str]:
        """Return whom the operator, or its DAG's own form, names: what a run brings that no form asks for is not it."""
        dag = self.get_dag()
        if self.entities is None and dag and "entities" in dag.params:
            return context["params"]["entities"] or ()
        return self.entities or ()

    def interval(self, context: Context) -> Interval | None:
        return None

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"requests": self.requests, "log": self.served_log}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        return judged(manifest, context, "erasure", "forgetting", fail=True)


def state_of(ti: RuntimeTaskInstanceProtocol, run: RunIdentity) -> str | None:
    """Return a task instance's state as Airflow knows it: None if it has none yet, ``gone`` if there is none.

    A worker may not read Airflow's database; it may use its task's own interface.
    """
    mapped = run.map_index >= 0
    by_run = ti.get_task_states(
        dag_id=run.dag_id, map_index=run.map_index if mapped else None, task_ids=[run.task_id], run_ids=[run.run_id]
    )
    states: dict[str, str | None] = by_run.get(run.run_id, {})
    return states.get(f"{run.task_id}_{run.map_index}" if mapped else run.task_id, GONE)


class FeaturesRemakeStaleOperator(ProductOperator):
    """Runs the oldest interval again whose data came late or was corrected, or whose features stand on such.

    The last task of a DAG that makes features: each run that ends looks again, so that one follows another until
    nothing is stale; in a DAG that the clock starts, it sees to what nobody did. Only a run that has succeeded is
    started again: one that is on its way, or has failed, is left alone.

    :param remake: whether it does, or only names them in its log; in place of the product's ``features.remake_stale``.
    """

    operator_extra_links = (RunAgainLink(),)

    def __init__(self, *, remake: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.remake = remake
        self.run_again: RunIdentity | None = None

    def execute(self, context: Context) -> None:
        """Start the run. :raises AirflowSkipException: if there is nothing to be done.

        :raises DagRunTriggerException: by which Airflow starts a run. Its ``TriggerDagRunOperator`` raises nothing
            else, but loads the models of Airflow's database (0.2 s), wherever a DAG file that has it is read.
        """
        listed = stale(self.artifacts(), self.kept_under(context))
        for interval in listed:
            self.log.warning("%s is stale: %s", interval.interval, "; ".join(interval.reasons))
        declared = self.declaration.features.remake_stale if self.declaration else True
        if listed and not (declared if self.remake is None else self.remake):
            raise AirflowSkipException(f"{len(listed)} interval(s) are stale; airflow mlops stale --remake runs them")
        for interval in listed:
            if interval.run and self._may_run(interval, context):
                self.log.info("running %s again", interval.run.run_id)
                self.run_again = interval.run
                raise DagRunTriggerException(
                    trigger_dag_id=interval.run.dag_id,
                    dag_run_id=interval.run.run_id,
                    conf=None,
                    reset_dag_run=True,
                    skip_when_already_exists=False,
                    wait_for_completion=False,
                    allowed_states=[],
                    failed_states=[],
                    poke_interval=60,
                    deferrable=False,
                )
        raise AirflowSkipException("nothing is stale" if not listed else "nothing that is stale can be run now")

    @staticmethod
    def _may_run(interval: Stale, context: Context) -> bool:
        """Say whether a run is there and has succeeded: this one itself, say, has not yet."""
        run = interval.run
        assert run is not None
        return bool(context["ti"].get_dr_count(dag_id=run.dag_id, run_ids=[run.run_id], states=["success"]))
