"""The form of a training: another trainer, another window, and what they change."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.sections import Retuning
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.operators.evaluation import ModelRetuneOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator, form, trainer_params, windows_of
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import FolderStore
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


def test_retuning_without_a_product(tmp_path: Path) -> None:
    """By value the settings of a product that declares the same, but for what is learned; what is missing is named."""
    made: Any = partial(ModelRetuneOperator, task_id="any", model={}, training_set={}, evaluation={})
    declared = product.training
    judged = {"gates": product.evaluation.gates, "metric": product.evaluation.metric, "slices": ["carrier"]}
    table = {"problem": product.problem, "label": "late", "leave_out": ["trip"], "time": "at"}
    alone = made(trainer=declared.trainer, retuning=declared.retuning, **judged, **table)
    parts = alone.parts(FolderStore(tmp_path), {})
    whole = find_job("retune").parts_of(product, {})
    scoring = {"problem": product.problem, "column": "late", "weight": None, "leave_out": ["trip"], "time": "at"}
    other = {"scoring": scoring, "slices": ["carrier"], "baseline": None, "algorithms": None}
    assert parts["settings"] == {**whole["settings"], **other}
    assert parts["params"] == {}
    with pytest.raises(ConfigurationError, match="needs gates=, problem=, label=, time=, trainer="):
        made()
    fewer = made(product=product, retuning=Retuning(trials=0)).parts(FolderStore(tmp_path), {})["settings"]
    assert fewer == {**whole["settings"], "retuning": Retuning(trials=0).to_json()}
