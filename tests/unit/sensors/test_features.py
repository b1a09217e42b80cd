"""The delivery sensor looks anew where a delivery is to lie and keeps the order; its last run is the schedule's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSensorTimeout, TaskDeferred
from airflow.sdk.timezone import coerce_datetime
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_mlops_provider.hooks import services
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.pipelines import last_start
from airflow_mlops_provider.sensors.features import SourceDeliverySensor
from airflow_mlops_provider.triggers.deliveries import DeliveryTrigger, RunEndsTrigger
from flight_delay.product import product
from tests.factories.declared import changed

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def context(earlier: str | None = None, began: timedelta = timedelta()) -> Any:
    """Return what a task is given that began a while ago, with an earlier run on its way or not."""
    run = SimpleNamespace(run_id=earlier) if earlier else None
    ti = SimpleNamespace(get_previous_dagrun=lambda state: run, start_date=datetime.now(UTC) - began)
    return {"ti": ti, "data_interval_start": DAY, "data_interval_end": DAY + timedelta(days=1)}


def sensor(path: str, **settings: Any) -> SourceDeliverySensor:
    """Return the sensor of a product with one source."""
    source = product.data.sources[0].model_copy(update={"path": path})
    with DAG("any", schedule=None):
        return SourceDeliverySensor(
            task_id="wait",
            product=changed(product, {"data.sources": [source.model_dump()], "data.known_later": {}}),
            **settings,
        )


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The landing root, with one delivery of long ago."""
    monkeypatch.setattr(services, "services", lambda _: (SimpleNamespace(landing=str(tmp_path)),))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "2024.csv").write_text("a\n1\n")
    return tmp_path


def waits_for(one: SourceDeliverySensor, given: Any, *resumed: Any) -> TaskDeferred:
    """Run a sensor that is to wait, or go on with one, and return how it waits."""
    with pytest.raises(TaskDeferred) as waiting:
        one.resume_execution(*resumed, given) if resumed else one.execute(given)
    return waiting.value


@pytest.mark.parametrize("how", ["time", "trigger", "delivered"])
def test_it_looks_anew_where_the_delivery_is_to_lie(landing: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is up, when its trigger fails, and when it fires, the sensor goes by today's path and root."""
    old, new = sensor("old/{start:%Y}.csv"), sensor("new/{start:%Y}.csv")
    waiting = waits_for(old, context())
    assert isinstance(waiting.trigger, DeliveryTrigger)
    assert waiting.timeout == timedelta(minutes=10)
    resumed = {
        "time": ("__fail__", {"error": "Trigger timeout"}),
        "trigger": ("__fail__", {"error": "Trigger failure", "traceback": ["OSError"]}),
        "delivered": (waiting.method_name, {"event": {"state": "delivered", "delivered": ["old/2024.csv"]}}),
    }[how]
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # before a trigger that failed is tried again
    assert new.resume_execution(*resumed, context()) == {"delivered": ["new/2024.csv"]}
    again = waits_for(sensor("newer/{start:%Y}.csv"), context(), *resumed)
    assert again.trigger.keys == ["newer/2024.csv"]


def test_its_timeout_is_counted_from_the_beginning(landing: Path) -> None:
    """Looking again does not begin the timeout anew; when that is over, the task fails."""
    one = sensor("old/{start:%Y}.csv", timeout=timedelta(hours=1))
    assert waits_for(one, context()).timeout == timedelta(minutes=10)
    waiting = waits_for(one, context(began=timedelta(minutes=55)), "__fail__", {"error": "Trigger timeout"})
    assert waiting.timeout <= timedelta(minutes=5)
    with pytest.raises(AirflowSensorTimeout):
        one.resume_execution("__fail__", {"error": "Trigger timeout"}, context(began=timedelta(hours=2)))


def test_an_earlier_run_goes_first(landing: Path) -> None:
    """Delivered, a run waits for an earlier one that is on its way; before that, only for its delivery."""
    waiting = waits_for(sensor("new/{start:%Y}.csv"), context("the day before"))
    assert isinstance(waiting.trigger, RunEndsTrigger)
    assert waiting.trigger.serialize()[1] == {"dag_id": "any", "run_id": "the day before", "seconds": 30.0}
    assert isinstance(waits_for(sensor("old/{start:%Y}.csv"), context("the day before")).trigger, DeliveryTrigger)


def test_the_wait_for_a_run_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger asks as long as the run is queued or running, and fires once it is neither, or was deleted."""
    answers, asked = iter([1, 1, 0]), []

    def count(**what: Any) -> int:
        asked.append(what)
        return next(answers)

    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.RuntimeTaskInstance.get_dr_count", count)

    async def first() -> Any:
        return (await anext(RunEndsTrigger("any", "the day before", 0.01).run())).payload

    assert asyncio.run(first()) == {"ended": "the day before"}
    assert asked == [{"dag_id": "any", "run_ids": ["the day before"], "states": ["queued", "running"]}] * 3


@pytest.mark.parametrize(
    ("cron", "end", "last"),
    [
        ("0 0 * * *", datetime(2024, 1, 9, tzinfo=UTC), datetime(2024, 1, 8, tzinfo=UTC)),
        ("0 0 * * *", datetime(2024, 1, 9, 12, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC)),
        ("0 * * * *", datetime(2024, 1, 1, 5, tzinfo=UTC), datetime(2024, 1, 1, 4, tzinfo=UTC)),
        ("0 0 1 * *", datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)),
    ],
)
def test_no_interval_begins_at_the_end(cron: str, end: datetime, last: datetime) -> None:
    """The last run's interval begins before the schedule's end; one that began at it would wait for ever."""
    schedule = product.schedule.model_copy(update={"cron": cron, "start": DAY, "end": end})
    latest = last_start(product.model_copy(update={"schedule": schedule}))
    table, begun = CronDataIntervalTimetable(cron, timezone="UTC"), None
    restriction = TimeRestriction(coerce_datetime(DAY), coerce_datetime(latest), catchup=True)
    while found := table.next_dagrun_info(last_automated_data_interval=begun, restriction=restriction):
        begun = DataInterval(found.data_interval.start, found.data_interval.end)
    assert begun is not None
    assert begun.start == last


def test_an_open_schedule_stays_open() -> None:
    """Without an end there is no last run."""
    open_end: MLProduct = product.model_copy(update={"schedule": product.schedule.model_copy(update={"end": None})})
    assert last_start(open_end) is None
