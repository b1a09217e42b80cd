"""Making a version's results again: which jobs, in which order, on which inputs, and what they are compared with."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.exceptions import IntegrityError, MissingRecordError, PartError, UnknownNameError
from airflow_mlops_provider.lifecycle.interval import is_in
from airflow_mlops_provider.lifecycle.records import reproduction
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.reproduction import Finding
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, ModelVersion, Reference
from airflow_mlops_provider.runtime.address import packages
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash
from airflow_mlops_provider.storage.erasures import recorded_content
from airflow_mlops_provider.storage.layout import key_in
from airflow_mlops_provider.storage.records import Records, VersionRecord


@dataclass(frozen=True)
class Step:
    """One recorded result on the way to a version.

    :param recorded: the record of its making; None if that is gone.
    :param depth: how many jobs lead to it, at most; 0 for what is taken as it was kept.
    """

    reference: AnyReference
    recorded: Manifest | None
    depth: int = 0

    @property
    def key(self) -> str:
        """Where it lies below the artifact root."""
        return key_in(self.reference.uri)

    @property
    def job(self) -> str:
        """The job that makes it again; empty for a result that is taken as it was kept."""
        spec = self.recorded.spec if self.recorded else None
        # A record may have been written by others: source that stands in it is not run.
        return spec.job if spec and _is_known(spec.job) and not spec.settings.get("source") else ""

    @property
    def name(self) -> str:
        """What it is, and of which interval: ``clean data 2013-02-01``."""
        if isinstance(self.reference, ModelVersion):
            return f"champion {self.reference.name}@{self.reference.version}"
        what = (self.recorded.makes or self.recorded.spec.job) if self.recorded else self.reference.kind
        return f"{what} {begins(self.reference) if self.job != 'training_set' else ''}".rstrip()


def _is_known(job: str) -> bool:
    try:
        find_job(job)
    except (UnknownNameError, PartError):
        return False
    return True


def begins(reference: Reference) -> str:
    """Return when a dataset's interval begins, to the day if that is exact; empty for what has none."""
    interval = reference.interval if isinstance(reference, Dataset) else None
    return f"{interval.start:%Y-%m-%d %H:%M}".removesuffix(" 00:00") if interval else ""


def steps(records: Records, version: VersionRecord) -> list[Step]:
    """Return the recorded results that lead to a version's evaluation, itself included, in the order of the data.

    :raises MissingRecordError: if there is no record of which evaluation that is.
    """
    known: dict[str, Step] = {}

    def depth(reference: AnyReference) -> int:
        key = key_in(reference.uri)
        if key not in known:
            # A champion is a version itself, made again by asking for it; here its kept bytes are what counts.
            recorded = None if isinstance(reference, ModelVersion) else records.made(reference).manifest
            step = Step(reference, recorded)
            below = max(map(depth, needed(recorded)), default=0) if recorded and step.job else -1
            known[key] = replace(step, depth=below + 1)
        return known[key].depth

    if version.registered is None:
        raise MissingRecordError(
            f"the record of registering {version.version.name}@{version.version.version} is gone; "
            "without it nobody can say which evaluation was its own"
        )
    depth(version.registered.spec.inputs["evaluation"])  # type: ignore[arg-type]  # the operator gives exactly one
    return sorted(known.values(), key=lambda step: (step.depth, begins(step.reference)))


def needed(manifest: Manifest) -> list[AnyReference]:
    """Return the inputs that a job opened: all but the features that its join never saw."""
    unseen = manifest.result.facts.get("not_loaded", ()) if manifest.result else ()
    given = manifest.spec.references
    return [
        each for each in given if not (isinstance(each, Dataset) and each.interval and is_in(each.interval, unseen))
    ]


def loads(manifest: Manifest) -> list[Dataset]:
    """Return the features that have to be in the feature store before a job is run again."""
    if manifest.spec.job != "training_set":
        return []
    return sorted((used for used in needed(manifest) if isinstance(used, Dataset)), key=begins)


def again(manifest: Manifest, known: Mapping[str, AnyReference], root: str, services: Services) -> JobSpec:
    """Return what asks for a recorded job once more: elsewhere, on what was made again there.

    What its join never saw is left out: it is not there, and a job holds all that it is given against its root.
    """
    seen = {key_in(used.uri) for used in needed(manifest)}

    def moved(reference: AnyReference) -> AnyReference:
        made = known.get(key_in(reference.uri), reference)
        return reference.model_copy(update={"uri": made.uri, "hash": made.hash})

    inputs = {
        role: tuple(moved(each) for each in given if key_in(each.uri) in seen)
        if isinstance(given, tuple)
        else moved(given)
        for role, given in manifest.spec.inputs.items()
    }
    changed = {"inputs": inputs, "root": root, "services": services, "run": RunIdentity(), "force": False}
    return manifest.spec.model_copy(update=changed)


def loading(features: Dataset, like: JobSpec) -> JobSpec:
    """Return what asks for features to be loaded into the feature store of another job's root."""
    changed = {"job": "load", "interval": features.interval, "inputs": {"features": features}, "params": {}}
    return like.model_copy(update=changed)


def take(reference: AnyReference, source: ArtifactStore, target: ArtifactStore) -> AnyReference:
    """Copy a result into another root and return it as it is there. :raises IntegrityError: if it isn't as recorded."""
    key = key_in(reference.uri)
    with tempfile.TemporaryDirectory(prefix="mlops-take-") as folder:
        try:
            local = source.download(key, Path(folder))
        except FileNotFoundError:
            raise IntegrityError(f"{source.uri}/{key} is gone: nothing can be made again from it") from None
        if content_hash(local) != reference.hash:
            raise IntegrityError(f"{source.uri}/{key} is not what was recorded ({reference.hash[:12]})")
        target.upload(local, key)
    return reference.model_copy(update={"uri": f"{target.uri}/{key}"})


def kept(step: Step, source: ArtifactStore) -> Finding:
    """Compare the stored bytes of a result with its record."""
    with tempfile.TemporaryDirectory(prefix="mlops-kept-") as folder:
        try:
            local = source.download(step.key, Path(folder))
            content, known = content_hash(local), recorded_content(source, step.key, local)
        except FileNotFoundError:
            content = known = reproduction.GONE
    was, now = reproduction.short(step.reference.hash), reproduction.short(content)
    if content != known == step.reference.hash:
        now = f"{now}, rows of forgotten entities were taken out"
    return reproduction.compared(f"kept {step.name}", was, now)


def deliveries(
    raw: Iterable[Step], landing: Callable[[Step], ArtifactStore]
) -> dict[str, dict[str, tuple[str, str | None]]]:
    """Return, for each raw snapshot, the files it was read from: the hash on record and that now, None for one gone.

    :param landing: gives the landing root of a snapshot.
    """
    now: dict[tuple[str, str], str | None] = {}
    read: dict[str, dict[str, tuple[str, str | None]]] = {}
    for step in raw:
        files, store = step.reference.facts.get("files", {}), landing(step)
        for key in files:
            if (store.uri, key) not in now:
                now[store.uri, key] = _hash_in(store, key)
        read[step.key] = {key: (was, now[store.uri, key]) for key, was in files.items()}
    return read


def _hash_in(store: ArtifactStore, key: str) -> str | None:
    try:
        return hashlib.sha256(store.read(key)).hexdigest()
    except FileNotFoundError:
        return None


def package_findings(manifest: Manifest) -> Iterator[Finding]:
    """Compare the distributions that a recorded job depends on with those here."""
    names = packages(manifest.spec, find_job(manifest.spec.job))
    yield from reproduction.packages(names, manifest.packages, environment.versions(names))


def taken(step: Step) -> Finding:
    """Return what is said of a result that was not made again."""
    content = reproduction.short(step.reference.hash)
    return Finding(what=step.name, recorded=content, found=content, note="taken as it was kept, its hash checked")
