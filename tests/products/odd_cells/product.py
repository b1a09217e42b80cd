"""The declaration; slides come in batches, one data interval a day."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider import (
    AnomalyDetection,
    Business,
    Data,
    Kpi,
    Label,
    MLProduct,
    Owners,
    Retraining,
    Schedule,
    Source,
    Trainer,
    Training,
    Windows,
)

MEASURED = ("mean_radius", "mean_texture", "mean_smoothness", "mean_concavity", "worst_area", "worst_symmetry")

product = MLProduct(
    name="odd_cells",
    goal="Which slides should a pathologist look at first?",
    problem=AnomalyDetection(),
    business=Business(
        kpi=Kpi(name="malignant slides among the first tenth", target=0.5, unit="share of the first tenth"),
        owners=Owners(ml_engineer="pathology@clinic.example"),
    ),
    schedule=Schedule(cron="0 0 * * *", start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 1, 5, tzinfo=UTC)),
    data=Data(
        sources=(
            Source(
                name="slides",
                path="slides/{start:%Y-%m-%d}.csv",
                columns={**dict.fromkeys(MEASURED, "float64"), "malignant": "float64"},
            ),
        ),
    ),
    label=Label(column="malignant"),
    training=Training(
        trainer=Trainer(code="odd_cells.trainer:train", flavor="scikit_learn"),
        windows=Windows(train=1),
        retraining=Retraining(after_intervals=1),
    ),
)
