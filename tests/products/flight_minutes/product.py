"""The declaration: the reference product's, but for the question, its truth, and how it is judged."""

from __future__ import annotations

from airflow_mlops_provider import (
    Business,
    EvaluationSettings,
    Kpi,
    Label,
    MLProduct,
    Regression,
    Retraining,
    Trainer,
    Training,
    Windows,
)
from flight_delay.product import product as flight_delay

product = MLProduct(
    name="flight_minutes",
    goal="By how many minutes will this flight be late, asked two hours before its scheduled departure?",
    problem=Regression(loss="absolute"),
    business=Business(
        kpi=Kpi(name="typical error two hours ahead", target=25.0, unit="minutes"),
        owners=flight_delay.business.owners,
    ),
    schedule=flight_delay.schedule,
    data=flight_delay.data.model_copy(update={"expectations": "flight_minutes.rules:expectations"}),
    features=flight_delay.features,
    label=Label(column="minutes", known_at="arr_at", examples="flight_minutes.rules:examples"),
    training=Training(
        trainer=Trainer(code="flight_minutes.rules:train", settings={"num_leaves": 31, "rounds": 60}),
        windows=Windows(train=2),
        retraining=Retraining(after_intervals=1),
    ),
    evaluation=EvaluationSettings(baseline="hour", slices=("origin",)),
)
