"""A training set as MLflow's datasets: what a model learned from and what it was judged on, each under its hash."""

from __future__ import annotations

import json
from typing import Any, Literal

from airflow_mlops_provider.lifecycle.references import Dataset

Context = Literal["training", "evaluation"]
#: Which part of a training set is used as what.
PARTS: dict[Context, str] = {"training": "train", "evaluation": "evaluate"}
LONGEST_DIGEST = 36


def dataset_name(context: Context) -> str:
    """Return the name under which MLflow shows that part; within an experiment, name and digest are one dataset."""
    return f"training_set/{PARTS[context]}"


def dataset_digest(dataset: Dataset) -> str:
    """Return the dataset's hash as long as MLflow takes it; the whole hash is in a tag."""
    return dataset.hash[:LONGEST_DIGEST]


def dataset_input(dataset: Dataset, context: Context) -> Any:
    """Return a part of a training set as an MLflow ``DatasetInput``, whose source MLflow's own loaders open."""
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    rows = dataset.facts.get("rows")
    entry = MlflowDataset(
        dataset_name(context),
        dataset_digest(dataset),
        "s3" if dataset.uri.startswith("s3://") else "local",
        json.dumps({"uri": dataset.uri}),
        profile=json.dumps(
            {
                "num_rows": rows.get(PARTS[context]) if isinstance(rows, dict) else rows,
                "intervals": dataset.facts.get(PARTS[context], []),
            }
        ),
    )
    return DatasetInput(entry, [InputTag("mlflow.data.context", context), InputTag("sha256", dataset.hash)])
