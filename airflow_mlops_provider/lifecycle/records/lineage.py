"""What a model version was made of, as a graph: each result, how it was made, and what was made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from airflow_mlops_provider.lifecycle.frozen import Frozen, digest
from airflow_mlops_provider.lifecycle.interval import Interval, is_in
from airflow_mlops_provider.lifecycle.records.manifest import Commit, Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Reference
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status

#: An input that a result was only compared with: not made of it.
COMPARED = "champion"
#: As what a training set takes an interval of features; in the last, its join only looks for values known before.
LEARNED, JUDGED, HISTORY = "learned from", "judged on", "history"
NOT_READABLE = "made by a DAG that you may not read"


@dataclass(frozen=True)
class Made:
    """A result, as what used it or the ledger names it, and how it was made.

    :param missing: why there is no record; empty if there is one.
    :param reuses: how many more runs found this work finished, or did it again.
    :param external: no job of ours made it.
    """

    reference: Reference
    manifest: Manifest | None
    missing: str = ""
    reuses: int = 0
    external: bool = False


class Process(Frozen):
    """How a result was made.

    :param code: SHA-256 of each source file that decides the result, by module, or by ``module:function`` where the
        product declares a function.
    :param settings: the job's parameters and, of a training, the trainer's settings; None if none were recorded.
    :param environment: digest of the versions of all installed packages.
    """

    job: str
    address: str
    run: RunIdentity
    started: datetime
    seconds: float
    commit: Commit
    code: dict[str, str]
    settings: dict[str, Any] | None
    seed: int | None
    environment: str
    image: str | None
    hardware: dict[str, Any]


class Item(Frozen):
    """A result in the graph.

    :param id: what tells it from all others: two steps may well make the very same bytes.
    :param kind: what it is, in a reader's words.
    :param rows: by table or view.
    :param parts: SHA-256 of each of its files; a features dataset has one file per view.
    :param files: SHA-256 of each delivered file that it was read from, by key below the landing root.
    :param missing, reuses: as of :class:`Made`.
    """

    id: str
    hash: str
    kind: str
    uri: str
    interval: Interval | None = None
    rows: dict[str, int] = {}
    parts: dict[str, str] = {}
    files: dict[str, str] = {}
    made: Process | None = None
    missing: str = ""
    reuses: int = 0


class Link(Frozen):
    """One result went into another. ``role`` says as what; ``source`` and ``target`` are their ids."""

    source: str
    target: str
    role: str


class Lineage(Frozen):
    """A model version, its moves in the ledger, oldest first, and all that it was made of.

    :param registered: who registered it; None if that record is gone.
    :param items: the model first, then what it was made of, nearest first.
    :param environments: the package versions behind each environment's digest.
    """

    version: ModelVersion
    moves: tuple[LedgerEntry, ...]
    registered: RunIdentity | None
    items: tuple[Item, ...]
    links: tuple[Link, ...]
    environments: dict[str, dict[str, str]]

    @property
    def status(self) -> Status:
        """Where the version stands."""
        return self.moves[-1].status

    @property
    def name(self) -> str:
        """The version as a person asks for it."""
        return f"{self.version.name}@{self.version.version}"

    def way(self, source: str) -> list[Link]:
        """Return one shortest way from an item, by its id, to the model; empty for the model itself."""
        ways: dict[str, list[Link]] = {key_of(self.version): []}
        for item in self.items:
            for link in self.links:
                if link.target == item.id in ways and link.source not in ways:
                    ways[link.source] = [link, *ways[item.id]]
        return ways.get(source, [])

    def shown_to(self, may_read: Callable[[str], bool]) -> Lineage:
        """Return the graph without what is known of results that were made by DAGs that somebody may not read."""
        items = tuple(
            item
            if item.made is None or may_read(item.made.run.dag_id)
            else Item(id=item.id, hash=item.hash, kind=item.kind, uri="", missing=NOT_READABLE)
            for item in self.items
        )
        seen = {item.made.environment for item in items if item.made}
        registered = self.registered if self.registered and may_read(self.registered.dag_id) else None
        environments = {name: packages for name, packages in self.environments.items() if name in seen}
        return self.model_copy(update={"items": items, "registered": registered, "environments": environments})


def lineage(
    version: ModelVersion, moves: Sequence[LedgerEntry], made: Sequence[Made], by: RunIdentity | None
) -> Lineage:
    """Return a version's graph, of the model and what it was made of, nearest first; ``by`` is who registered it."""
    manifests = [each.manifest for each in made if each.manifest]
    return Lineage(
        version=version,
        moves=tuple(moves),
        registered=by,
        items=tuple(map(item_of, made)),
        links=tuple(link for manifest in manifests for link in _links(manifest)),
        environments={digest(manifest.packages): manifest.packages for manifest in manifests},
    )


def key_of(reference: Reference) -> str:
    """Return where a result lies below its product: job, address, content; the same in a root that was copied."""
    return "/".join(reference.uri.rstrip("/").split("/")[-3:])


def ingredients(manifest: Manifest) -> Iterator[tuple[str, Reference]]:
    """Yield what a job's result was made of, with its role, in the order in which its inputs were given."""
    for role in manifest.spec.inputs:
        if role != COMPARED:
            yield from ((role, reference) for reference in manifest.spec.given(role))


def _declared_code(settings: dict[str, Any]) -> list[str]:
    """Return the functions that a product declares for a job, ``package.module:function``."""
    named = [value.get("code") if isinstance(value, dict) else value for value in settings.values()]
    if isinstance(scoring := settings.get("scoring"), dict):
        named.append(scoring.get("assemble"))
    return [code for code in named if isinstance(code, str) and ":" in code]


def process(manifest: Manifest) -> Process:
    """Return how a manifest's result was made."""
    functions = {code.partition(":")[0]: code for code in _declared_code(manifest.spec.settings)}
    trainer = manifest.spec.settings.get("trainer", {})
    settings = {**manifest.spec.params, **trainer.get("settings", {})}
    return Process(
        job=manifest.spec.job,
        address=manifest.address,
        run=manifest.spec.run,
        started=manifest.started,
        seconds=manifest.seconds,
        commit=manifest.code,
        code={functions.get(module, module): sha256 for module, sha256 in manifest.code_hashes.items()},
        settings=settings if manifest.spec.settings or settings else None,
        seed=manifest.seed,
        environment=digest(manifest.packages),
        image=manifest.image,
        hardware=manifest.hardware,
    )


def item_of(made: Made) -> Item:
    """Return a result as the graph shows it; of one whose record makes no sense to this release, that."""
    try:
        return _item(made)
    except (ValidationError, AttributeError, TypeError) as error:  # a newer release may mean something else by a fact
        missing = f"its record can't be understood: {type(error).__name__}"
        return _item(Made(made.reference.model_copy(update={"facts": {}}), None, missing))


def _item(made: Made) -> Item:
    reference, manifest = made.reference, made.manifest
    facts = {**reference.facts, **(manifest.result.facts if manifest and manifest.result else {})}
    rows = facts.get("rows", {})
    kind = "external data" if made.external else key_of(reference).partition("/")[0].replace("_", " ")
    return Item(
        id=key_of(reference),
        hash=reference.hash,
        kind=(manifest.makes if manifest else "") or kind,
        uri=reference.uri,
        interval=reference.interval if isinstance(reference, Dataset) else None,
        rows=rows if isinstance(rows, dict) else {"rows": rows},
        parts={output.name: output.sha256 for output in manifest.outputs} if manifest else {},
        files=facts.get("files", {}),
        made=process(manifest) if manifest else None,
        missing=made.missing,
        reuses=made.reuses,
    )


def _links(manifest: Manifest) -> Iterator[Link]:
    assert manifest.result is not None  # what others were made of has one
    facts = manifest.result.facts
    for role, reference in ingredients(manifest):
        part = role
        if manifest.spec.job == "training_set" and isinstance(reference, Dataset) and reference.interval:
            parts = {LEARNED: facts.get("train", ()), JUDGED: facts.get("evaluate", ())}
            part = next((name for name, spans in parts.items() if is_in(reference.interval, spans)), role)
        yield Link(source=key_of(reference), target=key_of(manifest.result), role=part)
