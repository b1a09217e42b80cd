"""What a job is given, held against what the store holds: references travel, and are not believed.

A reference claims a place, a content and some facts. The place has to lie in the artifact root. Of what our jobs made
there is a record at that place: it says the content's hash and the facts, and the bytes are checked against it. A table
without a record is a custom task's own, and counts for what its bytes are.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import (
    AnyReference,
    Dataset,
    Model,
    ModelVersion,
    Reference,
    Report,
)
from airflow_mlops_provider.storage.artifacts import ArtifactStore, FolderStore
from airflow_mlops_provider.storage.dataset_lists import expanded
from airflow_mlops_provider.storage.erasures import recorded_content
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records

log = logging.getLogger("mlops.inputs")
Takes = Callable[[str], tuple[type[Reference], ...]]
#: The hash of a result without files.
NOTHING = digest({})
AGAIN = "run the job that made it again, with force"


class Inputs:
    """Looks at a job's inputs, each once: what has been downloaded and hashed is not downloaded and hashed again."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store, self.records = store, Records(store)
        #: Inputs that no job of ours made, by URI, and who handed them on.
        self.external: dict[str, str] = {}
        self._downloads = tempfile.TemporaryDirectory(prefix="mlops-inputs-")
        self._looked: dict[str, tuple[Path, str]] = {}

    def resolved(self, spec: JobSpec, takes: Takes, *, download: bool = True) -> JobSpec | None:
        """Return a specification whose references say what the records, or for want of one the bytes, say.

        :param takes: gives the kinds of reference that a role takes.
        :param download: look at bytes also where they have to be brought here first; without it, None if they would.
        :raises ConfigurationError: for a reference of the wrong kind, or one that leads out of the artifact root.
        :raises IntegrityError: for a reference that claims what is not so.
        """
        spec = expanded(self.store, spec)
        if not download and not isinstance(self.store, FolderStore) and not all(map(self._record, spec.references)):
            return None
        inputs = {
            role: tuple(self._resolved(spec, role, reference, takes(role)) for reference in given)
            if isinstance(given, tuple)
            else self._resolved(spec, role, given, takes(role))
            for role, given in spec.inputs.items()
        }
        return spec.model_copy(update={"inputs": inputs})

    def check(self, spec: JobSpec) -> None:
        """Hold the bytes of all inputs against their hashes; those that are gone are missed by who opens them.

        In a bucket that is left to :meth:`open`, which every byte passes on its way into a job: what is found finished
        was made of the content that the records name, whatever lies there now.

        :raises IntegrityError: naming the input that is not what was recorded.
        """
        if isinstance(self.store, FolderStore):
            for reference in spec.references:
                if self.store.path(inside(self.store, reference.uri)).is_dir():
                    self.open(reference)

    def open(self, reference: Reference) -> Path:
        """Return a local folder with a reference's files, read-only by agreement, and checked against its hash.

        :raises IntegrityError: if the bytes are not those that were recorded, or are gone.
        """
        folder, content = self._look(reference.uri)
        if content == NOTHING != reference.hash:
            raise IntegrityError(f"{reference.uri} is gone; {AGAIN}")
        if content != reference.hash:
            raise IntegrityError(
                f"{reference.uri} is not what was recorded; {AGAIN} (claimed {reference.hash}, found {content})"
            )
        return folder

    def _resolved(
        self, spec: JobSpec, role: str, reference: AnyReference, wanted: tuple[type[Reference], ...]
    ) -> AnyReference:
        if not isinstance(reference, wanted):
            kinds = " or a ".join(kind.model_fields["kind"].default for kind in wanted) or "nothing"
            raise ConfigurationError(
                f"job {spec.job!r} takes a {kinds} as {role!r}, not the {reference.kind} {reference.uri}"
            )
        record = self._record(reference)
        known = self._recorded(reference, record) if record else self._own(spec, role, reference)
        return self._registered(spec, role, known) if isinstance(known, ModelVersion) else known

    def _record(self, reference: AnyReference) -> Manifest | None:
        return self.records.recorded(inside(self.store, reference.uri), reference)

    def _recorded(self, reference: AnyReference, record: Manifest) -> AnyReference:
        """Return a reference with what the record of its making says, as far as it says anything."""
        made = record.result
        assert made is not None
        if made.hash != reference.hash:
            raise IntegrityError(
                f"{reference.uri} is not what the reference claims: claimed {reference.hash}, found {made.hash}"
            )
        if isinstance(reference, ModelVersion) and isinstance(made, Model):
            return reference  # what is to be said of a version stands in the ledger
        if made.kind != reference.kind:
            raise ConfigurationError(f"{reference.uri} is a {made.kind}, not a {reference.kind}")
        if isinstance(reference, Dataset) and isinstance(made, Dataset) and made.interval != reference.interval:
            raise IntegrityError(f"{reference.uri} is of {made.interval}, not of {reference.interval} as claimed")
        facts = made.facts if reference.facts else {}  # some travel without, to be short
        return made.model_copy(update={"uri": reference.uri, "facts": facts})

    def _own(self, spec: JobSpec, role: str, reference: AnyReference) -> AnyReference:
        """Return a reference that no record of ours tells of, if its bytes can speak for it."""
        if isinstance(reference, Report):
            raise IntegrityError(f"no record tells of the report {reference.uri}; only one that a job left counts")
        _, content = self._look(reference.uri)
        if content == NOTHING:
            raise IntegrityError(f"{reference.uri} is gone; {AGAIN}")
        if not isinstance(reference, Dataset):
            self.open(reference)
            return reference
        by = spec.upstream.get(role, "a task that is not known")
        self.external[reference.uri] = by
        log.info("%s was made by no job of ours; it was handed on by %s and is used as it is", reference.uri, by)
        if content != reference.hash:
            log.warning("%s holds %s, not %s as claimed: what it holds counts", reference.uri, content, reference.hash)
        return reference.model_copy(update={"hash": content})

    def _registered(self, spec: JobSpec, role: str, version: ModelVersion) -> ModelVersion:
        """Return a version as the ledger registered it; one that was only compared with may be of another root."""
        name = f"version {version.version} of {version.name}"
        entries = Ledger(self.store, version.name).entries() if version.name == spec.product else []
        known = next((entry.version for entry in entries if entry.version.version == version.version), None)
        if known is None and role == "champion":
            return version
        if known is None:
            raise IntegrityError(f"{name} is not registered for {spec.product}; only a registered one counts")
        if known.hash != version.hash:
            raise IntegrityError(f"{name} is registered with the model {known.hash}, not with {version.hash}")
        where = known.uri if known.uri.startswith(f"{self.store.uri}/") else version.uri  # of a root that was moved
        return version.model_copy(update={"facts": known.facts, "uri": where})

    def _look(self, uri: str) -> tuple[Path, str]:
        """Return where an input's files are on this machine, and their hash: that of nothing where there are none.

        It is the recorded one, also of a dataset out of which rows were taken since: :mod:`..storage.erasures`.
        """
        key = inside(self.store, uri)
        if key not in self._looked:
            folder = Path(self._downloads.name) / key
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # a job may rightly leave no file
                folder = self.store.download(key, folder)
            if isinstance(self.store, FolderStore) and not folder.is_relative_to(self._downloads.name):
                _check_links(self.store, folder, uri)
            self._looked[key] = folder, recorded_content(self.store, key, folder)
        return self._looked[key]


def inside(store: ArtifactStore, uri: str) -> str:
    """Return the key of what a URI names. :raises ConfigurationError: if it lies outside the artifact root."""
    below = uri.removeprefix(f"{store.uri}/").rstrip("/") if uri.startswith(f"{store.uri}/") else ""
    key = unquote(below) if isinstance(store, FolderStore) else below
    if {"", ".", ".."} & {*key.split("/")} or "\0" in key:
        raise ConfigurationError(f"{uri} lies outside the artifact root {store.uri}")
    return key


def _check_links(store: FolderStore, folder: Path, uri: str) -> None:
    """Refuse what a link brings in from elsewhere: it can change, and is hidden from who looks after the root."""
    root = store.root.resolve()
    for path in (folder, *folder.rglob("*")):
        if not path.resolve().is_relative_to(root) or (path.is_symlink() and path.is_dir()):
            raise ConfigurationError(f"{uri} lies outside the artifact root {store.uri}: {path} is a link out of it")
