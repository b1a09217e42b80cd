"""Forgets entities: takes their rows out of everything that is kept of a product, and shows that none is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from airflow_mlops_provider.backends.feature_store.feast.entities import LISTED
from airflow_mlops_provider.backends.tables.entities import ForgottenEntities
from airflow_mlops_provider.jobs.features.entity_search import ONLINE, EntitySearch
from airflow_mlops_provider.lifecycle.records.erasure import Erasure, Search
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.render.formats import moment
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import card, muted, report, table
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import FEAST, job
from airflow_mlops_provider.storage.erasures import Erasures
from airflow_mlops_provider.storage.layout import find_result, key_in, product_key
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.locks import store_lock
from airflow_mlops_provider.storage.manifests import read_manifest

PAGE = "forgotten.html"
#: After so many searches others write rows faster than they are taken out.
MOST = 3


class Settings(JobSettings):
    shape: Shape


class Params(JobParams):
    """:param requests: the requests to see to, by key; by default those that are due.
    :param log: the folder or bucket with the model servers' logs, in place of where they lie by default.
    """

    requests: tuple[str, ...] = ()
    log: str | None = None


Context = JobContext[JobInputs, Settings, Params]


@job(stage=Stage.FEATURES, makes="erasure", packages=FEAST, result=Report, side_effects=True)
def forget(context: Context) -> JobResult:
    """Search again and again until nothing is found; the report tells what was, where, and which models saw it.

    It passes if the last search found nothing, and everything could be searched.
    """
    erasures, named = Erasures(context.store, context.product), context.params.requests
    requests = [
        request for request in erasures.all() if (request.key in named if named else request.is_due(datetime.now(UTC)))
    ]
    with store_lock(context.store, product_key(context.product, "forgotten", "lock")):  # one writes what one has read
        searches = _searches(context, erasures, requests)
    rows, last = sum((search.total for search in searches), Counter[str]()), searches[-1]
    left = [*last.left, *_withdrawn(erasures, requests, last)]
    if last.rows:
        left.append(f"after {MOST} searches rows still come; stop what writes them, and search again")
    facts = {
        "requests": [request.key for request in requests],
        "rows": dict(rows),
        "searched": dict(last.looked),
        "named": dict(last.named),
        "models": _models(context, requests),
        "deliveries": sorted(_deliveries(context, requests)),
        "notes": [*_notes(context, rows)],
    }
    (context.folder / PAGE).write_text(_page(context.product, requests, facts, left), "utf-8")
    context.log.info("took out %s; models that saw them: %s", dict(rows) or "nothing", facts["models"] or "none")
    return JobResult(facts=facts, passed=not left, broken=tuple(left), page=PAGE)


def _searches(context: Context, erasures: Erasures, requests: list[Erasure]) -> list[EntitySearch]:
    """Search until nothing is found, and keep with each request what was found of it."""
    forgotten, searches = ForgottenEntities(requests, erasures.salt()), list[EntitySearch]()
    while not searches or (searches[-1].rows and len(searches) < MOST):
        search = EntitySearch(context, context.settings.shape, forgotten, erasures, context.params.log)
        search.run()
        searches.append(search)
        for request in requests:
            erasures.searched(request.key, Search(began=search.began, rows=search.of(request)))
    return searches


def _withdrawn(erasures: Erasures, requests: list[Erasure], search: EntitySearch) -> Iterator[str]:
    """Take requests back whose columns no table has: the name is mistyped, and nothing is proven."""
    for request in requests:
        if search.columns and not any({*names.columns} <= search.columns for names in request.names):
            erasures.withdraw(request.key)
            columns, known = (", ".join(sorted(names)) for names in (request.columns, search.columns))
            yield f"no table has {columns}; known: {known}. The request is withdrawn"


def _notes(context: Context, rows: Counter[str]) -> Iterator[str]:
    online = context.spec.services.online_store.get("type", "sqlite")
    if rows[ONLINE] and online not in LISTED:
        yield f"the online store ({online}) can't take an entity out: its features were overwritten, its name stays"


def _changed(context: Context, requests: list[Erasure]) -> Iterator[str]:
    """Yield the keys of the files that lost rows to some requests."""
    keys = {request.key for request in requests}
    for key, record in Erasures(context.store, context.product).changed().items():
        if keys & record.rows.keys():
            yield key


def _models(context: Context, requests: list[Erasure]) -> dict[str, str]:
    """Return the model versions that were made of their rows, and of what."""
    touched = {key.rpartition("/")[0] for key in _changed(context, requests)}
    seen: dict[str, str] = {}
    versions = {entry.version.version: entry.version for entry in Ledger(context.store, context.product).entries()}
    for version in versions.values():
        made = context.records.made(version).manifest
        for part in context.records.ancestors(made) if made else ():
            if any(f"{folder}/".startswith(f"{key_in(part.reference.uri)}/") for folder in touched):
                what = part.manifest.makes if part.manifest else part.reference.kind
                seen.setdefault(f"{version.name}@{version.version}", what)
    return seen


def _deliveries(context: Context, requests: list[Erasure]) -> set[str]:
    """Return the delivered files in which their rows were, by the records of what was read from them."""
    files = set[str]()
    for key in _changed(context, requests):
        work = find_result(key.rpartition("/")[0].removesuffix("/late"))
        manifest = read_manifest(context.store, work.work) if work else None
        if manifest and manifest.spec.job == "extract" and manifest.result:
            files |= manifest.result.facts.get("files", {}).keys()
    return files


def _page(product: str, requests: list[Erasure], facts: dict[str, Any], left: list[str]) -> Html:
    """Return the page that shows what was taken out, that nothing is left, and who saw it."""
    rows, looked, lines = facts["rows"], facts["searched"], [*left, *facts["notes"]]
    counts = (rows, looked, facts["named"])
    places = [(where, *(count.get(where, 0) for count in counts)) for where in sorted({*rows, *looked})]
    listed = [(request.key, moment(request.at), request.by, request.reason or None) for request in requests]
    files = [(file,) for file in facts["deliveries"]]
    return report(
        f"{product}: forgotten entities, {'something is' if left else 'nothing is'} left",
        f"{sum(rows.values()):,} rows taken out; the last search looked at {sum(looked.values()):,} files",
        *([card("To be looked at", *map(muted, lines))] if lines else ()),
        card(
            "Rows",
            table(("where", "#taken out", "#files in the last search", "#of these with such a column"), places),
            muted("A file without the columns that name an entity tells of nobody by name, and stays as it is."),
        ),
        card(
            "Models that saw them",
            table(("version", "nearest of what it was made of"), facts["models"].items()),
            muted("A model goes on as it is: train a new one on what is left, and retire it, if that is asked for."),
        ),
        card(
            "Deliveries that hold them",
            table(("file below the landing root",), files),
            muted("What was delivered belongs to its sender: have it corrected there. It is read without them."),
        ),
        card("Requests", table(("request", "asked", "by", "because"), listed)),
    )
