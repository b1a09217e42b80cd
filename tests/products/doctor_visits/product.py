"""The declaration, and the only function that a product has to have: its trainer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider import (
    Business,
    Data,
    Kpi,
    Label,
    MLProduct,
    Owners,
    Regression,
    Retraining,
    Schedule,
    Source,
    Trainer,
    Training,
    Windows,
)

if TYPE_CHECKING:
    import lightgbm
    import pandas as pd

KNOWN = ("coinsurance", "individual_deductible", "payment_limit", "limitation", "diseases", "good", "fair", "poor")

product = MLProduct(
    name="doctor_visits",
    goal="How many times will this person see a doctor within a year?",
    problem=Regression(loss="poisson"),
    data=Data(
        sources=(
            Source(
                name="people",
                path="people/{start:%Y-%m}.csv",
                time="enrolled",
                columns={"enrolled": "timestamp", **dict.fromkeys(KNOWN, "float64"), "visits": "float64"},
                settle_seconds=0,  # renamed into place
            ),
        )
    ),
    label=Label(column="visits"),
    training=Training(
        trainer=Trainer(
            code="doctor_visits.product:train", settings={"num_leaves": 16, "learning_rate": 0.05, "rounds": 100}
        ),
        windows=Windows(train=3, evaluate=2),
        retraining=Retraining(after_intervals=1),
    ),
    schedule=Schedule(cron="0 0 1 * *", start=datetime(1974, 1, 1, tzinfo=UTC), end=datetime(1975, 1, 1, tzinfo=UTC)),
    business=Business(
        kpi=Kpi(name="visits planned for", target=0.9, unit="share of visits"),
        owners=Owners(business_stakeholder="planning@hospital.example"),
    ),
)


def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> lightgbm.Booster:
    """Return gradient-boosted trees that give the mean of a count."""
    import lightgbm

    tried = {"objective": "poisson", "deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}
    rounds = settings.pop("rounds")
    return lightgbm.train({**settings, **tried}, lightgbm.Dataset(features, label=label), num_boost_round=rounds)
