"""The form of a training: another trainer, another window, and what they change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.operators.evaluation import ModelRetuneOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator, form, trainer_params, windows_of
from airflow_mlops_provider.runtime.definition import find_job
from flight_delay.product import product


def test_the_form_offers_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search's algorithms and the places of the configuration can be chosen, and nothing else; none need be."""
    monkeypatch.setenv("AIRFLOW__MLOPS__PLACES", json.dumps({"gpu": {"kind": "kubernetes_pod", "image": "x"}}))
    fields = form(product)
    assert {name: field.schema.get("enum") for name, field in fields.items()} == {
        "trainer": [None, "trees", "network"],
        "place": [None, "gpu", "local_process"],
        "window": None,
    }
    assert [field.resolve() for field in fields.values()] == [None, None, None]
    for name, wrong in (("trainer", "forest"), ("place", "gpuu"), ("place", "package:Place"), ("window", 0)):
        with pytest.raises(ParamValidationError, match=f"{wrong!r} is (not one|less)"):
            Param(wrong, **fields[name].schema).resolve()


def test_an_algorithm_trains_in_place_of_the_declared() -> None:
    """By its name, with its fixed settings; the one that trains anyway changes nothing, nor does an empty field."""
    for nothing in (None, "", "None", "trees", product.training.trainer):
        assert trainer_params(product, nothing) == {}
    network = trainer_params(product, "network")["trainer"]
    assert (network["code"], network["flavor"]) == ("flight_delay.torch_trainer:train", "torch")
    assert network["settings"] == {"epochs": 20, "patience": 4}
    with pytest.raises(UnknownNameError, match="unknown algorithm 'forest'; known: network, trees"):
        trainer_params(product, "forest")


@pytest.mark.parametrize("job", ["train", "retune"])
def test_the_jobs_take_it(job: str) -> None:
    """Training and retuning see the trainer that was chosen, also one that the product does not know."""
    other = Trainer(code="package.module:function", flavor="torch")
    operators: dict[str, Any] = {
        "train": ModelTrainOperator(task_id="any", product=product, training_set={}, trainer=other),
        "retune": ModelRetuneOperator(
            task_id="any", product=product, model={}, training_set={}, evaluation={}, trainer=other
        ),
    }
    params = operators[job].params_of({})
    parts = find_job(job).parts_of(product, params)
    assert Trainer.model_validate(parts["settings"]["trainer"]) == other
    assert find_job(job).params.model_validate(params).trainer == other.to_json()


def test_a_window_of_ones_own() -> None:
    """A number takes the place of the declared one, typed or rendered; what is none is refused."""
    declared = product.training.windows
    assert windows_of(product, None) == windows_of(product, "None") == declared
    assert (windows_of(product, "5").train, windows_of(product, 5).evaluate) == (5, declared.evaluate)
    for wrong in ("0", "many", -1):
        with pytest.raises(AirflowFailException, match="window is a number of data intervals"):
            windows_of(product, wrong)
