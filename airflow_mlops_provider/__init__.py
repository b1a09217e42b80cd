"""The whole MLOps loop as an Airflow provider: features, training, registry, serving, monitoring, feedback.

What a product, a job and a DAG are declared with, and what a task of one's own reads and writes tables with, can be
imported from here; each name is loaded when it is first used.
Operators and sensors are in :mod:`.operators` and :mod:`.sensors`, a module for each stage.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mlops_provider.datasets import read_dataset, write_dataset
    from airflow_mlops_provider.lifecycle.product import MLProduct
    from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
    from airflow_mlops_provider.lifecycle.search.declaration import (
        Algorithm,
        Choice,
        FloatRange,
        IntRange,
        Pruning,
        Search,
    )
    from airflow_mlops_provider.lifecycle.sections import (
        Business,
        Data,
        EvaluationSettings,
        Features,
        Gates,
        Kpi,
        Label,
        Monitoring,
        Owners,
        Retraining,
        Retuning,
        Schedule,
        Serving,
        Source,
        Trainer,
        Training,
        Value,
        View,
        Windows,
    )
    from airflow_mlops_provider.lifecycle.settings import TrainerSettings
    from airflow_mlops_provider.lifecycle.stages import Stage
    from airflow_mlops_provider.pipelines.dag import MLOpsDag, MLOpsTaskGroup
    from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
    from airflow_mlops_provider.places.local_process import LocalProcess
    from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
    from airflow_mlops_provider.runtime.context import JobContext, JobResult
    from airflow_mlops_provider.runtime.definition import job

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Business",
    "Choice",
    "Data",
    "Dataset",
    "EvaluationSettings",
    "Features",
    "FloatRange",
    "Gates",
    "IntRange",
    "JobContext",
    "JobInputs",
    "JobParams",
    "JobResult",
    "JobSettings",
    "Kpi",
    "KubernetesPod",
    "Label",
    "LocalProcess",
    "MLOpsDag",
    "MLOpsTaskGroup",
    "MLProduct",
    "Model",
    "ModelVersion",
    "Monitoring",
    "Owners",
    "ProductField",
    "Pruning",
    "Report",
    "Retraining",
    "Retuning",
    "Schedule",
    "Search",
    "Serving",
    "Source",
    "Stage",
    "Trainer",
    "TrainerSettings",
    "Training",
    "Value",
    "View",
    "Windows",
    "job",
    "read_dataset",
    "write_dataset",
]
_HOMES = (
    *("lifecycle.product", "lifecycle.sections", "lifecycle.search.declaration", "lifecycle.settings"),
    *("lifecycle.references", "lifecycle.stages"),
    *("runtime.arguments", "runtime.context", "runtime.definition"),
    *("places.local_process", "places.kubernetes.place", "datasets", "pipelines.dag"),
)

if not TYPE_CHECKING:  # or every misspelled name would pass

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        homes = (import_module(f"{__name__}.{home}") for home in _HOMES)
        return next(getattr(home, name) for home in homes if hasattr(home, name))
