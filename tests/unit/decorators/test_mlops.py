"""``@task.mlops_train`` and ``@task.mlops_validate`` are their operators, given the function that they stand above."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, XComArg, task

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.operators.training import ModelTrainOperator
from airflow_mlops_provider.operators.validation import GreatExpectationsValidateDatasetOperator

KIND: Any = {"problem": "binary_classification", "label": "late", "leave_out": ["trip"]}
EXISTS = {"type": "expect_column_to_exist", "kwargs": {"column": "a"}}
REFERENCE = {"kind": "dataset", "uri": "file:///t", "hash": "0" * 64}


def fit(features: Any, label: Any, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Learn nothing."""
    return {"seed": seed}


def expected(table: str) -> list[Any]:
    """Expect a column."""
    return [EXISTS]


def operator(output: XComArg) -> Any:
    """Return the operator behind what calling a decorated function gave."""
    return output.operator


def test_a_training_is_the_operator_s() -> None:
    """The same settings as of ModelTrainOperator with the function, its input a template, named by the function."""
    by_operator = ModelTrainOperator(task_id="x", training_set="a.csv", trainer=fit, settings={"n": 3}, **KIND)
    with DAG("any", schedule=None):
        decorated = task.mlops_train(settings={"n": 3}, conn_id="{{ params.mlflow }}", **KIND)(fit)
        first, second = operator(decorated("a.csv")), operator(decorated(training_set="b.csv"))
        renamed = operator(decorated.override(task_id="other", place="local_process")("a.csv"))
    assert isinstance(first, ModelTrainOperator)
    assert first.overrides == by_operator.overrides
    assert (first.task_id, second.task_id, renamed.task_id) == ("fit", "fit__1", "other")
    assert (first.training_set, second.training_set, renamed.place) == ("a.csv", "b.csv", "local_process")
    assert first.template_fields == ModelTrainOperator.template_fields
    assert (first.conn_id, first.operator_name) == ("{{ params.mlflow }}", "@task.mlops_train")


def test_a_validation_is_the_operator_s() -> None:
    """The same settings as of the operator with the function; it waits for the task whose output it is called with."""
    by_operator = GreatExpectationsValidateDatasetOperator(task_id="x", dataset="a.csv", expectations=expected)
    with DAG("any", schedule=None):
        trained = task.mlops_train(**KIND)(fit)("a.csv")
        checked = operator(task.mlops_validate(expected)(trained))
        lenient = operator(task.mlops_validate(fail=False, table="trips")(expected)("b.csv"))
    assert isinstance(checked, GreatExpectationsValidateDatasetOperator)
    assert checked.sections() == by_operator.sections()
    assert checked.upstream_task_ids == {"fit"}
    assert (lenient.fail, lenient.table, lenient.dataset) == (False, "trips", "b.csv")


def test_both_are_mapped_over_their_input() -> None:
    """Over that and nothing else: each of several references is trained on, or validated, by a task of its own."""
    with DAG("any", schedule=None):
        training = operator(task.mlops_train(**KIND)(fit).expand(training_set=[REFERENCE]))
        checking = operator(task.mlops_validate(expected).expand(dataset=[REFERENCE]))
        with pytest.raises(TypeError, match="unexpected keyword argument 'features'"):
            task.mlops_train(**KIND)(fit).expand(features=[REFERENCE])
    one = training.unmap({"op_kwargs": {"training_set": REFERENCE}})
    assert (one.training_set, one.overrides["scoring"].column) == (REFERENCE, "late")
    assert checking.unmap({"op_kwargs": {"dataset": REFERENCE}}).dataset == REFERENCE


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: task.mlops_train(fit)("a.csv"), ConfigurationError, "@task.mlops_train 'fit' needs problem=, label="),
        (lambda: task.mlops_train(problem="regression")(fit)("a"), ConfigurationError, "needs label="),
        (task.mlops_train(**KIND)(fit), TypeError, "missing a required argument: 'training_set'"),
        (lambda: task.mlops_train(**KIND)(fit)("a", "b"), TypeError, "too many positional arguments"),
        (lambda: task.mlops_train("regression"), TypeError, "@task.mlops_train takes named arguments only"),
        (lambda: task.mlops_validate([EXISTS]), TypeError, "@task.mlops_validate takes named arguments only"),
        (lambda: task.mlops_validate(suite="eta", context="gx")(expected)("a"), ConfigurationError, "give one of them"),
    ],
)
def test_what_is_wrong_is_said_while_the_dag_is_parsed(make: Any, error: type[Exception], said: str) -> None:
    """In the words of the operators."""
    with DAG("any", schedule=None), pytest.raises(error, match=said):
        make()
