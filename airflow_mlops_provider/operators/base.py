"""The shell that every stage's operator is: it says which job, a place says where, the manifest says how it went."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference
from airflow_mlops_provider.operators.lineage import OpenLineageMixin, failure_manifest
from airflow_mlops_provider.operators.links import MANIFEST_KEY, ManifestLink
from airflow_mlops_provider.places.deferral import Deferred, Resumable

if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink, Context

    from airflow_mlops_provider.places.base import Place


FORCE = "force"


class JobOperator(Resumable, OpenLineageMixin, BaseOperator):
    """Runs one job of a product at a place. A subclass's template fields are its inputs, by role.

    :param product: the product's declaration.
    :param place: where the job runs; by default what ``[mlops] default_place`` says.
    :param force: run even if finished work with the same inputs is found; a DAG's parameter ``force`` does the same.
    :param sends: a subclass's own outlets, in addition to ``outlets``.
    """

    job: ClassVar[str]
    roles: ClassVar[tuple[str, ...] | None] = None
    template_fields: Sequence[str] = ()
    operator_extra_links: tuple[BaseOperatorLink, ...] = (ManifestLink(),)
    ui_color = "#dcecf5"

    def __init__(
        self,
        *,
        product: MLProduct,
        place: Place | None = None,
        force: bool = False,
        sends: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        # A mapped task is always made with the outlets that partial() had, so they may name an asset again. They are no
        # parameter here: its default would become a mapped task's outlets, and Airflow wants a list there.
        further = [outlet for outlet in kwargs.pop("outlets", None) or () if outlet not in sends]
        super().__init__(outlets=[*sends, *further], **kwargs)
        self.product = product
        self.place = place
        self.force = force
        self._event: dict[str, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job and return the reference to its result."""
        return self.finish(self.run_job(context), context)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after a deferral: the same again, but the place knows what has happened since."""
        self._event = event
        return self.execute(context)

    def run_job(self, context: Context, **params: Any) -> Manifest:
        """Run the job and return its manifest.

        :raises AirflowFailException: if the job failed in a way that no retry can mend.
        """
        try:
            return self._run_job(context, **params)
        except ImportError as error:
            lacks = missing_extra(error)
            if lacks is None:
                raise
            raise AirflowFailException(f"{type(lacks).__name__}: {lacks}") from None

    def _run_job(self, context: Context, **params: Any) -> Manifest:
        from airflow_mlops_provider.hooks.services import services
        from airflow_mlops_provider.places.base import record_of
        from airflow_mlops_provider.runtime.definition import find_job
        from airflow_mlops_provider.storage.artifacts import open_store
        from airflow_mlops_provider.storage.dataset_lists import shortened
        from airflow_mlops_provider.storage.records import declare

        job = find_job(self.job)
        addresses, root, secrets = services(self.product.name, job.services)
        store = open_store(root, secrets)
        declare(store, self.product)
        spec = JobSpec(
            job=self.job,
            product=self.product.name,
            interval=self.interval(context),
            inputs=shortened(store, self.product.name, self.inputs(context)),
            **job.parts_of(self.product, {**self.params_of(context), **params}),
            upstream=self.handed_on(context),
            root=root,
            services=addresses,
            run=RunIdentity.of(context["ti"]),
            force=self.force or bool(context["params"].get(FORCE)),
        )
        self.asked, self.told = spec, None
        try:
            manifest = self._place.run(spec, secrets, self.log, context, self._event)
        except Deferred as waiting:
            self.defer(trigger=waiting.trigger(), method_name="resume")
        except MLOpsError as error:
            self.told = failure_manifest(error, root, secrets)
            if error.result:
                context["ti"].xcom_push(key=MANIFEST_KEY, value=error.result)
            if error.retryable:
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None
        self.told = manifest
        context["ti"].xcom_push(key=MANIFEST_KEY, value=record_of(manifest, spec.run))
        if manifest.spec.run.same_task(spec.run):
            self.log.info("%s took %.1f s", self.job, manifest.seconds)
        else:
            self.log.info("%s was not run: nothing that it depends on has changed", self.job)
            label(context, f"reused from {manifest.spec.run.dag_id} {manifest.spec.run.run_id}")
        return manifest

    def interval(self, context: Context) -> Interval | None:
        """Return the data interval that the job works on: that of its first dataset, else the DAG run's own."""
        given = [getattr(self, role) for role in self.roles or self.template_fields]
        datasets = [parse_reference(value) for value in given if isinstance(value, dict)]
        found = [dataset.interval for dataset in datasets if isinstance(dataset, Dataset) and dataset.interval]
        return found[0] if found else interval_of(context)

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        """Return the job's inputs: the references that upstream tasks handed on."""
        given = {role: getattr(self, role) for role in self.roles or self.template_fields}
        return {role: parse_references(value) for role, value in given.items() if value}

    def handed_on(self, context: Context) -> dict[str, str]:
        """Return which task handed on each role's references, as far as the DAG says: ``dag/run/task``."""
        run, dag = RunIdentity.of(context["ti"]), self.get_dag()
        declared = dag.get_task(self.task_id) if dag and self.task_id in dag.task_dict else self
        found = {
            role: [operator.task_id for operator, _ in XComArg.iter_xcom_references(getattr(declared, role, None))]
            for role in self.roles or self.template_fields
        }
        return {
            role: run.model_copy(update={"task_id": ", ".join(names)}).path for role, names in found.items() if names
        }

    def params_of(self, context: Context) -> dict[str, Any]:
        """Return the job's own parameters."""
        return {}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        """Turn the finished job's manifest into what the task hands on."""
        assert manifest.result is not None  # a successful manifest has one
        return manifest.result.to_json()

    def on_kill(self) -> None:
        """End the job with the task."""
        self._place.stop()

    @cached_property
    def _place(self) -> Place:
        from airflow_mlops_provider.places.default import default_place

        return self.place or default_place()


def label(context: Context, text: str) -> None:
    """Have the run's list of tasks, beside the grid, say something of this one, in its column *Map Index*."""
    mapped = context.get("map_index_template")
    raw = f"{{% raw %}}{text}{{% endraw %}}"
    context["map_index_template"] = f"{mapped}: {raw}" if mapped else raw


def parse_references(value: Any) -> AnyReference | tuple[AnyReference, ...]:
    """Return the reference, or the tuple of references, that an XCom holds."""
    if isinstance(value, dict):
        return parse_reference(value)
    return tuple(parse_reference(one) for one in value)


def interval_of(context: Context) -> Interval | None:
    """Return a DAG run's data interval, or None for a run that has none or an empty one."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return Interval(start=start, end=end) if start and end and end > start else None
