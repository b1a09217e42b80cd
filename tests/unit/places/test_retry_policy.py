"""Which failures are tried again, and when."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from airflow.sdk import DAG, RetryAction
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, JobError, MLOpsError, UnknownNameError
from airflow_mlops_provider.operators.features import RulesCleanIntervalOperator
from airflow_mlops_provider.pipelines import defaults
from airflow_mlops_provider.places.retry_policy import JobRetryPolicy, final_failures
from tests.factories.tiny import TinyWorld

ERRORS = sorted(
    name
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, MLOpsError) and kind is not UnknownNameError
)


@pytest.mark.parametrize("name", ERRORS)
def test_the_policy_on_each_error(name: str) -> None:
    """What no retry mends ends the task; out of memory is tried at once, the cluster's trouble later and later."""
    kind = getattr(exceptions, name)
    policy = JobRetryPolicy(timedelta(seconds=10))
    actions = [policy.evaluate(kind("why"), number, 5).action for number in (1, 2)]
    delays = [policy.evaluate(kind("why"), number, 5).retry_delay for number in (1, 2, 3, 40)]
    if not kind.retryable:
        assert actions == [RetryAction.FAIL] * 2
    elif name == "OutOfMemoryError":
        assert (actions, delays) == ([RetryAction.RETRY] * 2, [timedelta(0)] * 4)
    elif name in {
        "BackendError",
        "EvictedError",
        "ImagePullError",
        "NodeLostError",
        "PodStartError",
        "UnschedulableError",
    }:
        assert delays == [timedelta(seconds=10), timedelta(seconds=20), timedelta(seconds=40), timedelta(minutes=30)]
    else:
        assert actions == [RetryAction.DEFAULT] * 2


def test_the_policy_leaves_other_errors_alone() -> None:
    """What is none of ours is Airflow's to decide; one of ours that says no retry helps is heard."""
    assert JobRetryPolicy().evaluate(OSError("disk"), 1, 2).action is RetryAction.DEFAULT
    error = JobError("KeyError: 'amount'")
    error.retryable = False
    assert JobRetryPolicy().evaluate(error, 1, 2).action is RetryAction.FAIL


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (ConfigurationError("no root"), "ConfigurationError: no root"),
        (ModuleNotFoundError("No module named 'openlineage'", name="openlineage"), "MissingExtraError: .* pip install"),
        (BackendError("no answer"), None),
        (ModuleNotFoundError("No module named 'theirs'", name="theirs"), None),
        (OSError("disk"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_retry_mends_is_final_without_a_policy_too(error: Exception, final: str | None) -> None:
    """Airflow is told not to try again what cannot succeed; every other error goes on as it is."""
    with pytest.raises(AirflowFailException if final else type(error), match=final), final_failures():
        raise error


def test_pipelines_carry_the_policy(make: Callable[..., TinyWorld]) -> None:
    """The reference pipelines' tasks have it, their DAGs still serialise, and it comes back from plain JSON."""
    world = make()
    with DAG("any", schedule=None, **defaults(world.product, "")) as dag:
        task = RulesCleanIntervalOperator(task_id="clean", product=world.product, raw={})
    assert isinstance(task.retry_policy, JobRetryPolicy)
    told = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    assert DagSerialization.from_dict(told).task_dict["clean"].has_retry_policy
    back = JobRetryPolicy.deserialize(json.loads(json.dumps(task.retry_policy.serialize())))
    assert back.delay == task.retry_policy.delay == timedelta(seconds=30)
