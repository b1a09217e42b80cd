"""What MLflow keeps of a training set, and where it can keep files."""

from __future__ import annotations

import json
from typing import Any, Literal

from airflow_mlops_provider.lifecycle.references import Dataset

_LONGEST_DIGEST = 36
#: Which part of a training set is used as what.
_PARTS = {"training": "train", "evaluation": "evaluate"}


def dataset_input(dataset: Dataset, context: Literal["training", "evaluation"]) -> Any:
    """Return a part of a training set as an MLflow ``DatasetInput``, whose source MLflow's own loaders open.

    Within an experiment, name and digest are one dataset; the digest is as much of the hash as MLflow takes.
    """
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    part, rows = _PARTS[context], dataset.facts.get("rows")
    profile = {
        "num_rows": rows.get(part) if isinstance(rows, dict) else rows,
        "intervals": dataset.facts.get(part, []),
    }
    entry = MlflowDataset(
        f"training_set/{part}",
        dataset.hash[:_LONGEST_DIGEST],
        "s3" if dataset.uri.startswith("s3://") else "local",
        json.dumps({"uri": dataset.uri}),
        profile=json.dumps(profile),
    )
    return DatasetInput(entry, [InputTag("mlflow.data.context", context), InputTag("sha256", dataset.hash)])


def can_keep(uri: str) -> bool:
    """Say whether MLflow, or a plug-in of it, knows how to keep files below a URI."""
    from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories

    return "://" not in uri or uri.partition("://")[0] in get_registered_artifact_repositories()
