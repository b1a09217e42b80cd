"""The model card: what a version is for, how it was made, how good it is and for whom not, and who let it in."""

from __future__ import annotations

import json
from collections.abc import Iterator

from airflow_mlops_provider.lifecycle.description.document import Document, Section, Table
from airflow_mlops_provider.lifecycle.description.facts import VersionFacts, joined, known, number
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.release.gates import short_of_baseline

DECLARE = "a product's declaration (goal, business, problem)"
JUDGE = "an evaluation of this model"
UNCHECKED = "Nothing was expected of its training data: the product declares no expectations."


def model_card(facts: VersionFacts) -> Document:
    """Return the card of a version: the same records make the same card."""
    version, goal = facts.graph.version, facts.product.goal if facts.product else "a model without a product"
    parts = (purpose, owners, data, training, evaluation, slices, predictions, checks, caveats, decisions, signature)
    return Document(
        title=f"{version.name} version {version.version}: model card",
        lead=f"{goal} Made from records alone; hash {version.hash}.",
        sections=tuple(part(facts) for part in parts),
    )


def purpose(facts: VersionFacts) -> Section:
    """What it is for."""
    product = facts.product
    business = product.business if product else None
    kpi = business.kpi if business else None
    label = f"{product.label.column}: {product.label.description}".rstrip(": ") if product else None
    said = {
        "question": product.goal if product else None,
        "kind of problem": facts.problem,
        "predicts": label,
        "KPI": f"{kpi.name}: {kpi.target:g} {kpi.unit}" if kpi else None,
        "value of a prediction": str(business.value) if business and business.value else None,
    }
    lacking = () if business else (f"purpose and KPI; recorded by {DECLARE}",)
    return Section(title="Intended use", facts=known(said), missing=lacking)


def owners(facts: VersionFacts) -> Section:
    """Who answers for it."""
    business = facts.product.business if facts.product else None
    roles = {name.replace("_", " "): str(who) for name, who in business.owners} if business else {}
    return Section(
        title="Owners", facts=roles, missing=() if roles else (f"who answers for it; recorded by {DECLARE}",)
    )


def data(facts: VersionFacts) -> Section:
    """What it learned from and was judged on."""
    training_set, kinds = facts.training_set, dict.fromkeys(item.kind for item in facts.made_of())
    rows = facts.fact_of_data("rows")
    counts = ", ".join(f"{count:,} {part}" for part, count in rows.items()) if isinstance(rows, dict) else rows
    said = {
        "learned from": joined(facts.fact_of_data("train")),
        "judged on": joined(facts.fact_of_data("evaluate")),
        "rows": str(counts) if counts is not None else None,
        "training set": f"{training_set.hash} at {training_set.uri}" if training_set else None,
    }
    made_of = ((kind, *_extent(facts, kind)) for kind in kinds)
    return Section(
        title="Data",
        facts=known(said),
        tables=(
            Table(head=("made of", "#results", "first interval", "last interval"), rows=tuple(made_of)),
            Table(head=("from", "feature", "type"), rows=tuple(facts.features)),
        ),
    )


def training(facts: VersionFacts) -> Section:
    """How it was made."""
    made, trainer, version = facts.trained, facts.trainer, facts.graph.version
    code, commit = trainer.get("code"), made.code
    retuning = version.facts.get("retuning")
    said = {
        "function": code if isinstance(code, str) else (code or {}).get("name"),
        "flavor": trainer.get("flavor"),
        "settings": json.dumps(trainer.get("settings") or {}, sort_keys=True),
        "seed": None if made.seed is None else str(made.seed),
        "retuning": retuning["summary"] if retuning else None,
        "commit": f"{commit.commit}{' with uncommitted changes' if commit.dirty else ''}" if commit.commit else None,
        "repository": commit.repository,
        "environment": f"{len(facts.packages)} packages, digest {facts.graph.items[0].made.environment}"
        if facts.graph.items[0].made
        else None,
        "image": made.image,
        "hardware": ", ".join(f"{name} {value}" for name, value in made.hardware.items()),
        "trained": f"{made.started:%F %T} UTC, in {made.seconds:.1f} s",
        "by": made.spec.run.path or "a job outside Airflow",
        "MLflow run": str(version.facts.get("run_id") or ""),
    }
    lacking = [] if commit.commit else ["the commit; recorded where the product lies in a git repository"]
    return Section(title="Training", facts=known(said), missing=tuple(lacking))


def evaluation(facts: VersionFacts) -> Section:
    """How good it is, with intervals, beside what it was compared with."""
    judged = facts.evaluation
    if judged is None:
        return Section(title="Evaluation", missing=(f"how good it is; recorded by {JUDGE}",))
    over = f"{judged.gain} over champion version {judged.champion_version}" if judged.gain else None
    said = {"metric": judged.metric, "window": judged.window, "rows": f"{judged.rows:,}", "gain": over}
    said["would have brought"] = str(judged.worth) if judged.worth else None
    rows = ((name, *map(number, (each.value, each.low, each.high))) for name, each in judged.contenders.items())
    table = Table(head=("contender", f"#{judged.metric}", "#95 % from", "#to"), rows=tuple(rows))
    return Section(title="Evaluation", facts=known(said), tables=(table,))


def slices(facts: VersionFacts) -> Section:
    """How good it is in parts of the data."""
    judged = facts.evaluation
    if judged is None:
        return Section(title="Slices", missing=(f"the metric by slice; recorded by {JUDGE}",))
    rows = tuple((name, int(part["rows"]), number(part["value"])) for name, part in judged.slices.items())
    texts = () if rows else ("It was not broken down by slices: none is declared, or none has enough rows.",)
    return Section(
        title="Slices", texts=texts, tables=(Table(head=("slice", "#rows", f"#{judged.metric}"), rows=rows),)
    )


def predictions(facts: VersionFacts) -> Section:
    """What its kind of problem shows of predictions: calibration, coverage, which classes are confused."""
    title = "Calibration and errors"
    if facts.figures is None:
        return Section(title=title, missing=(f"what its predictions are like; recorded by {JUDGE}",))
    texts = () if facts.figures else (f"A problem of the kind {facts.problem} shows nothing beside its metric.",)
    return Section(title=title, texts=texts, figures=facts.figures)


def checks(facts: VersionFacts) -> Section:
    """What was expected of its training data."""
    report = facts.validated.result if facts.validated else None
    if not isinstance(report, Report):
        return Section(title="Data checks", missing=("what was expected of its data; recorded by a validation",))
    if not report.facts.get("checked"):
        return Section(title="Data checks", texts=(UNCHECKED,))
    said = {"outcome": "all met" if report.passed else "not met", "expectations": f"{report.facts['checked']:,}"}
    return Section(title="Data checks", texts=report.broken, facts=said)


def caveats(facts: VersionFacts) -> Section:
    """What speaks against relying on it, as far as the records know."""
    every = tuple(_caveats(facts))
    return Section(title="Limits and caveats", texts=every or ("The records know of none.",))


def decisions(facts: VersionFacts) -> Section:
    """Who let it in, and why: its moves in the ledger."""
    moves = tuple((f"{move.at:%F %T} UTC", move.status.value, move.reason, move.by) for move in facts.graph.moves)
    return Section(title="Decisions", tables=(Table(head=("at", "became", "because", "by"), rows=moves),))


def signature(facts: VersionFacts) -> Section:
    """Who signed its files."""
    if not facts.signer:
        unsigned = "The model's files are unsigned: no signature lies beside them."
        return Section(title="Signature", texts=(unsigned,))
    said = {"format": "OpenSSF Model Signing", "SHA-256 of the key that it names": facts.signer}
    how = "Whoever holds that public key verifies it with `model_signing verify key`, or lets it be required."
    return Section(title="Signature", texts=(how,), facts=said)


def _extent(facts: VersionFacts, kind: str) -> tuple[int, str | None, str | None]:
    """Return how many results of a kind it was made of, and the intervals of the first and the last."""
    items = facts.made_of(kind)
    spans = sorted((item.interval for item in items if item.interval), key=lambda span: span.start)
    return (len(items), str(spans[0]), str(spans[-1])) if spans else (len(items), None, None)


def _caveats(facts: VersionFacts) -> Iterator[str]:
    yield from _of_evaluation(facts)
    if facts.validated and isinstance(facts.validated.result, Report):
        yield from (f"Its training data broke an expectation: {broken}" for broken in facts.validated.result.broken)
        yield from [] if facts.validated.result.facts.get("checked") else [UNCHECKED]
    if unknown := _without_label(facts.evaluated):
        yield f"Of {unknown:,} rows of the window no truth was known: they were not judged on."
    if absent := facts.fact_of_data("not_loaded"):
        yield f"The feature store held nothing of {joined(absent)}, on which its features look back."
    if shared := facts.fact_of_data("of_groups_in_both"):
        yield f"{shared:,} rows were left out of training, as their groups are judged on."
    if facts.trained.code.dirty:
        yield "The code that trained it had changes which no commit holds."
    if facts.trained.image is None:
        yield "It was trained in a process, not in an image: its environment is known by package versions alone."
    for item in facts.graph.items:
        if item.missing:
            yield f"{item.kind} {item.hash[:12]}: {item.missing}"


def _of_evaluation(facts: VersionFacts) -> Iterator[str]:
    judged, metric = facts.evaluation, facts.metric
    if judged is None:
        yield "It was never judged: nothing says how good it is."
        return
    if metric and (short := short_of_baseline(judged, metric)):
        yield f"It is not surely better than no model: {short}."
    if judged.gain and judged.gain.low <= 0:
        yield f"It is not surely better than champion version {judged.champion_version}: the gain is {judged.gain}."
    yield from (f"Not judged: {skipped}." for skipped in judged.left_out)
    if metric and (
        measured := {name: part["value"] for name, part in judged.slices.items() if number(part["value"]) is not None}
    ):
        weakest = (min if metric.higher_is_better else max)(measured, key=lambda name: measured[name])
        rows = judged.slices[weakest]["rows"]
        yield f"It is weakest in slice {weakest}: {judged.metric} {measured[weakest]:.4f} on {rows:,.0f} rows."


def _without_label(evaluated: Manifest | None) -> int:
    return int(evaluated.result.facts.get("without_label", 0)) if evaluated and evaluated.result else 0
