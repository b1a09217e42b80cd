"""The declaration: will it rain tomorrow, asked when the day is over; one data interval a year."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider import (
    Business,
    Data,
    EvaluationSettings,
    Features,
    Gates,
    Kpi,
    Label,
    MLProduct,
    Monitoring,
    Owners,
    Retraining,
    Schedule,
    Serving,
    Source,
    Trainer,
    Training,
    Value,
    View,
    Windows,
)

MEASURED = ("precipitation", "temp_max", "temp_min", "wind")

product = MLProduct(
    name="rain_tomorrow",
    goal="Will it rain or snow in Seattle tomorrow, asked at the end of the day?",
    problem="binary_classification",
    business=Business(
        kpi=Kpi(name="wet days announced the evening before", target=0.6, unit="share of wet days"),
        value=Value(per_hit=20.0, per_false_alarm=10.0),
        owners=Owners(**dict.fromkeys(Owners.model_fields, "weather@city.example")),
    ),
    schedule=Schedule(cron="0 0 1 1 *", start=datetime(2012, 1, 1, tzinfo=UTC), end=datetime(2016, 1, 1, tzinfo=UTC)),
    data=Data(
        sources=(
            Source(
                name="days",
                path="days/{start:%Y}.csv",
                time="date",
                settle_seconds=0,  # renamed into place
                columns={"date": "timestamp", **dict.fromkeys(MEASURED, "float64")},
            ),
        ),
        clean="rain_tomorrow.weather:clean",
        expectations="rain_tomorrow.weather:expectations",
        known_later={"days": {"over_at": MEASURED}},
    ),
    features=Features(
        compute="rain_tomorrow.weather:compute",
        assemble="rain_tomorrow.weather:assemble",
        views=(
            View(
                name="recent_weather",
                keys=("station",),
                features=dict.fromkeys(("rain_today", "warmth_range", "wind_today", "wet_7d", "wet_30d"), "float64"),
            ),
        ),
        request={"station": "string", "month": "int64"},
    ),
    label=Label(column="wet_tomorrow", known_at="label_known_at", examples="rain_tomorrow.weather:examples"),
    training=Training(
        trainer=Trainer(
            code="rain_tomorrow.weather:train",
            settings={"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 20, "learning_rate": 0.05},
        ),
        windows=Windows(train=1, evaluate=1),
        retraining=Retraining(after_intervals=2),
    ),
    evaluation=EvaluationSettings(
        # The season alone reaches an AUC of 0.61 to 0.71, models of one year 0.74 to 0.77 on the next.
        baseline="month",
        gates=Gates(min_metric=0.7, min_gain=-0.03),
    ),
    serving=Serving(port=8901),
    monitoring=Monitoring(min_metric=0.65),
)
