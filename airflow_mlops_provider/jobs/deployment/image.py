"""Which image a server on a cluster runs: one that the CI has built, as the ledger knows it, or the declared one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.exceptions import ConfigurationError, DeploymentError
from airflow_mlops_provider.lifecycle.references import BuiltImage, Reference
from airflow_mlops_provider.lifecycle.release.build import BUILD_FILE, Build
from airflow_mlops_provider.lifecycle.release.registry import (
    LedgerEntry,
    Status,
    candidate,
    last_entries,
    live_version,
    status_of,
)
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.lifecycle.serving.target import KubernetesDeployment
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.record_files import parse_record

#: In an entry's evidence: the image, its record, and the declared one in whose place it is.
IMAGE = "image"
_BEGUN = (Status.SHADOW, Status.CANARY, Status.REJECTED)


def in_force(context: AnyContext, serving: Serving) -> dict[str, Any]:
    """Return the image that a product's servers are to run, as an entry's evidence has it; empty off clusters.

    It is the one that this job was given, else that of the candidate or the live version. Once another one is
    declared, that counts; and a rollout that was begun keeps, or gives back, what it was begun with.

    :raises ConfigurationError: if an image was given, and the servers are no pods.
    :raises DeploymentError: if it is of another repository than the declared one.
    """
    given, target = context.spec.given(IMAGE), serving.target
    if not isinstance(target, KubernetesDeployment):
        if given:
            raise ConfigurationError("an image is for servers on a cluster: Serving(target=KubernetesDeployment(…))")
        return {}
    entries = Ledger(context.store, context.product).entries()
    if given and status_of(entries, context.inputs.version.version) not in _BEGUN:
        build, repository = opened(context, given[0]), target.image.partition("@")[0]
        if build.repository != repository:
            raise DeploymentError(f"{build.image} was built by {build.run}; the product's servers run {repository}")
        return {IMAGE: {"name": build.image, "declared": target.image, "built": given[0].to_json()}}
    known = _known(entries)
    declared = {"name": target.image, "declared": target.image}
    return {IMAGE: known if known.get("declared") == target.image else declared}


def running(serving: Serving, evidence: dict[str, Any]) -> Serving:
    """Return where servers run, with the image in force."""
    target = serving.target
    if not isinstance(target, KubernetesDeployment):
        return serving
    return serving.model_copy(update={"target": target.model_copy(update={"image": evidence[IMAGE]["name"]})})


def opened(context: AnyContext, reference: Reference) -> Build:
    """Return what an image's record says. :raises IntegrityError: if it is not what the reference names."""
    assert isinstance(reference, BuiltImage)  # the job takes no other
    return parse_record(reference.uri, (context.open(reference) / BUILD_FILE).read_bytes(), Build)


def _known(entries: Sequence[LedgerEntry]) -> dict[str, Any]:
    """Return the image of the newest rollout that is going on, else of the live version."""
    live, going = live_version(entries), candidate(entries)
    entry = going or (last_entries(entries)[live.version] if live else None)
    known = entry.evidence.get(IMAGE) if entry else None
    return known if isinstance(known, dict) else {}
