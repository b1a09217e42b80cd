"""Deployment: the team's CI builds and delivers; the server rolls to a version, at once or step by step, or stays."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context, conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider import assets
from airflow_mlops_provider.exceptions import CIRunError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import AnyReference, BuiltImage, ModelVersion, parse_reference
from airflow_mlops_provider.lifecycle.release.build import BILL_FILE, BUILD_FILE, Build
from airflow_mlops_provider.lifecycle.release.deployment import Approval, Rollout
from airflow_mlops_provider.lifecycle.release.registry import Status, candidate, newest_ready, registered
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.operators.base import JobOperator, given
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.operators.links import ServedModelLink
from airflow_mlops_provider.places.retry_policy import final_failures
from airflow_mlops_provider.sensors.base import StateSensor
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash
from airflow_mlops_provider.storage.layout import build_key, key_below
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.triggers.base import NOTHING, StateTrigger
from airflow_mlops_provider.triggers.ci import CIRunTrigger
from airflow_mlops_provider.triggers.deployment import RolloutTrigger

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.source.ci.base import CIRun, CISystem

#: The task's state that names a run which it has already reported as red.
REPORTED = "mlops_ci_reported"
#: How long a rollout waits before it looks again whether labels have arrived.
LABELS = timedelta(minutes=1)


class CIRunOperator(StateSensor):
    """Starts a run of the team's CI and waits until it has ended; it cancels the run if it is stopped itself.

    A retry finds the run that it began, by a key that the run was given as an input, and waits for that one. Only in
    place of a run that was reported as red, or was cancelled, another one is begun.

    :param conn_id: a connection of type ``mlops_ci``.
    :param workflow: on GitHub, the file of the workflow.
    :param ref: branch or tag; by default the repository's default branch. A job of Jenkins has its own.
    :param inputs: further inputs, variables or parameters of the run, beside the key; never a secret.
    """

    template_fields: Sequence[str] = ("conn_id", "workflow", "ref", "inputs")

    def __init__(
        self,
        *,
        workflow: str = "mlops.yml",
        ref: str | None = None,
        inputs: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        # Unlike what a sensor waits for, a run stays the same whatever the DAG says meanwhile.
        super().__init__(**{"poke_interval": 30.0, "refresh_after": timedelta(days=365), **kwargs})
        self.workflow, self.ref, self.inputs = workflow, ref, dict(inputs or {})
        self._key = ""
        self._run: CIRun | None = None

    def trigger(self, context: Context) -> StateTrigger:
        """Return what waits for the run, which is begun if there is none. :raises MLOpsError: if it can't be."""
        if self._run is None:
            self._key = self.key(context)
            store = context.get("task_state_store")
            reported = str(store.get(REPORTED)) if store is not None else None
            self._run = self.system.obtain(self._key, self.ref or None, self.inputs, reported)
            self.log.info("waiting for %s, by the key %s", self._run.url, self._key)
        return CIRunTrigger(conn_id=self.conn_id, run_id=self._run.id, key=self._key, since=NOTHING, seconds=self.pause)

    def key(self, context: Context) -> str:
        """Return by what the run of this task is known: the same in each try, and no other Airflow's."""
        run = RunIdentity.of(context["ti"]).model_copy(update={"try_number": 0})
        airflow = option("installation") or conf.get("api", "base_url", fallback="")
        return f"mlops-{digest([airflow, run.to_json(), self.workflow, self.ref, self.inputs])[:20]}"

    @property
    def system(self) -> CISystem:
        """The CI."""
        from airflow_mlops_provider.hooks.ci import CIHook

        return CIHook(self.conn_id).system(self.workflow)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on once the run has ended: what became of it, its own record says."""
        with final_failures():
            return self.ended(str(event["run"]), context)

    def done(self, trigger: StateTrigger, facts: dict[str, Any], context: Context) -> dict[str, Any]:
        return self.ended(str(facts["run"]), context)

    def ended(self, run_id: str, context: Context) -> dict[str, Any]:
        """Return what the run made. :raises CIRunError: if it is not green, naming job, step and page."""
        system = self.system
        run = system.look(run_id, self.key(context))
        if run.state == "green":
            image = system.image(run)
            built = keep(Build(image=image, run=run.url, commit=run.commit), system.bill(run)) if image else None
            result = {"run": run.id, "url": run.url, "commit": run.commit, "image": image, "built": built}
            self.log.info("%s is green: %s", run.url, result)
            return result
        store = context.get("task_state_store")
        if store is not None:
            store.set(REPORTED, run.id)
        where = system.failure(run) if run.state == "red" else ""
        raise CIRunError(f"{run.url} is {run.state} ({run.said}){f': {where}' if where else ''}")

    def on_kill(self) -> None:
        run = self._run or (self.system.find(self._key) if self._key else None)
        if run is not None:
            system = self.system
            self.log.info("cancelling %s: the task was stopped", run.url)
            system.stop(system.look(run.id, self._key))


class ModelServerDeployVersionOperator(JobOperator):
    """Rolls the product's model server to a version and waits until it answers with it.

    An event only wakes it up: which version that is, and what model, the ledger says. Where a rollout is declared, the
    task waits deferred until the version is live; it fails if that was taken back, with the limit and the figures.

    :param version: the version's number, or a reference to it; by default the newest that stands production-ready, if
        it is newer than the live one.
    :param rollback: that version may be one which was retired.
    :param reason: why it comes back, for the ledger.
    :param share: of calls that a canary answers, in place of what the rollout says; 1 for all at once.
    :param image: what a :class:`CIRunOperator` hands on as ``built``: pods of a ``KubernetesDeployment`` run that image
        from now on, in place of the declared one, until another one is declared.
    :param serving, rollout, approval: where the local model server listens, how a version comes to answer all calls,
        and who must have agreed, in place of what the product says.
    """

    job = "deploy"
    service = "model_server"
    template_fields: Sequence[str] = ("version", "rollback", "reason", "share", "image", *JobOperator.template_fields)
    roles = ("version",)
    operator_extra_links = (ServedModelLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        product: MLProduct | str,
        version: Any = None,
        rollback: Any = False,
        reason: str = "",
        share: Any = None,
        image: Any = None,
        serving: Serving | None = None,
        rollout: Rollout | None = None,
        approval: Approval | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(product=product, sends=[assets.live(product)], **kwargs)
        self.version = version
        self.rollback = rollback
        self.reason = reason
        self.share = share
        self.image = image
        self.take(serving=serving, rollout=rollout, approval=approval)
        self._going: int | None = None

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name = self.artifacts(), self.kept_under(context)
        number = self._going or self.version
        image = {"image": parse_reference(self.image)} if given(self.image) else {}
        return {"version": chosen(store, name, number) if given(number) else ready(store, name), **image}

    def params_of(self, context: Context) -> dict[str, Any]:
        back = {"rollback": True, **({"reason": self.reason} if self.reason else {})} if given(self.rollback) else {}
        share = {"share": float(self.share)} if given(self.share) else {}
        return {**port(), **share, **({"explicit": True, **back} if given(self.version) else {})}

    def look_again(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Have the job look at a rollout of which there is something to decide."""
        self.log.info("to be decided: %s", event)
        self._going = event.get("version")
        return self.execute(context)

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        reference, facts = super().finish(manifest, context), manifest.result.facts if manifest.result else {}
        if phase := facts.get("rollout"):
            number, labels = int(reference["version"]), phase["plan"]["limits"]["metric"] is not None
            wake = (datetime.now(UTC) + LABELS).isoformat() if labels else None
            where = {"product": self.kept_under(context), "conn_id": self.conn_id, "address": facts["url"]}
            where["replicas"] = facts.get("replicas", {})
            trigger = RolloutTrigger(**where, version=number, status=facts["status"], wake=wake, **phase)
            self.defer(trigger=trigger, method_name="look_again")
        if facts.get("status") == Status.REJECTED:
            raise AirflowFailException(f"version {reference['version']} was taken back: {facts['reason']}")
        context["outlet_events"][assets.live(self.kept_under(context))].extra = event_extra(manifest, reference)
        return reference


def keep(build: Build, bill: bytes | None) -> dict[str, Any]:
    """Keep in the artifact root what a run has built, and return the reference to it: the same for the same."""
    store = ArtifactStoreHook().store()
    with tempfile.TemporaryDirectory(prefix="mlops-build-") as scratch:
        folder = Path(scratch)
        (folder / BUILD_FILE).write_bytes(build.to_file())
        if bill is not None:
            (folder / BILL_FILE).write_bytes(bill)
        content = content_hash(folder)
        store.upload(folder, build_key(content))
    return BuiltImage(uri=f"{store.uri}/{build_key(content)}", hash=content).to_json()


def port() -> dict[str, int]:
    """Return the local model server's port as a job's parameter, where the configuration has one."""
    said = option("serving_port")
    return {"port": int(said)} if said else {}


def chosen(store: ArtifactStore, product: str, version: Any) -> AnyReference:
    """Return the version that a number or a reference names."""
    if isinstance(version, dict):
        return parse_reference(version)
    try:
        number = int(str(version).strip())
    except ValueError:
        raise AirflowFailException(f"version is a number or a reference, not {version!r}") from None
    return here(store, registered(Ledger(store, product).entries(), number))


def ready(store: ArtifactStore, product: str) -> AnyReference:
    """Return the newest version that stands production-ready, or whose rollout is to go on.

    :raises AirflowSkipException: if there is none.
    """
    entries = Ledger(store, product).entries()
    newest, going = newest_ready(entries), candidate(entries)
    if going and (newest is None or newest.version < going.version.version):
        newest = registered(entries, going.version.version)
    if newest is None:
        raise AirflowSkipException(f"no version of {product} stands production-ready and newer than the live one")
    return here(store, newest)


def here(store: ArtifactStore, version: ModelVersion) -> ModelVersion:
    """Return a version with its model's place as of now: the root may have been moved since it was registered."""
    return version.model_copy(update={"uri": f"{store.uri}/{key_below(store, version.uri)}"})
