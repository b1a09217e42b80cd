"""The declaration; one data interval a year."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider import (
    Business,
    Data,
    Features,
    Kpi,
    Label,
    MLProduct,
    MultilabelClassification,
    Owners,
    Retraining,
    Schedule,
    Source,
    Trainer,
    Training,
    Windows,
)

MEASURED = ("precipitation", "temp_max", "temp_min", "wind")

product = MLProduct(
    name="wet_and_windy",
    goal="Will tomorrow be wet, windy, warm, asked at the end of the day?",
    problem=MultilabelClassification(labels=("wet", "windy", "warm")),
    business=Business(
        kpi=Kpi(name="evenings on which all three were right", target=0.4, unit="share of days"),
        owners=Owners(ml_engineer="weather@city.example"),
    ),
    schedule=Schedule(cron="0 0 1 1 *", start=datetime(2012, 1, 1, tzinfo=UTC), end=datetime(2016, 1, 1, tzinfo=UTC)),
    data=Data(
        sources=(
            Source(
                name="days",
                path="days/{start:%Y}.csv",
                time="date",
                columns={"date": "timestamp", **dict.fromkeys(MEASURED, "float64")},
            ),
        ),
    ),
    features=Features(request=dict.fromkeys(MEASURED, "float64")),
    label=Label(column="tomorrow", known_at="known_at", examples="wet_and_windy.rules:examples"),
    training=Training(
        trainer=Trainer(code="wet_and_windy.rules:train", flavor="scikit_learn"),
        windows=Windows(train=1),
        retraining=Retraining(after_intervals=1),
    ),
)
