"""How a model was made, as an in-toto Statement with SLSA's provenance v1: who built it, by what, of what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_mlops_provider.lifecycle.description.bom import purl
from airflow_mlops_provider.lifecycle.description.facts import OURS, VersionFacts, repository_url
from airflow_mlops_provider.lifecycle.frozen import digest

STATEMENT = "https://in-toto.io/Statement/v1"
SLSA = "https://slsa.dev/provenance/v1"
BUILDER = f"pkg:pypi/{OURS}"


def provenance(facts: VersionFacts) -> dict[str, Any]:
    """Return the statement about a model's files: the same records make the same one."""
    made = facts.trained
    external = {"job": made.spec.job, "product": made.spec.product, "settings": made.spec.settings}
    return {
        "_type": STATEMENT,
        "subject": [{"name": output.name, "digest": {"sha256": output.sha256}} for output in made.outputs],
        "predicateType": SLSA,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{BUILDER}#job/{made.spec.job}",
                "externalParameters": {**external, "params": made.spec.params},
                "internalParameters": {
                    "settingsDigest": digest({"settings": made.spec.settings, "params": made.spec.params}),
                    "address": made.address,
                    "seed": made.seed,
                },
                "resolvedDependencies": [*_dependencies(facts)],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {OURS: facts.packages.get(OURS, "unknown")}},
                "metadata": {
                    "invocationId": made.spec.run.path or made.address,
                    "startedOn": made.started.isoformat(),
                    "finishedOn": made.ended.isoformat(),
                },
            },
        },
    }


def _dependencies(facts: VersionFacts) -> Iterator[dict[str, Any]]:
    """Yield what it was made of: data, code, and what was installed."""
    made, commit = facts.trained, facts.trained.code
    for item in facts.made_of():
        yield {"name": item.kind, "uri": item.uri or item.id, "digest": {"sha256": item.hash}}
        yield from ({"name": "delivery", "uri": key, "digest": {"sha256": was}} for key, was in item.files.items())
    if commit.commit:
        address = f"git+{repository_url(commit.repository)}"
        dirty = {"annotations": {"uncommittedChanges": True}} if commit.dirty else {}
        yield {"name": "repository", "uri": address, "digest": {"gitCommit": commit.commit}, **dirty}
    yield from (
        {"name": "code", "uri": f"python:{module}", "digest": {"sha256": sha256}}
        for module, sha256 in made.code_hashes.items()
    )
    if made.image:
        kind, _, value = made.image.rpartition("@")[2].partition(":")
        yield {"name": "image", "uri": f"oci:{made.image}", **({"digest": {kind: value}} if value else {})}
    yield {"name": "environment", "uri": "pkg:pypi", "digest": {"sha256": digest(made.packages)}}
    yield from ({"name": name, "uri": purl(name, version)} for name, version in made.packages.items())
