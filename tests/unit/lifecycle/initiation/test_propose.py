"""What is proposed is what a product needs: it can be declared as it is, and the data it is of meet it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.initiation.propose import Answers, name_of, propose
from airflow_mlops_provider.lifecycle.sections import Kpi
from tests.factories.looked_at import customers, looked, profiled, proposed, sklearn, vega

RANDOM = np.random.default_rng(10)


def test_it_travels_as_json() -> None:
    """What is written is what is read again."""
    _, proposal = proposed(vega("seattle-weather.csv"))
    assert Proposal.from_file(proposal.to_file()) == proposal


def test_columns_are_typed_as_a_source_reads_them() -> None:
    """Times by their format; text that only means numbers stays text, and is named with what it means."""
    frame = pd.DataFrame(
        {"day": ["01.02.2024", "15.02.2024", "01.03.2024"], "price": ["1,5", "2,5", "3,25"], "n": [1, 2, 3]}
    )
    _, proposal = proposed(frame, label="n", problem="regression")
    assert proposal.columns == {"day": "timestamp", "price": "string", "n": "int64"}
    assert proposal.written == {"day": ("timestamp", "%d.%m.%Y"), "price": ("float64", "1,5")}
    assert (proposal.delivery.time_written, proposal.delivery.zone) == ("%d.%m.%Y", "UTC")


@pytest.mark.parametrize(
    ("freq", "cron", "start"),
    [
        ("h", "0 * * * *", datetime(2024, 1, 3, 5, tzinfo=UTC)),
        ("D", "0 0 * * *", datetime(2024, 1, 3, tzinfo=UTC)),
        ("7D", "0 0 * * 1", datetime(2024, 1, 1, tzinfo=UTC)),
        ("MS", "0 0 1 * *", datetime(2024, 2, 1, tzinfo=UTC)),
        ("QS", "0 0 1 1,4,7,10 *", datetime(2024, 4, 1, tzinfo=UTC)),
        ("YS", "0 0 1 1 *", datetime(2025, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_schedule_follows_the_rows(freq: str, cron: str, start: datetime) -> None:
    """Intervals are as long as they are filled, and begin where a calendar has them begin."""
    at = pd.date_range("2024-01-03 05:30", periods=12, freq=freq, tz="UTC")
    _, proposal = proposed(pd.DataFrame({"at": at, "x": RANDOM.normal(size=12)}), label="x")
    assert (proposal.delivery.schedule.cron, proposal.delivery.schedule.start) == (cron, start)
    windows = proposal.windows
    assert windows.train + windows.evaluate + windows.wait == proposal.delivery.intervals
    assert windows.evaluate == round(0.2 * proposal.delivery.intervals)


def test_without_a_time_files_are_intervals() -> None:
    """One each day; and a hash of a row's values splits."""
    _, proposal = proposed(sklearn("iris"))
    assert (proposal.delivery.by, proposal.delivery.schedule.cron) == ("file", "0 0 * * *")
    assert (proposal.split.kind, proposal.split.by) == ("hash", ())


def test_rows_of_a_customer_stay_together() -> None:
    """Without a time, what several rows are of splits them."""
    _, proposal = proposed(customers().drop(columns="opened_at"))
    assert (proposal.split.kind, proposal.split.by, proposal.keys) == ("group", ("customer_id",), ("customer_id",))


def test_a_name_that_gives_the_label_away_splits() -> None:
    """A label that is the same in all rows of a subject is known by its name: that is no input, and no row's own."""
    subject = np.repeat(np.arange(100), 6)
    frame = pd.DataFrame({"subject": subject, "dose": RANDOM.normal(size=600), "treated": subject % 2})
    _, proposal = proposed(frame)
    assert (proposal.label, proposal.split.kind, proposal.keys) == ("treated", "group", ("subject",))
    assert proposal.inputs == ("dose",)


def test_series_have_their_keys() -> None:
    """And rows are judged on the newest."""
    _, proposal = proposed(vega("stocks.csv"))
    assert (proposal.keys, proposal.split.kind, proposal.split.by) == (("symbol",), "time", ("date",))


def test_the_data_meet_what_is_expected_of_them() -> None:
    """As Great Expectations judges it: ranges have room, classes are all there, gaps are as wide as they were."""
    import great_expectations as gx

    frame = pd.read_csv(vega("seattle-weather.csv"))
    frame.loc[::20, "wind"] = None
    _, proposal = proposed(frame)
    batch = gx.get_context(mode="ephemeral").data_sources.add_pandas("x").add_dataframe_asset("x")
    part = batch.add_batch_definition_whole_dataframe("x").get_batch({"dataframe": frame})
    rules = [each for each in proposal.expectations if not each.type.startswith("expect_table")]
    results = {
        (each.type, str(each.kwargs.get("column"))): part.validate(_rule(each.type, each.kwargs)).success
        for each in rules
    }
    assert len(results) >= 10 and all(results.values()), results


def _rule(name: str, kwargs: dict[str, object]) -> object:
    from great_expectations import expectations

    rule: object = getattr(expectations, "".join(word.capitalize() for word in name.split("_")))(**kwargs)
    return rule


def test_what_is_expected_leaves_room() -> None:
    """What grows may grow on; a count stays a count."""
    _, proposal = proposed(vega("us-employment.csv"))
    limits = {
        each.kwargs["column"]: each.kwargs
        for each in proposal.expectations
        if each.type.endswith("between") and "column" in each.kwargs
    }
    seen = pd.read_csv(vega("us-employment.csv"))["nonfarm"]
    assert 0 <= limits["nonfarm"]["min_value"] < seen.min() and limits["nonfarm"]["max_value"] > seen.max()


def test_drift_in_the_past_is_no_news() -> None:
    """The limit leaves room beyond what moved before, and says how much that was."""
    frame = customers().assign(**{f"x{number}": RANDOM.normal(size=3000) for number in range(4)})
    _, still = proposed(frame, label="churned")
    trend = {f"x{number}": frame[f"x{number}"] + np.linspace(0, 5, 3000) for number in range(4)}
    _, moved = proposed(frame.assign(**trend), label="churned")
    assert still.limits.drift_share == 0.3 and moved.limits.drift_share > 0.6
    assert "50% of 8 inputs moved" in moved.limits.drift_reason


def test_what_a_person_says_counts() -> None:
    """Name, goal, KPI and owner; what is said is not to be decided again."""
    seen, problem = profiled(customers())
    kpi = Kpi(name="customers kept", target=100, unit="a month")
    proposal = propose(seen, problem, Answers(name="churn", goal="Who leaves?", kpi=kpi, owner="ada"), "me")
    assert (proposal.name, proposal.goal, proposal.kpi, proposal.owner) == ("churn", "Who leaves?", kpi, "ada")
    assert not any("is a guess" in line for line in proposal.decide)


def test_every_column_is_an_input_or_left_out() -> None:
    """None gets lost, and none is both."""
    for data in (customers(), vega("cars.json"), sklearn("wine")):
        seen, proposal = proposed(data)
        out = [each.column for each in proposal.left_out]
        assert sorted([*proposal.inputs, *out]) == sorted(column.name for column in seen.columns)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/data/Trips 2024.csv.gz", "trips_2024"),
        ("s3://lake/trips/*.parquet", "trips"),
        ("lake/trips/", "trips"),
        ("2024-trips.csv", "data_2024_trips"),
        ("orders of sqlite:////tmp/shop.db", "orders"),
        ("Zürich.csv", "z_rich"),
        ("日本.csv", "product"),
    ],
)
def test_a_name_for_a_source(source: str, name: str) -> None:
    """It can be a package and a DAG."""
    assert name_of(source) == name


def test_a_look_is_made_once() -> None:
    """Another label is looked at in the same values."""
    look = looked(vega("cars.json"))
    assert [look.profile(label)[1].kind for label in ("Origin", "Miles_per_Gallon")] == [
        "multiclass_classification",
        "regression",
    ]
