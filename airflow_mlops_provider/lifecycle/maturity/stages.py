"""Checks of the stages, by their numbers: what is declared, and what jobs left."""

from __future__ import annotations

from collections import Counter

from airflow_mlops_provider.lifecycle.maturity.seen import (
    Check,
    ProductSeen,
    Seen,
    data_of,
    each,
    facts,
    failed,
    ran,
    refused,
    when,
)
from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, green, red, shown, yellow
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.release.registry import Status

OURS = "airflow_mlops_provider"


def usable(seen: Seen) -> Verdict:
    return red(seen.broken[0]) if seen.broken else green(f"{len(seen.products)} products")


@each
def stated(seen: ProductSeen) -> Verdict:
    business = getattr(seen.product, "business", None)
    owners = business and business.owners
    kpi = f"; KPI {business.kpi.name!r} from {business.kpi.target:g} on" if business and business.kpi else ""
    return shown(f"{seen.product.goal}{kpi}", ["a KPI with target"] * (not kpi) + ["owners"] * (not owners))


@each
def problem_typed(seen: ProductSeen) -> Verdict:
    product, windows = seen.product, seen.product.training.windows
    split = f"learns from {windows.train} intervals, judged on {windows.evaluate} later"
    return green(f"{product.problem}, by {product.metric.name}; {split}")


@each
def data_declared(seen: ProductSeen) -> Verdict:
    sources = seen.product.data.sources
    columns = sum(len(source.columns) for source in sources)
    words = f"{len(sources)} sources, {columns} typed columns, label {seen.product.label.column!r}"
    return shown(words, [] if sources else ["a source"])


@each
def data_proven(seen: ProductSeen) -> Verdict:
    steps = {"extract": seen.last("extract"), "validate": seen.last("validate", what="raw")}
    steps["compute"] = seen.last("compute")
    wrong = [verdict for made in steps.values() if made and (verdict := refused(made))]
    said = ", ".join(facts(made, "checked", "rows") for made in steps.values() if made)
    return wrong[0] if wrong else shown(said, (job for job, made in steps.items() if made is None), "never ran")


def rules(made: Manifest) -> str:
    """Return the users' own modules that decided a result, with the hash of each."""
    own = {name: sha256[:12] for name, sha256 in made.code_hashes.items() if not name.startswith(OURS)}
    return ", ".join(f"{name} {sha256}" for name, sha256 in own.items()) or "no module of the product's"


def ruled(job: str) -> Check:
    """Return a check that a job logged which rules it read."""
    return ran(job, lambda made: f"read {rules(made)}")


def answering(job: str) -> Check:
    """Return a check that rules are versioned, and that a change of them answers feedback."""

    def check(seen: ProductSeen) -> Verdict:
        made, answers = seen.last(job), [request.answer for request in seen.requests if request.answer]
        return (
            shown(rules(made), [] if answers else ["a change that answers feedback"]) if made else yellow(f"no {job}")
        )

    return each(check)


@each
def connected(seen: ProductSeen) -> Verdict:
    made, sources = seen.last("extract"), seen.product.data.sources
    kinds = sorted({"a query" if source.query else "files" for source in sources})
    return (failed(made) if made else None) or shown(
        f"{len(sources)} sources, by {' and '.join(kinds)}", [] if made else ["an extraction"]
    )


@each
def idempotent(seen: ProductSeen) -> Verdict:
    spans = Counter(str(made.spec.interval) for made in seen.of("extract") if not made.failure)
    again = [span for span, count in spans.items() if count > 1]
    words = f"{len(again)} of {len(spans)} intervals were read again, and each has one dataset"
    return shown(words, [] if again else ["an interval that was read again"])


@each
def split(seen: ProductSeen) -> Verdict:
    data = data_of(seen.trained) if seen.trained else None
    if data is None:
        return yellow("no training set of a version is on record")
    check = seen.validation_of(data)
    words = f"{data.facts.get('rows')}, hash {data.hash[:12]}"
    return (refused(check) if check else None) or shown(words, [] if check else ["its validation"])


searched = ran("conclude", lambda made: facts(made, "trials", "study"))
stopped = ran("conclude", lambda made: facts(made, "stopped"))
export = ran("export_settings", lambda made: facts(made, "state", "branch", "commit"))
predicted = ran("predict", lambda made: f"batch: {facts(made, 'version', 'rows')}")


@each
def data_wanted(seen: ProductSeen) -> Verdict:
    made = seen.last("search")
    words = f"{facts(made, 'rows')}, {len(seen.requests)} requests" if made else f"{len(seen.requests)} requests"
    return shown(words, ["an experiment"] * (not made) + ["a request that data change"] * (not seen.requests))


def exported(seen: Seen) -> Verdict:
    verdict, ci = export(seen), seen.probes["C1"]
    return verdict if not verdict.seen or ci.seen else shown(verdict.evidence, ["a run of CI that was seen"])


@each
def versioned_features(seen: ProductSeen) -> Verdict:
    made = seen.last("training_set")
    given = made.spec.given("features") if made else ()
    return (
        green(f"{len(given)} datasets by hash, the last {given[-1].hash[:12]}") if given else yellow("no training set")
    )


@each
def gated(seen: ProductSeen) -> Verdict:
    made = seen.last("train")
    data = data_of(made) if made else None
    if made is None or data is None:
        return yellow("no training is on record")
    check = seen.validation_of(data)
    if check and (refused(check) or check.ended > made.started):
        return red(f"trained {when(made)} on data that had not met their expectations")
    return shown(f"trained {when(made)}", [] if check else ["a validation of its data"])


trained = ran(
    "train", lambda made: f"{facts(made, 'flavor')}, seed {made.seed}, settings on record, {made.seconds:.0f} s"
)


@each
def evaluated(seen: ProductSeen) -> Verdict:
    made, retuned = seen.of("evaluate"), seen.of("retune")
    most = seen.product.training.retuning.trials
    words = f"{len(made)} evaluations, {len(retuned)} retunings of {most} trials at most"
    return shown(words, ["an evaluation"] * (not made) + ["a model below its gates"] * (not retuned))


@each
def exports_model(seen: ProductSeen) -> Verdict:
    made, live = seen.trained, seen.moves(Status.LIVE)
    words = f"{len(made.outputs)} files with their hashes, {facts(made, 'flavor')}" if made else "no model on record"
    return shown(words, [] if made and live else ["a server that has loaded it"])


@each
def registered(seen: ProductSeen) -> Verdict:
    made, entry = seen.trained, seen.newest
    if entry is None or made is None:
        return yellow("no version with a record of its training")
    says = {"metrics": made.metrics, "lineage": made.spec.references, "job": made.address, "packages": made.packages}
    last = next(each for each in reversed(seen.entries) if each.version.version == entry.version.version)
    words = f"v{entry.version.version} is {last.status.value}, MLflow run {entry.version.facts.get('run_id')}"
    return shown(words, (name for name, value in says.items() if not value))


@each
def handed_over(seen: ProductSeen) -> Verdict:
    live = seen.moves(Status.LIVE)
    words = f"v{live[-1].version.version} at {live[-1].at:%F %H:%M} UTC by {live[-1].by}" if live else ""
    return green(words) if live else yellow("no version went from production-ready to live yet")


def served(seen: Seen) -> Verdict:
    verdict, measured = predicted(seen), seen.probes["latency"]
    return measured if verdict.seen else verdict


def alerted(seen: Seen) -> Verdict:
    verdict, prometheus = judged(seen), seen.probes["prometheus"]
    return prometheus if verdict.seen or prometheus.off else verdict


@each
def judged(seen: ProductSeen) -> Verdict:
    crossed = [judgement for judgement in seen.judgements if judgement.crossed]
    words = f"{len(seen.judgements)} intervals judged, {len(crossed)} crossed a limit"
    return shown(words, [] if crossed else ["a crossed limit"])
