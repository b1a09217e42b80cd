"""Checks of principles, roles and the challenges that the paper leaves open; and of components beyond their probes."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_mlops_provider.lifecycle.maturity.seen import ProductSeen, Seen, each, facts, failed
from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, green, red, shown, yellow
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.stages import Stage

UNMADE = "no model version with a record of its training"
MINUTES = 15


def parts(there: Mapping[str, object]) -> Verdict:
    """Return which parts were seen, and which are lacking."""
    return shown(", ".join(name for name in there if there[name]), (name for name in there if not there[name]))


@each
def resumes(seen: ProductSeen) -> Verdict:
    again = [made.spec.name for made in seen.manifests if made.reused]
    words = f"{len(again)} times a task found its work finished"
    return green(f"{words}, the last was {again[-1]}") if again else yellow("no task was run again yet")


@each
def reproducible(seen: ProductSeen) -> Verdict:
    made, twice = seen.trained, [each for each in seen.manifests if each.original and not each.reused]
    if made is None:
        return yellow(UNMADE)
    if made.code.commit is None:
        return red("the newest version was trained by code of no commit")
    words = f"commit {made.code.commit[:12]}, data, settings and {len(made.packages)} packages are on record"
    lacking = ["a clean work tree"] * bool(made.code.dirty) + ["anything that was made twice, the very same"] * (
        not twice
    )
    return shown(f"{words}, {len(twice)} results were made again", lacking)


@each
def versioned(seen: ProductSeen) -> Verdict:
    made = seen.trained
    if made is None:
        return yellow(UNMADE)
    rules = any(each.code_hashes for each in seen.of("compute"))
    there = {"data": made.spec.references, "code": made.code.commit, "settings": made.spec.settings}
    return parts({**there, "feature rules": rules, "environment": made.packages or made.image})


@each
def continuous(seen: ProductSeen) -> Verdict:
    ready = seen.moves(Status.PRODUCTION_READY)
    blind = [entry for entry in ready if not {"report", "rollback"} & entry.evidence.keys()]
    if blind:
        return red(f"v{blind[0].version.version} became production-ready without an evaluation")
    words = f"{len(ready)} promotions, each with its evaluation"
    return shown(words, [] if seen.retrained else ["a training that started by itself"])


@each
def retrained(seen: ProductSeen) -> Verdict:
    because = ", ".join(f"v{number} because of {cause}" for cause, number in seen.retrained.items())
    return green(because) if because else yellow("no version was retrained by itself yet")


@each
def recorded(seen: ProductSeen) -> Verdict:
    stages = {made.stage for made in seen.manifests}
    lacking = [stage for stage in Stage if stage not in (*stages, Stage.FEEDBACK)]
    return shown(
        f"{len(seen.manifests)} manifests with times, parameters, metrics and lineage", lacking, "none of stage"
    )


def watched(seen: Seen) -> Verdict:
    if seen.probes["prometheus"].off:
        return seen.probes["prometheus"]
    data, model = (any(look(product) for product in seen.products) for look in (_validated, _judged))
    live = {name: seen.probes[probe].seen for name, probe in (("infrastructure", "prometheus"), ("serving", "latency"))}
    return parts({"data": data, "model": model, "code": not seen.probes["C2"].off, **live})


def _validated(seen: ProductSeen) -> bool:
    return bool(seen.of("validate"))


def _judged(seen: ProductSeen) -> bool:
    return bool(seen.judgements)


def visible(seen: Seen) -> Verdict:
    if seen.probes["prometheus"].off:
        return seen.probes["prometheus"]
    accuracy = any(product.of("performance") for product in seen.products)
    live = {"infrastructure": "prometheus", "CI/CD": "C1", "orchestration": "C3"}
    return parts({"accuracy": accuracy, **{name: seen.probes[probe].seen for name, probe in live.items()}})


@each
def loops(seen: ProductSeen) -> Verdict:
    crossed, version = [judged for judged in seen.judgements if judged.crossed], seen.retrained.get("drift")
    arrived = f"scheduler: {len(crossed)} crossed limits, " + (
        f"v{version} because of drift" if version else "no training"
    )
    return shown(arrived, ["arrows from monitoring to experiments and data engineering (not part of this release)"])


@each
def placed(seen: ProductSeen) -> Verdict:
    trained = [made for made in seen.of("train", "trial") if not made.failure]
    places = sorted({f"pods of {made.image}" if made.image else "child processes" for made in trained})
    return shown(
        f"{len(trained)} trainings in {' and '.join(places) or 'no place'}", ["another place"] * (len(places) < 2)
    )


@each
def worth(seen: ProductSeen) -> Verdict:
    made, business = seen.last("performance"), getattr(seen.product, "business", None)
    value = made.result.facts.get("value") if made and made.result else None
    goal = f"KPI {business.kpi.name!r}, target {business.kpi.target:g}" if business and business.kpi else ""
    amount = f"; {value['amount']:,.0f} {value['currency']} in the newest interval" if value else ""
    return shown(f"{goal}{amount}", ["a KPI"] * (not goal) + ["a measured value"] * (not value))


@each
def explored(seen: ProductSeen) -> Verdict:
    export, search = seen.last("export_settings"), seen.last("conclude")
    if export:
        return failed(export) or green(f"winner {facts(export, 'state', 'branch', 'pull_request')}")
    return yellow("a search ended, nothing was exported" if search else "no experiment is on record")


@each
def heard(seen: ProductSeen) -> Verdict:
    answers = [request.answer for request in seen.requests if request.answer]
    return shown(f"{len(seen.requests)} requests to data engineering", [] if answers else ["a request with an answer"])


@each
def one_action(seen: ProductSeen) -> Verdict:
    live, back = seen.moves(Status.LIVE), [entry for entry in seen.entries if "rollback" in entry.evidence]
    words = f"{len(live)} deployments and {len(back)} rollbacks, each an entry with who and why"
    return shown(words, ["a deployment"] * (not live) + ["a rollback"] * (not back))


@each
def data_first(seen: ProductSeen) -> Verdict:
    ready = [entry for entry in seen.moves(Status.PRODUCTION_READY) if "rollback" not in entry.evidence]
    through = {e.version.version: e.sequence for e in reversed(seen.moves(Status.STAGING)) if "report" in e.evidence}
    early = [entry for entry in ready if through.get(entry.version.version, entry.sequence) >= entry.sequence]
    if early:
        return red(f"v{early[0].version.version} passed the model's gates before its data passed theirs")
    words = f"{len(ready)} promotions, each after a validation of its training data"
    return green(words) if ready else yellow("no version was promoted yet")


@each
def quick(seen: ProductSeen) -> Verdict:
    live = seen.moves(Status.LIVE)
    if not live or not seen.manifests:
        return yellow("no version has served yet")
    took = (live[0].at - min(made.started for made in seen.manifests)).total_seconds() / 60
    return shown(f"{took:.0f} minutes from the first job to a served model", ["speed"] * (took > MINUTES))


@each
def sized(seen: ProductSeen) -> Verdict:
    errors = [made.failure.error for made in seen.manifests if made.failure]
    lost = [error for error in errors if error in ("OutOfMemoryError", "UnschedulableError", "EvictedError")]
    return (
        green(f"{len(lost)} jobs tried again after {lost[-1]}") if lost else yellow("no job lacked memory or room yet")
    )
