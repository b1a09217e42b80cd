"""The points of Annex IV of the EU AI Act (Regulation (EU) 2024/1689), and what the records say to each.

A point is what the annex asks for, in short. What no record can say, a document of the provider's own can: it is named,
and never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_mlops_provider.lifecycle.description import card
from airflow_mlops_provider.lifecycle.description.document import Document, Section, Table
from airflow_mlops_provider.lifecycle.description.facts import VersionFacts, known, number
from airflow_mlops_provider.lifecycle.records.lineage import Process
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status

MOST_REPORTS = 12
FORMATS = (
    "CycloneDX 1.6 (bill of materials), in-toto Statement v1 with SLSA provenance v1 (provenance), OpenSSF Model "
    "Signing (signature)"
)


@dataclass(frozen=True)
class DossierFacts:
    """What a dossier is made of.

    :param entries: the whole ledger of the product.
    :param watched: the reports on performance, oldest first.
    """

    version: VersionFacts
    entries: Sequence[LedgerEntry]
    watched: Sequence[Manifest] = ()


@dataclass(frozen=True)
class Point:
    """A point of the annex.

    :param says: what the records say to it; None if no record of ours says anything.
    :param lacks: what they can't say, whatever happens; empty if they can say it all.
    """

    key: str
    title: str
    says: Callable[[DossierFacts], Section] | None
    lacks: str = ""

    @property
    def name(self) -> str:
        """The point as the annex numbers it: ``2(d)``."""
        return f"{self.key[0]}({self.key[1]})" if len(self.key) > 1 else self.key


def dossier(
    facts: DossierFacts, files: Mapping[str, Mapping[str, str]], own: Mapping[str, Mapping[str, str]]
) -> Document:
    """Return the index page of a dossier.

    :param files: the files that go with a point, their words by address.
    :param own: the provider's own documents, likewise.
    """
    version = facts.version.graph.version
    return Document(
        title=f"{version.name} version {version.version}: technical documentation",
        lead="Ordered by Annex IV of Regulation (EU) 2024/1689. Made from records, up to entry "
        f"{facts.entries[-1].sequence} of the ledger; whether the regulation applies, and whether this is enough, it "
        "does not judge.",
        sections=tuple(_section(point, facts, files.get(point.key, {}), own.get(point.key, {})) for point in POINTS),
    )


def _section(point: Point, facts: DossierFacts, files: Mapping[str, str], own: Mapping[str, str]) -> Section:
    said = point.says(facts) if point.says else Section(title="")
    lacks = (f"{point.lacks}; recorded by a document {point.key}.md, or .pdf, in the folder of --with",)
    return said.model_copy(
        update={
            "title": f"{point.name} {point.title}",
            "links": {**files, **own},
            "missing": (*said.missing, *(lacks if point.lacks and not own else ())),
        }
    )


def _merged(*sections: Section) -> Section:
    """Return what several sections say as one."""
    merged: dict[str, Any] = {"title": "", "facts": {}}
    for section in sections:
        merged["facts"] |= section.facts
        for field in ("texts", "tables", "figures", "missing"):
            merged[field] = (*merged.get(field, ()), *getattr(section, field))
    return Section(**merged)


def _purpose(facts: DossierFacts) -> Section:
    version = facts.version.graph.version
    live = [entry.version.version for entry in facts.entries if entry.status is Status.LIVE]
    before = [number for number in live if number < version.version]
    judged = facts.version.evaluation
    said = {
        "version": f"{version.version}, content hash {version.hash}",
        "status": facts.version.graph.status.value,
        "live before it": f"version {before[-1]}" if before else "none",
        "compared with": f"version {judged.champion_version}" if judged and judged.champion_version else None,
    }
    return _merged(card.purpose(facts.version), card.owners(facts.version), Section(title="", facts=known(said)))


def _software(facts: DossierFacts) -> Section:
    made = facts.version.trained
    python = str(made.hardware.get("python", ""))
    flavor, packages = str(facts.version.trainer.get("flavor", "")), f"{len(made.packages)}, in the bill of materials"
    said = {"flavor": flavor, "Python": python, "packages": packages, "image": made.image}
    return Section(title="", facts=known(said))


def _forms(facts: DossierFacts) -> Section:
    served = [move for move in facts.version.graph.moves if move.status is Status.LIVE]
    rows = tuple((f"{move.at:%F %T} UTC", str(move.evidence.get("url", move.reason))) for move in served)
    lacking = () if rows else ("where it is served; recorded by its deployment",)
    return Section(title="", tables=(Table(head=("live since", "at"), rows=rows),), missing=lacking)


def _hardware(facts: DossierFacts) -> Section:
    used = facts.version.trained.hardware
    return Section(title="", facts={f"trained on: {name}": str(value) for name, value in used.items()})


def _steps(facts: DossierFacts) -> Section:
    """The jobs that led to it, each with its run and code."""
    made = [(item.kind, item.made) for item in facts.version.graph.items if item.made]
    rows = tuple(
        (kind, step.job, f"{step.started:%F %T} UTC", step.run.path or "outside Airflow", _commit(step))
        for kind, step in made
    )
    table = Table(head=("made", "by job", "at", "in run", "commit"), rows=rows)
    return _merged(card.training(facts.version), Section(title="", tables=(table,)))


def _commit(step: Process) -> str | None:
    return f"{step.commit.commit[:12]}{' dirty' if step.commit.dirty else ''}" if step.commit.commit else None


def _design(facts: DossierFacts) -> Section:
    metric, product = facts.version.metric, facts.version.product
    said = {
        "kind of problem": facts.version.problem,
        "expected output": product.label.column if product else None,
        "judged by": f"{metric.name}, {'more' if metric.higher_is_better else 'less'} is better" if metric else None,
        "function": str(facts.version.trainer.get("code") or ""),
    }
    return Section(title="", facts=known(said))


def _resources(facts: DossierFacts) -> Section:
    spent: dict[str, list[float]] = {}
    for item in facts.version.graph.items:
        if item.made:
            spent.setdefault(item.made.job, []).append(item.made.seconds)
    rows = tuple((job, len(each), f"{sum(each):.1f} s") for job, each in spent.items())
    table = Table(head=("job", "#runs", "#in all"), rows=rows)
    return _merged(_hardware(facts), Section(title="", tables=(table,)))


def _data(facts: DossierFacts) -> Section:
    product = facts.version.product
    sources = [
        (source.name, source.path or source.query or source.conn_id, ", ".join(source.columns))
        for source in (product.data.sources if product else ())
    ]
    read = {key: sha256 for item in facts.version.made_of() for key, sha256 in item.files.items()}
    said = {
        "label": f"{product.label.column}: {product.label.description}".rstrip(": ") if product else None,
        "cleaned by": product.data.clean if product else None,
        "features by": product.features.compute if product else None,
        "expectations by": product.data.expectations if product else None,
    }
    tables = (
        Table(head=("source", "delivered as", "columns"), rows=tuple(sources)),
        Table(head=("delivered file", "SHA-256"), rows=tuple(sorted(read.items()))),
    )
    return _merged(card.data(facts.version), Section(title="", facts=known(said), tables=tables))


def _changes(facts: DossierFacts) -> Section:
    """What changes it by itself, as the product declares it."""
    product = facts.version.product
    if product is None:
        return Section(title="", missing=(f"when it is retrained; recorded by {card.DECLARE}",))
    again, tuned, windows = product.training.retraining, product.training.retuning, product.training.windows
    said = {
        "retrained": f"after {again.after_intervals} new intervals, or when a limit of monitoring is crossed, at most "
        f"every {again.cooldown_intervals} intervals",
        "learns from": f"{windows.train} intervals, judged on {windows.evaluate} later ones",
        "retuned": f"up to {tuned.trials} trials where the gates are not passed" if tuned.trials else "never",
        "gates": ", ".join(f"{name} {value}" for name, value in product.evaluation.gates if value is not None),
    }
    return Section(title="", facts=said)


def _testing(facts: DossierFacts) -> Section:
    version = facts.version
    return _merged(card.evaluation(version), card.slices(version), card.predictions(version), card.checks(version))


def _security(facts: DossierFacts) -> Section:
    chained = all(entry.previous is not None for entry in facts.entries)
    words = "Each move of a version is an entry of a ledger; every entry holds a digest of all before it."
    return _merged(card.signature(facts.version), Section(title="", texts=(words,) if chained else ()))


def _control(facts: DossierFacts) -> Section:
    inputs = Table(head=("from", "feature", "type"), rows=tuple(facts.version.features))
    return _merged(card.caveats(facts.version), card.evaluation(facts.version), Section(title="", tables=(inputs,)))


def _metrics(facts: DossierFacts) -> Section:
    product = facts.version.product
    kpi = card.purpose(facts.version).facts.get("KPI")
    baseline = product.evaluation.baseline if product else None
    return _merged(_design(facts), Section(title="", facts=known({"KPI": kpi, "naive prediction by": baseline})))


def _lifecycle(facts: DossierFacts) -> Section:
    rows = tuple(
        (f"{entry.at:%F %T} UTC", entry.version.version, entry.status.value, entry.reason, entry.by)
        for entry in facts.entries
    )
    return Section(title="", tables=(Table(head=("at", "#version", "became", "because", "by"), rows=rows),))


def _watching(facts: DossierFacts) -> Section:
    product, version = facts.version.product, facts.version.graph.version
    limits = product.monitoring.to_json() if product else {}
    every = ((made, _share(made, version.version)) for made in facts.watched)
    rows = [
        (str(made.spec.interval), number(part["metric"]) if part["metric"] is not None else None, part["arrived"])
        for made, part in every
        if part
    ][-MOST_REPORTS:]
    reports = Table(head=("interval", "#metric", "#labels"), rows=tuple(rows))
    lacking = () if rows else (f"how good it is in production; recorded by the monitoring of {version.name}",)
    said = {f"monitoring: {name.replace('_', ' ')}": str(value) for name, value in limits.items() if value is not None}
    return Section(title="", facts=said, tables=(reports,), missing=lacking)


def _share(made: Manifest, version: int) -> dict[str, Any] | None:
    """Return what a report on performance says of one version; None if that predicted nothing of it."""
    part: dict[str, Any] | None = made.result.facts.get("versions", {}).get(str(version)) if made.result else None
    return part


def _decisions(facts: DossierFacts) -> Section:
    return card.decisions(facts.version)


POINTS = (
    Point("1a", "Intended purpose, provider, version and earlier versions", _purpose, "the provider's name"),
    Point("1b", "Interaction with other hardware and software", None, "with what it interacts"),
    Point("1c", "Versions of software, and updates", _software, "requirements of updates"),
    Point("1d", "Forms in which it is put into service", _forms),
    Point("1e", "Hardware on which it is to run", _hardware, "the hardware on which it is to run"),
    Point("1f", "Products of which it is a part", None, "illustrations of products, if it is a part of some"),
    Point("1g", "User interface for the deployer", None, "a description of the user interface"),
    Point("1h", "Instructions for use", None, "instructions for use"),
    Point("2a", "Methods and steps of development", _steps, "pre-trained systems and tools of others, if used"),
    Point("2b", "Design specifications", _design, "design choices, their rationale and assumptions, and trade-offs"),
    Point("2c", "Architecture and computational resources", _resources, "how its software components work together"),
    Point("2d", "Data and their provenance", _data, "how the data were obtained, selected and labelled"),
    Point("2e", "Assessment of human oversight", _decisions, "an assessment of the measures for human oversight"),
    Point("2f", "Pre-determined changes", _changes, "an assessment of these changes"),
    Point(
        "2g", "Validation and testing", _testing, "an assessment of discriminatory impacts; reports signed by persons"
    ),
    Point("2h", "Cybersecurity", _security, "further measures of cybersecurity"),
    Point("3", "Monitoring, functioning and control", _control, "foreseeable unintended outcomes, and sources of risk"),
    Point("4", "Appropriateness of the metrics", _metrics, "why these metrics are appropriate"),
    Point("5", "Risk management system (Article 9)", None, "the risk management system"),
    Point("6", "Changes through the lifecycle", _lifecycle),
    Point(
        "7",
        "Standards applied",
        lambda _: Section(title="", facts={"specifications of these records": FORMATS}),
        "harmonised standards that are applied, or the solutions in their place",
    ),
    Point("8", "EU declaration of conformity (Article 47)", None, "a copy of the declaration"),
    Point("9", "Post-market monitoring (Article 72)", _watching, "the post-market monitoring plan"),
)
