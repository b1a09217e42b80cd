"""A CycloneDX 1.6 bill of materials of a model version: model with its card, files, data by hash, packages by purl."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from airflow_mlops_provider.lifecycle.description.card import caveats
from airflow_mlops_provider.lifecycle.description.facts import OURS, VersionFacts, repository_url
from airflow_mlops_provider.lifecycle.records.lineage import Item

MODEL = "model"
_NOT_IN_NAMES = re.compile(r"[-_.]+")


def bill_of_materials(facts: VersionFacts) -> dict[str, Any]:
    """Return the bill of materials: the same records make the same one."""
    version, files, packages = facts.graph.version, _files(facts), _packages(facts)
    datasets = {_data_ref(item): item for item in facts.made_of()}
    parts = [*files, *(_dataset(ref, item) for ref, item in datasets.items()), *packages]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{version.name}@{version.version}/{version.hash}')}",
        "version": 1,
        "metadata": {
            "timestamp": facts.trained.ended.isoformat(),
            "tools": {"components": [_tool(facts)]},
            "component": {
                "type": "machine-learning-model",
                "bom-ref": MODEL,
                "name": version.name,
                "version": str(version.version),
                **({"description": facts.product.goal} if facts.product else {}),
                **_source(facts),
                "modelCard": _card(facts, [*datasets]),
                "properties": _properties({"content hash": version.hash, "signed by": facts.signer}),
            },
        },
        "components": parts,
        "dependencies": [
            {"ref": MODEL, "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }


def purl(name: str, version: str) -> str:
    """Return the package URL of a Python distribution."""
    return f"pkg:pypi/{quote(_NOT_IN_NAMES.sub('-', name).lower())}@{quote(version)}"


def _tool(facts: VersionFacts) -> dict[str, str]:
    version = facts.packages.get(OURS)
    return {"type": "application", "name": OURS, **({"version": version} if version else {})}


def _source(facts: VersionFacts) -> dict[str, Any]:
    """Return where the code is that trained it."""
    commit = facts.trained.code
    if not commit.commit:
        return {}
    comment = f"commit {commit.commit}{' with uncommitted changes' if commit.dirty else ''}"
    address = {"type": "vcs", "url": repository_url(commit.repository), "comment": comment}
    return {"externalReferences": [address]}


def _files(facts: VersionFacts) -> list[dict[str, Any]]:
    return [
        {"type": "file", "bom-ref": f"file/{output.name}", "name": output.name, "hashes": _hashes(output.sha256)}
        for output in facts.trained.outputs
    ]


def _data_ref(item: Item) -> str:
    return f"data/{item.id}"


def _dataset(ref: str, item: Item) -> dict[str, Any]:
    """Return a dataset by the hash of its content; its files, and those that it was read from, by theirs."""
    span, rows = str(item.interval or ""), json.dumps(item.rows, sort_keys=True) if item.rows else ""
    within = {**item.files, **item.parts}
    parts = [{"type": "file", "name": name, "hashes": _hashes(sha256)} for name, sha256 in within.items()]
    return {
        "type": "data",
        "bom-ref": ref,
        "name": f"{item.kind} {span}".strip(),
        "hashes": _hashes(item.hash),
        "data": [{"type": "dataset", "name": item.kind}],
        **({"components": parts} if parts else {}),
        "properties": _properties({"interval": span, "rows": rows, "uri": item.uri}),
    }


def _packages(facts: VersionFacts) -> list[dict[str, Any]]:
    urls = {purl(name, version): (name, version) for name, version in facts.packages.items() if version}
    return [
        {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
        for url, (name, version) in urls.items()
    ]


def _card(facts: VersionFacts, datasets: list[str]) -> dict[str, Any]:
    product, trainer = facts.product, facts.trainer
    business = product.business if product else None
    parameters = {
        "task": facts.problem.replace("_", " "),
        "architectureFamily": trainer.get("flavor", ""),
        "datasets": [{"ref": ref} for ref in datasets],
        "inputs": [{"format": f"{name}: {kind}"} for _, name, kind in facts.features],
        "outputs": [{"format": product.label.column}] if product else [],
    }
    considerations = {
        "users": [business.owners.business_stakeholder] if business else [],
        "useCases": [product.goal] if product else [],
        "technicalLimitations": [*caveats(facts).texts],
    }
    return {
        "modelParameters": _filled(parameters),
        "quantitativeAnalysis": {"performanceMetrics": _metrics(facts)},
        "considerations": _filled(considerations),
        "properties": _properties({"settings": json.dumps(trainer.get("settings") or {}, sort_keys=True)}),
    }


def _metrics(facts: VersionFacts) -> list[dict[str, Any]]:
    judged = facts.evaluation
    if judged is None:
        return []
    best = judged.challenger
    bounds = {"lowerBound": str(best.low), "upperBound": str(best.high)}
    whole = {"type": judged.metric, "value": str(best.value), "confidenceInterval": bounds}
    parts = ((name, part["value"]) for name, part in judged.slices.items())
    return [whole, *({"type": judged.metric, "value": str(value), "slice": name} for name, value in parts)]


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _properties(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": f"{OURS}:{name}", "value": value} for name, value in values.items() if value]


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
