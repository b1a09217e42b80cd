"""The declaration; one data interval a year."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider import (
    Business,
    Data,
    Kpi,
    Label,
    MLProduct,
    MulticlassClassification,
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
    name="sky_of_day",
    goal="Which sky did a day in Seattle have, by what its instruments measured?",
    problem=MulticlassClassification(classes=("drizzle", "fog", "rain", "snow", "sun")),
    business=Business(
        kpi=Kpi(name="days named rightly", target=0.7, unit="share of days"),
        owners=Owners(ml_engineer="weather@city.example"),
    ),
    schedule=Schedule(cron="0 0 1 1 *", start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2016, 1, 1, tzinfo=UTC)),
    data=Data(
        sources=(
            Source(
                name="days",
                path="days/{start:%Y}.csv",
                time="date",
                columns={"date": "timestamp", **dict.fromkeys(MEASURED, "float64"), "weather": "string"},
            ),
        ),
    ),
    label=Label(column="weather"),
    training=Training(
        trainer=Trainer(code="sky_of_day.trainer:train", flavor="xgboost"),
        windows=Windows(train=1),
        retraining=Retraining(after_intervals=1),
    ),
)
