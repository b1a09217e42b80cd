"""The declaration; travellers come in batches, one data interval a day."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider import (
    Business,
    Data,
    Kpi,
    Label,
    MLProduct,
    Owners,
    Ranking,
    Retraining,
    Schedule,
    Source,
    Trainer,
    Training,
    Windows,
)

product = MLProduct(
    name="travel_mode",
    goal="Which of air, train, bus and car will this traveller take?",
    problem=Ranking(group="traveller", item="mode"),
    business=Business(
        kpi=Kpi(name="first suggestions taken", target=0.6, unit="share of travellers"),
        owners=Owners(ml_engineer="search@travel.example"),
    ),
    schedule=Schedule(cron="0 0 * * *", start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 1, 5, tzinfo=UTC)),
    data=Data(
        sources=(
            Source(
                name="trips",
                path="trips/{start:%Y-%m-%d}.csv",
                columns={
                    "traveller": "string",
                    "mode": "string",
                    **dict.fromkeys(("wait", "cost", "minutes", "income", "party", "taken"), "float64"),
                },
            ),
        ),
    ),
    label=Label(column="taken"),
    training=Training(
        trainer=Trainer(code="travel_mode.trainer:train"),
        windows=Windows(train=1),
        retraining=Retraining(after_intervals=1),
    ),
)
