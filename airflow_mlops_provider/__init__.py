"""The whole MLOps loop as an Airflow provider: features, training, registry, serving, monitoring, feedback.

What products, jobs, places and DAGs are declared with, and what a task of one's own reads and writes tables with, can
be imported from here; each name is loaded when it is first used.
Operators, sensors, triggers and hooks are imported from their own modules, as with any Airflow provider: those that
``get_provider_info.py`` lists. With them, :mod:`.assets`, :mod:`.exceptions`, :mod:`.extensions` and :mod:`.pipelines`
are public (``docs/public_api.md``). Everything else is private, and may change in any release.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.models.columns import Category, by_columns
    from airflow_mlops_provider.datasets import read_dataset, write_dataset
    from airflow_mlops_provider.hooks.tables import Files, Sql
    from airflow_mlops_provider.lifecycle.interval import Interval
    from airflow_mlops_provider.lifecycle.monitoring.limits import DriftLimits
    from airflow_mlops_provider.lifecycle.product import MLProduct
    from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
    from airflow_mlops_provider.lifecycle.release.deployment import Approval, Deployment, Rollout, RolloutLimits
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
        Windows,
    )
    from airflow_mlops_provider.lifecycle.serving.target import KubernetesDeployment
    from airflow_mlops_provider.lifecycle.settings import TrainerSettings
    from airflow_mlops_provider.lifecycle.shape import LabelColumns, Scoring, Shape, View
    from airflow_mlops_provider.lifecycle.source import Csv
    from airflow_mlops_provider.lifecycle.stages import Stage
    from airflow_mlops_provider.pipelines.dag import MLOpsDag, MLOpsTaskGroup
    from airflow_mlops_provider.places.base import Place
    from airflow_mlops_provider.places.deferral import Deferred
    from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
    from airflow_mlops_provider.places.kubernetes.settings import SecretKey, Toleration, Volume
    from airflow_mlops_provider.places.local_process import LocalProcess
    from airflow_mlops_provider.problems.anomaly_detection import AnomalyDetection
    from airflow_mlops_provider.problems.base import Problem
    from airflow_mlops_provider.problems.binary_classification import BinaryClassification
    from airflow_mlops_provider.problems.forecasting import Forecasting
    from airflow_mlops_provider.problems.multiclass_classification import MulticlassClassification
    from airflow_mlops_provider.problems.multilabel_classification import MultilabelClassification
    from airflow_mlops_provider.problems.ranking import Ranking
    from airflow_mlops_provider.problems.regression import Regression
    from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
    from airflow_mlops_provider.runtime.context import JobContext, JobResult
    from airflow_mlops_provider.runtime.definition import job
    from airflow_mlops_provider.runtime.functions import described

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "AnomalyDetection",
    "Approval",
    "BinaryClassification",
    "Business",
    "Category",
    "Choice",
    "Csv",
    "Data",
    "Dataset",
    "Deferred",
    "Deployment",
    "DriftLimits",
    "EvaluationSettings",
    "Features",
    "Files",
    "FloatRange",
    "Forecasting",
    "Gates",
    "IntRange",
    "Interval",
    "JobContext",
    "JobInputs",
    "JobParams",
    "JobResult",
    "JobSettings",
    "Kpi",
    "KubernetesDeployment",
    "KubernetesPod",
    "Label",
    "LabelColumns",
    "LocalProcess",
    "MLOpsDag",
    "MLOpsTaskGroup",
    "MLProduct",
    "Model",
    "ModelVersion",
    "Monitoring",
    "MulticlassClassification",
    "MultilabelClassification",
    "Owners",
    "Place",
    "Problem",
    "ProductField",
    "Pruning",
    "Ranking",
    "Regression",
    "Report",
    "Retraining",
    "Retuning",
    "Rollout",
    "RolloutLimits",
    "Schedule",
    "Scoring",
    "Search",
    "SecretKey",
    "Serving",
    "Shape",
    "Source",
    "Sql",
    "Stage",
    "Toleration",
    "Trainer",
    "TrainerSettings",
    "Training",
    "Value",
    "View",
    "Volume",
    "Windows",
    "by_columns",
    "described",
    "job",
    "read_dataset",
    "write_dataset",
]
#: Where each name is: only the module that has it is loaded.
_HOMES = {
    "backends.models.columns": "Category by_columns",
    "datasets": "read_dataset write_dataset",
    "hooks.tables": "Files Sql",
    "lifecycle.interval": "Interval",
    "lifecycle.monitoring.limits": "DriftLimits",
    "lifecycle.product": "MLProduct",
    "lifecycle.references": "Dataset Model ModelVersion Report",
    "lifecycle.release.deployment": "Approval Deployment Rollout RolloutLimits",
    "lifecycle.search.declaration": "Algorithm Choice FloatRange IntRange Pruning Search",
    "lifecycle.sections": (
        "Business Data EvaluationSettings Features Gates Kpi Label Monitoring Owners Retraining Retuning "
        "Schedule Serving Source Trainer Training Value Windows"
    ),
    "lifecycle.serving.target": "KubernetesDeployment",
    "lifecycle.settings": "TrainerSettings",
    "lifecycle.shape": "LabelColumns Scoring Shape View",
    "lifecycle.source": "Csv",
    "lifecycle.stages": "Stage",
    "pipelines.dag": "MLOpsDag MLOpsTaskGroup",
    "places.base": "Place",
    "places.deferral": "Deferred",
    "places.kubernetes.place": "KubernetesPod",
    "places.kubernetes.settings": "SecretKey Toleration Volume",
    "places.local_process": "LocalProcess",
    "problems.anomaly_detection": "AnomalyDetection",
    "problems.base": "Problem",
    "problems.binary_classification": "BinaryClassification",
    "problems.forecasting": "Forecasting",
    "problems.multiclass_classification": "MulticlassClassification",
    "problems.multilabel_classification": "MultilabelClassification",
    "problems.ranking": "Ranking",
    "problems.regression": "Regression",
    "runtime.arguments": "JobInputs JobParams JobSettings ProductField",
    "runtime.context": "JobContext JobResult",
    "runtime.definition": "job",
    "runtime.functions": "described",
}

if not TYPE_CHECKING:  # or every misspelled name would pass

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = next(home for home, names in _HOMES.items() if name in names.split())
        return getattr(import_module(f"{__name__}.{home}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
