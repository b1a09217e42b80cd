"""What is on record of a model version, gathered: all that a description may say, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_mlops_provider.lifecycle.figures import Figure
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.lineage import Item, Lineage
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation

OURS = "airflow-mlops-provider"


@dataclass(frozen=True)
class VersionFacts:
    """The records of a model version; None for what is not on record.

    :param product: the declaration, as it was last kept.
    :param trained, evaluated, validated: the manifests of the jobs that made the model, judged it, and looked at its
        training data.
    :param figures: what its kind of problem shows of its predictions; None without an evaluation.
    :param signer: the fingerprint of the key that signed its files, as the signature names it; empty for none.
    """

    graph: Lineage
    trained: Manifest
    product: MLProduct | None = None
    evaluated: Manifest | None = None
    evaluation: Evaluation | None = None
    figures: tuple[Figure, ...] | None = None
    validated: Manifest | None = None
    signer: str = ""

    @property
    def training_set(self) -> Dataset | None:
        """What it was trained on."""
        given = self.trained.spec.inputs.get("training_set")
        return given if isinstance(given, Dataset) else None

    @property
    def trainer(self) -> dict[str, Any]:
        """How it was trained, as its product declared it then."""
        return dict(self.trained.spec.settings.get("trainer") or {})

    @property
    def features(self) -> list[tuple[str, str, str]]:
        """Its inputs as they were declared when it was trained: where each comes from, its name and type."""
        scoring = self.trained.spec.settings.get("scoring") or {}
        request = [("request", name, kind) for name, kind in (scoring.get("request") or {}).items()]
        views = scoring.get("views") or ()
        return [*request, *((view["name"], name, kind) for view in views for name, kind in view["features"].items())]

    @property
    def problem(self) -> str:
        """The kind of problem, as it was declared when it was trained."""
        declared = (self.trained.spec.settings.get("scoring") or {}).get("problem")
        return str(declared.get("kind") if isinstance(declared, dict) else declared or "")

    @property
    def metric(self) -> Metric | None:
        """By which it was judged."""
        declared = self.evaluated.spec.settings.get("metric") if self.evaluated else None
        return Metric.model_validate(declared) if isinstance(declared, dict) else None

    @property
    def packages(self) -> dict[str, str]:
        """The packages that it was trained with, and their versions."""
        return self.trained.packages

    def made_of(self, *kinds: str) -> list[Item]:
        """Return what it was made of, of some kinds, or of all; nearest first."""
        return [item for item in self.graph.items[1:] if not kinds or item.kind in kinds]

    def fact_of_data(self, name: str) -> Any:
        """Return what the record of the training set says of itself by that name; None for nothing."""
        return self.training_set.facts.get(name) if self.training_set else None


def repository_url(remote: str | None) -> str:
    """Return a repository's address as a URL; git's short form of ssh is written out."""
    host, colon, path = (remote or "unknown").partition(":")
    short = colon and "/" not in host and not path.startswith("//")
    return quote(f"ssh://{host}/{path}" if short else remote or "unknown", safe=":/@?=&%#+~")


def number(value: float) -> float | None:
    """Return what was measured; None for what is no number."""
    return value if math.isfinite(value) else None


def known(values: Mapping[str, str | None]) -> dict[str, str]:
    """Return the values that there are."""
    return {name: value for name, value in values.items() if value}


def joined(spans: Iterable[object] | None) -> str:
    """Return some intervals in a line."""
    return ", ".join(map(str, spans or ()))
