"""The product's declaration: the one place that says what it is for, from what it is made, and what it must show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_mlops_provider import (
    Algorithm,
    Approval,
    Business,
    Choice,
    Data,
    Deployment,
    EvaluationSettings,
    Features,
    FloatRange,
    Gates,
    IntRange,
    Kpi,
    Label,
    MLProduct,
    Monitoring,
    Owners,
    Pruning,
    Retraining,
    Rollout,
    RolloutLimits,
    Schedule,
    Search,
    Source,
    TrainerSettings,
    Training,
    Value,
    View,
    Windows,
)

# The airline's system writes NA for what is not known, and renames its files into place: they need no time to settle.
_MISSING = ("NA",)

_FLIGHTS = Source(
    name="flights",
    path="flights/{start:%Y-%m}.csv",
    time="time_hour",
    missing=_MISSING,
    settle_seconds=0,
    columns={
        "sched_dep_time": "int64",
        "dep_delay": "float64",
        "sched_arr_time": "int64",
        "arr_delay": "float64",
        "carrier": "string",
        "flight": "int64",
        "tailnum": "string",
        "origin": "string",
        "dest": "string",
        "air_time": "float64",
        "distance": "int64",
        "hour": "int64",
        "minute": "int64",
        "time_hour": "timestamp",
    },
)

_WEATHER = Source(
    name="weather",
    path="weather/{start:%Y-%m}.csv",
    time="time_hour",
    missing=_MISSING,
    settle_seconds=0,
    columns={
        "origin": "string",
        "temp": "float64",
        "humid": "float64",
        "wind_speed": "float64",
        "wind_gust": "float64",
        "precip": "float64",
        "pressure": "float64",
        "visib": "float64",
        "time_hour": "timestamp",
    },
)

# What turned out of each flight, when it has landed: that may be in the next month.
_OUTCOMES = Source(
    name="outcomes",
    path="outcomes/{start:%Y-%m}.csv",
    time="label_known_at",
    settle_seconds=0,
    columns={
        "origin": "string",
        "carrier": "string",
        "flight": "int64",
        "sched_dep": "timestamp",
        "late": "int64",
        "label_known_at": "timestamp",
    },
)

_VIEWS = (
    View(
        name="origin_traffic",
        keys=("origin",),
        description="How late flights have been leaving this airport; each full hour.",
        features={
            "origin_delay_3h": "float64",
            "origin_late_3h": "float64",
            "origin_departures_3h": "float64",
            "origin_delay_24h": "float64",
            "origin_late_24h": "float64",
            "origin_overdue_3h": "float64",
        },
    ),
    View(
        name="origin_weather",
        keys=("origin",),
        description="The airport's last observed weather, an hour after the hour it is filed under.",
        features={
            "humid": "float64",
            "wind_speed": "float64",
            "wind_gust": "float64",
            "precip": "float64",
            "rain_6h": "float64",
            "pressure": "float64",
            "visib": "float64",
        },
    ),
    View(
        name="carrier_record",
        keys=("carrier",),
        description="Share of the carrier's landed flights that were late; each six hours.",
        features={"carrier_late_7d": "float64", "carrier_late_24h": "float64"},
    ),
    View(
        name="dest_record",
        keys=("dest",),
        description="Share of flights landed at this destination that were late; each six hours.",
        features={"dest_late_7d": "float64", "dest_late_24h": "float64"},
    ),
    View(
        name="aircraft",
        keys=("tailnum",),
        description="The aircraft's last landing, and the aircraft; at each landing.",
        features={
            "aircraft_arr_delay": "float64",
            "aircraft_landed_minute": "float64",
            "aircraft_air_time": "float64",
            "aircraft_legs_24h": "float64",
            "aircraft_age": "float64",
            "aircraft_seats": "float64",
        },
    ),
)

product = MLProduct(
    name="flight_delay",
    goal="Will this flight arrive more than 15 minutes late, asked two hours before its scheduled departure?",
    problem="binary_classification",
    business=Business(
        # An alarm pays from a probability of 1/6 on; there, 2013's models announce 51 to 89 % of the late arrivals.
        kpi=Kpi(name="late arrivals announced two hours ahead", target=0.5, unit="share of late arrivals"),
        value=Value(per_hit=300.0, per_false_alarm=60.0),
        owners=Owners(
            business_stakeholder="passenger.experience@airline.example",
            solution_architect="architecture@airline.example",
            data_scientist="data.science@airline.example",
            data_engineer="data.engineering@airline.example",
            software_engineer="software@airline.example",
            devops_engineer="platform@airline.example",
            ml_engineer="ml.operations@airline.example",
        ),
    ),
    schedule=Schedule(
        cron="0 0 1 * *",
        start=datetime(2013, 1, 1, tzinfo=UTC),
        end=datetime(2014, 1, 1, tzinfo=UTC),
    ),
    data=Data(
        sources=(
            _FLIGHTS,
            _WEATHER,
            _OUTCOMES,
            Source(
                name="planes",
                path="planes.csv",
                missing=_MISSING,
                settle_seconds=0,
                columns={"tailnum": "string", "year": "float64", "seats": "int64"},
            ),
            Source(
                name="airports",
                path="airports.csv",
                missing=_MISSING,
                settle_seconds=0,
                columns={"faa": "string", "tzone": "string"},
            ),
        ),
        clean="flight_delay.rules:clean",
        expectations="flight_delay.expectations:expectations",
        known_later={
            "flights": {"dep_at": ("dep_delay",), "arr_at": ("arr_delay", "air_time")},
            "weather": {
                "known_at": ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
            },
            "outcomes": {"label_known_at": ("late",)},
        },
    ),
    features=Features(
        compute="flight_delay.features:compute",
        assemble="flight_delay.examples:assemble",
        lookback=1,
        views=_VIEWS,
        request={
            "origin": "string",
            "dest": "string",
            "carrier": "string",
            "tailnum": "string",
            "flight": "int64",
            "distance": "float64",
            "hour": "int64",
            "sched_dep": "timestamp",
            "sched_arr": "timestamp",
        },
    ),
    label=Label(
        column="late",
        known_at="label_known_at",
        description="1 if over 15 minutes late at the gate, else 0",
        examples="flight_delay.examples:examples",
        truth="outcomes",
        by=("origin", "carrier", "flight", "sched_dep"),
        delay=1,
    ),
    training=Training(
        # Beside this file, so that an experiment's winner comes as a change of that file alone.
        trainer=TrainerSettings.read(Path(__file__).with_name("settings.json")).trainer(),
        # A third month adds 0.002 to the AUC and delays the first model by a month.
        windows=Windows(train=2, evaluate=1),
        # A model keeps for half a year unless drift asks earlier: the figures above.
        retraining=Retraining(after_intervals=6, cooldown_intervals=1),
    ),
    evaluation=EvaluationSettings(
        # The scheduled hour is the strongest naive guess: AUC 0.59 to 0.70, where the carrier reaches 0.58.
        baseline="hour",
        slices=("origin", "carrier"),
        # Models of two fresh months reach 0.70 to 0.78 on the next, and 0.63 in their worst slice of 1,000 flights. A
        # retrained model may lose 0.005 to the champion: that much is chance between two months' models.
        gates=Gates(min_metric=0.66, min_gain=-0.005, min_slice=0.6),
    ),
    # The space holds the fixed settings, which are tried first; to learn from 1.5 months and foretell the next half,
    # they reach an AUC of 0.789 where the scheduled hour alone reaches 0.692.
    search=Search(
        trials=24,
        patience=12,
        min_gain=0.0005,
        minutes=30,
        algorithms=(
            Algorithm(
                name="trees",
                code="flight_delay.trainer:train",
                settings={"objective": "binary"},
                space={
                    "rounds": IntRange(low=50, high=400, log=True),
                    "learning_rate": FloatRange(low=0.01, high=0.2, log=True),
                    "num_leaves": IntRange(low=8, high=96, log=True),
                    "min_data_in_leaf": IntRange(low=20, high=500, log=True),
                    "feature_fraction": FloatRange(low=0.3, high=1.0),
                    "lambda_l2": FloatRange(low=0.1, high=100.0, log=True),
                },
            ),
            # Tried where PyTorch is installed: pip install 'airflow-mlops-provider[torch]'.
            Algorithm(
                name="network",
                code="flight_delay.torch_trainer:train",
                flavor="torch",
                requires=("numpy", "onnx", "onnxruntime", "onnxscript", "pandas", "torch"),
                settings={"epochs": 20, "patience": 4},
                space={
                    "learning_rate": FloatRange(low=0.0003, high=0.01, log=True),
                    "weight_decay": FloatRange(low=0.01, high=1.0, log=True),
                    "dropout": FloatRange(low=0.1, high=0.6),
                    "batch": Choice(options=(512, 1024, 2048)),
                },
            ),
        ),
        # A slow learning rate shows its worth late: after 40 rounds, or 4 epochs.
        pruning=Pruning(after_trials=4, from_step=4),
    ),
    # The first version needs nobody, as nothing serves in its place; of the later ones the ML engineer decides. In the
    # replay a month takes half a minute, and so does a rollout. A version that answers drift is to predict otherwise
    # than the one before it, and two versions share a small machine: their limits are wide.
    deployment=Deployment(
        approval=Approval(first_by_itself=True),
        rollout=Rollout(
            shadow=timedelta(seconds=12),
            canary=0.2,
            bake=timedelta(seconds=12),
            calls=60,
            limits=RolloutLimits(shift=0.5, latency=5.0),
        ),
    ),
    # Against January and February, 35 to 52 % of inputs drift in March to May and predictions move by 0.05 to 0.12;
    # in June, July and September 61 to 71 % drift, and predictions move by 0.12, 0.21 and 0.44. Freshly trained models
    # stay above an AUC of 0.69; the one of January and February falls to 0.683 by September.
    monitoring=Monitoring(drift_share=0.6, prediction_drift=0.2, min_metric=0.69),
)
