"""How server and ledger go together to another version: what deploying and putting right share."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.backends.model_server.base import ModelServer, Served, ServerCode
from airflow_mlops_provider.extensions import MODEL_SERVERS
from airflow_mlops_provider.jobs.deployment import image
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.deployment import Approval, Rollout
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, candidate, live_versions
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.runtime.address import code_hashes
from airflow_mlops_provider.runtime.arguments import JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.scoring.as_they_are import scoring_of
from airflow_mlops_provider.storage.ledger import Ledger


class Settings(JobSettings):
    """:param scoring: how calls are scored; None where there is no product, and the version's model says it.

    :param metric: by which a candidate is judged as labels arrive.
    :param rollout: how a version comes to answer all calls; None: at once.
    """

    serving: Serving = Serving()
    scoring: Scoring | None = None
    approval: Annotated[Approval | None, ProductField("deployment.approval")] = None
    metric: Annotated[Metric | None, ProductField("metric")] = None
    rollout: Annotated[Rollout | None, ProductField("deployment.rollout")] = None


class Params(JobParams):
    port: int | None = None


Context = JobContext[Any, Settings, Any]


def model_server(context: Context) -> ModelServer:
    """Return the product's model server: wherever it runs, deployments know it by this contract alone."""
    serving, services = context.settings.serving, context.spec.services
    serving = image.running(serving, image.in_force(context, serving))
    served = Served(
        product=context.product,
        root=context.spec.root,
        store=context.store,
        serving=serving,
        connected=services.model_server,
        port=context.params.port,
        log=context.local("serving") / "server.log",
        code_of=partial(_code, context),
    )
    kind: type[ModelServer] = MODEL_SERVERS.find(serving.kind(services.model_server))
    return kind(served)


def roll(context: Context, version: ModelVersion, before: ModelVersion | None) -> str:
    """Have the server answer with a version, and return its address.

    :param before: what serves now, to which the server goes back if anything is raised.
    """
    server = model_server(context)
    try:
        server.deploy(releases.Release.of(version))
    except BaseException:
        if before != version:
            server.roll_back(releases.Release.of(before) if before else None)
        raise
    return server.address


def enter(
    context: Context, ledger: Ledger, version: ModelVersion, url: str, figures: dict[str, Any] | None = None
) -> LedgerEntry:
    """Enter that a version is live; retire whatever else the ledger still calls so, and reject what was to follow it.

    :param figures: what a rollout observed.
    """
    evidence = {"url": url, **image_of(context), **({"observed": figures} if figures else {})}
    said: dict[str, Any] = {"reason": f"{url} answers with it", "by": context.by, "evidence": evidence}
    entry = ledger.move(version, Status.LIVE, **said)
    if entry.evidence.get(image.IMAGE) != evidence.get(image.IMAGE):  # it was live, from another image
        entry = ledger.note(version, **said)
    retire_others(context, ledger, version)
    if other := candidate(ledger.entries()):  # it was compared with another version
        ledger.move(other.version, Status.REJECTED, reason=f"version {version.version} went live", by=context.by)
    return entry


def image_of(context: Context) -> dict[str, Any]:
    """Return which image the servers run, as evidence; empty where that is not said."""
    return image.in_force(context, context.settings.serving)


def retire_others(context: Context, ledger: Ledger, version: ModelVersion) -> list[ModelVersion]:
    """Retire what the ledger calls live beside a version, and return it."""
    others = [other for other in live_versions(ledger.entries()) if other.version != version.version]
    for other in others:
        ledger.move(other, Status.RETIRED, reason=f"version {version.version} took over", by=context.by)
    return others


def _code(context: Context, wanted: releases.Wanted) -> ServerCode:
    declared = context.settings.scoring
    scoring = declared or scored_by(context, wanted.model)
    code, options = serving_code(scoring), ["--online-store", json.dumps(context.spec.services.online_store)]
    if declared is None:
        code, options = digest([code, scoring.to_json()]), [*options, "--scoring", scoring.model_dump_json()]
    if (workers := context.settings.serving.workers) > 1:  # part of the code: a server with another number is replaced
        code, options = f"{code}-{workers}", [*options, "--workers", str(workers)]
    return ServerCode(code, options)


def scored_by(context: Context, version: ModelVersion) -> Scoring:
    """Return how calls of a version are scored where no product says it: as its training and its model do."""
    trained = context.records.manifest_of(version).spec.settings["scoring"]
    if "assemble" in trained:
        return Scoring.model_validate(trained)
    return scoring_of(context.product, trained["problem"], context.open(version))


def serving_code(scoring: Scoring) -> str:
    """Return the fingerprint of the code that makes model inputs: the server has to run the same."""
    job = find_job("predict")
    settings = {"scoring": scoring.to_json()}
    nowhere = Services(landing="", mlflow="")
    spec = JobSpec(job=job.name, product=scoring.name, settings=settings, root="", services=nowhere)
    return digest(code_hashes(spec, job))
