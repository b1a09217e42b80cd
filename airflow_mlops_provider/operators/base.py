"""The shell that every stage's operator is: it says which job, a place says where, the manifest says how it went."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink, Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider.assets import name_of
from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.base import looked_up_once
from airflow_mlops_provider.hooks.tables import taken
from airflow_mlops_provider.lifecycle.interval import Interval, interval_of
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference, parse_references
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.operators.lineage import (
    OpenLineageMixin,
    failure_manifest,
    handed_on,
    label,
    mapped_arguments,
)
from airflow_mlops_provider.operators.links import ManifestLink, PodLogLink
from airflow_mlops_provider.places.base import Place, record_of
from airflow_mlops_provider.places.deferral import Deferred, Resumable
from airflow_mlops_provider.places.named import check, chosen, rendered, team_of
from airflow_mlops_provider.places.retry_policy import final_failures
from airflow_mlops_provider.runtime.functions import described
from airflow_mlops_provider.storage.artifacts import ArtifactStore, open_store
from airflow_mlops_provider.storage.dataset_lists import shortened
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.layout import NAME
from airflow_mlops_provider.storage.records import declare

if TYPE_CHECKING:
    from airflow_mlops_provider.hooks.services import Service

#: A run takes this many intervals at most, the oldest first: Airflow maps no task over more than a thousand.
MOST = 500


class ProductOperator(BaseOperator):
    """Does something for a product in the task itself.

    :param product: the product's declaration; or the name alone under which results and records are kept, by default
        the DAG's id, in lower case.
    :param conn_id: the Airflow connection to the service that the operator is about, in place of the product's own or
        the default one. :param connections: those to other services that it uses: ``{"mlflow": "mlflow_prod"}``.
    """

    #: The service to which ``conn_id`` is a connection; None if it is to none that the operator knows of.
    service: ClassVar[Service | None] = "artifact_store"
    template_fields: Sequence[str] = ("conn_id",)
    ui_color = "#dcecf5"

    def __init__(
        self,
        *,
        product: MLProduct | str | None = None,
        conn_id: str | None = None,
        connections: Mapping[Service, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn_id, self.connections = conn_id, connections or {}
        if isinstance(product, str) and not re.fullmatch(NAME, product):
            raise ConfigurationError(f"product={product!r} is no name: small letters, digits and _, up to 63 of them")
        self.given_product = product
        #: None where the operator was given a product's name alone, or nothing.
        self.declaration = product if isinstance(product, MLProduct) else None
        self.overrides: dict[str, Any] = {}

    @property
    def product(self) -> MLProduct:
        """The product's declaration. :raises ConfigurationError: if the operator was given none."""
        if self.declaration is None:
            raise ConfigurationError(f"{type(self).__name__} {self.task_id!r} needs a product; give product=")
        return self.declaration

    def needs(self, **given: Any) -> None:
        """Refuse an operator that has neither a product nor these. :raises ConfigurationError: naming them."""
        missing = [f"{name}=" for name, value in given.items() if value is None]
        if missing and not self.declaration:
            raise ConfigurationError(
                f"{self.operator_name} {self.task_id!r} needs {', '.join(missing)}, or a whole product="
            )

    def take(self, **settings: Any) -> None:
        """Keep what stands in place of a product's settings, but for a None; a function in a form that travels.

        :raises ConfigurationError: for a function that can't.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        self.overrides |= {name: described(value) if callable(value) else value for name, value in given.items()}

    def kept_under(self, context: Context) -> str:
        """Return the name under which results and records are kept: the product's, else of the DAG."""
        return name_of(self.given_product or f"dag_{re.sub('[^a-z0-9_]', '_', context['ti'].dag_id.lower())}"[:63])

    @property
    def conn_ids(self) -> dict[Service, str]:
        """The connections that the operator was given, by service."""
        return {**self.connections, **({self.service: self.conn_id} if self.service and self.conn_id else {})}

    def artifacts(self) -> ArtifactStore:
        """Return the artifact root."""
        return ArtifactStoreHook(self.conn_ids.get("artifact_store")).store()

    def work_list(
        self, context: Context, name: str, undone: Callable[[ArtifactStore, str], list[Dataset]]
    ) -> list[Dataset]:
        """Return the datasets of some name that a run is to do: those undone, so many at once as Airflow takes.

        A run started by hand with nothing left to do takes the newest again.

        :raises AirflowSkipException: if there is nothing to do.
        """
        store, product = self.artifacts(), self.kept_under(context)
        waiting = undone(store, product)
        if not waiting and context["dag_run"].run_type == "manual":
            waiting = current(store, product, name)[-1:]
        if not waiting:
            raise AirflowSkipException("nothing is left to do: no interval waits")
        if len(waiting) > MOST:
            self.log.warning("%d intervals wait: the next %d are done, and the next run goes on", len(waiting), MOST)
        return waiting[:MOST]


class JobOperator(Resumable, OpenLineageMixin, ProductOperator):
    """Runs one job at a place. A subclass's template fields are its inputs, by role, where ``roles`` says no other.

    An input is the reference that another task hands on; or what is there already: ``Files``, ``Sql``, a path, or for a
    model ``models:/<name>@<alias>``, ``models:/<name>/<version>`` or ``runs:/<run>/<path>``.

    :param place: where the job runs: a place, or the name of one, which may be a template. By default the place of the
        product's section, see :class:`.Placed`, else what ``[mlops] default_place`` says.
    :param force: run even if finished work with the same inputs is found; a DAG's parameter ``force`` does the same.
    :param sends: a subclass's own outlets, in addition to ``outlets``.
    """

    job: ClassVar[str]
    roles: ClassVar[tuple[str, ...] | None] = None
    operator_extra_links: tuple[BaseOperatorLink, ...] = (ManifestLink(), PodLogLink())

    def __init__(
        self,
        *,
        place: Place | str | None = None,
        force: bool = False,
        sends: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        # A mapped task is always made with the outlets that partial() had, so they may name an asset again. They are no
        # parameter here: its default would become a mapped task's outlets, and Airflow wants a list there.
        further = [outlet for outlet in kwargs.pop("outlets", None) or () if outlet not in sends]
        super().__init__(outlets=[*sends, *further], **kwargs)
        if isinstance(place, str):
            check(place)
        self.place = place
        self.force = force
        self._place: Place | None = None
        self._event: dict[str, Any] | None = None
        #: The folder with the manifest of the task's own run, once it has one.
        self.record: str | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job and return the reference to its result."""
        return self.finish(self.run_job(context), context)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after a deferral: the same again, but the place knows what has happened since."""
        self._event = event
        return self.execute(context)

    @looked_up_once()
    @final_failures()
    def run_job(self, context: Context) -> Manifest:
        """Run the job and return its manifest.

        :raises AirflowFailException: if the job failed in a way that no retry can mend.
        """
        from airflow_mlops_provider.hooks.services import services
        from airflow_mlops_provider.runtime.definition import find_job

        job, name = find_job(self.job), self.kept_under(context)
        addresses, root, secrets = services(name, job.services, self.conn_ids, job.uses)
        store = open_store(root, secrets)
        spec = JobSpec(
            job=self.job,
            product=name,
            interval=self.interval(context),
            inputs=shortened(store, name, self.inputs(context)),
            **self.parts(store, context),
            upstream=handed_on(RunIdentity.of(context["ti"]), self._given(self._declared()), self._given(self)),
            root=root,
            services=addresses,
            run=RunIdentity.of(context["ti"]),
            force=self.force or bool(context["params"].get("force")),
        )
        self.spec, self.manifest, self.record = spec, None, None
        self._place = self.place_of(job.stage, context)
        try:
            manifest = self._place.run(spec, secrets, self.log, context, self._event)
        except Deferred as waiting:
            self.defer(trigger=waiting.trigger(), method_name="resume")
        except MLOpsError as error:
            self.manifest = failure_manifest(error, store)
            self.record = error.result
            raise
        self.manifest, self.record = manifest, record_of(manifest, spec.run)
        if manifest.spec.run.same_task(spec.run):
            self.log.info("%s took %.1f s", self.job, manifest.seconds)
        else:
            self.log.info("%s was not run: nothing that it depends on has changed", self.job)
            label(context, f"reused from {manifest.spec.run.dag_id} {manifest.spec.run.run_id}")
        return manifest

    def parts(self, store: ArtifactStore, context: Context) -> dict[str, Any]:
        """Return the settings, parameters and requirements of the specification; a declaration is kept, too."""
        from airflow_mlops_provider.runtime.definition import find_job

        if self.declaration:
            self.declaration.check_initiated(find_job(self.job).stage)
            declare(store, self.declaration)
        return find_job(self.job).parts_of(self.declaration, self.params_of(context), self.sections())

    def sections(self) -> dict[str, Any]:
        """Return what the operator was given of the job's settings, in place of the product's."""
        return self.overrides

    def interval(self, context: Context) -> Interval | None:
        """Return the data interval that the job works on: that of its first dataset, else the DAG run's own."""
        given = [parse_reference(value) for value in self._given(self).values() if isinstance(value, dict)]
        intervals = [dataset.interval for dataset in given if isinstance(dataset, Dataset) and dataset.interval]
        return intervals[0] if intervals else interval_of(context)

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        """Return the job's inputs: what upstream tasks handed on; what is no job's is read now, and kept."""
        return {role: self._input(role, value, context) for role, value in self._given(self).items() if value}

    def _input(self, role: str, value: Any, context: Context) -> AnyReference | tuple[AnyReference, ...]:
        declared = self._given(self._declared()).get(role)
        named_here = [declared] if not isinstance(declared, list | tuple) else declared  # a mapped task's are several
        if isinstance(value, str) and not all(isinstance(named, str) for named in named_here):
            # A path is taken from who wrote the DAG, not from an XCom: anybody may have written that.
            raise ConfigurationError(f"{role!r} was handed on as {value!r:.100}; a task hands on a reference")
        known = taken(value, self.artifacts(), self.kept_under(context), self.conn_ids.get("mlflow"))
        return known or parse_references(value)

    def _declared(self) -> Any:
        """Return the operator as its DAG declares it, with nothing rendered."""
        dag = self.get_dag()
        return dag.get_task(self.task_id) if dag and self.task_id in dag.task_dict else self

    def place_of(self, stage: Stage, context: Context) -> Place:
        """Return where a job of some stage runs. :raises MLOpsError: if that can't be had."""
        if self.place is None or isinstance(self.place, str):
            named = self.render_template(self.place, context)
            declared = self.declaration.place_of(stage) if self.declaration else None
            return chosen(named, declared, team=team_of(context))
        return rendered(self.place, lambda fields: self.render_template(fields, context))

    def params_of(self, context: Context) -> dict[str, Any]:
        """Return the job's own parameters."""
        return {}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        """Turn the finished job's manifest into what the task hands on."""
        assert manifest.result is not None  # a successful manifest has one
        return manifest.result.to_json()

    def on_kill(self) -> None:
        if self._place:
            self._place.stop()

    @property
    def log_file(self) -> str | None:
        """Where the place has kept the job's whole log; None if it has not."""
        return self._place.log_file if self._place else None

    def _given(self, declared: Any) -> dict[str, Any]:
        roles, mapped = self.template_fields if self.roles is None else self.roles, mapped_arguments(declared)
        own = (role for role in roles if role not in ProductOperator.template_fields)
        return {role: getattr(declared, role, mapped.get(role)) for role in own}


def given(value: Any) -> bool:
    """Say whether a field of a form, or a template that may render to nothing, holds something."""
    return str(value).strip().lower() not in {"", "none", "false"}
