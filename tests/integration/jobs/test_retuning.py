"""Retuning: bounded, once, on the training rows alone, the same each time, and for the gates to judge."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import MLOpsDag, problems
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.experimentation.holdout import split
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Model, Report
from airflow_mlops_provider.lifecycle.sections import Retuning
from airflow_mlops_provider.operators.evaluation import ModelRetuneOperator
from airflow_mlops_provider.runtime import runner
from flight_delay.product import product
from tests.factories.declared import changed
from tests.factories.record import leave
from tests.factories.tiny import TinyWorld

HOURS = 1200
TRAINER = """
import lightgbm

FIXED = {"objective": "binary", "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}

def train(features, label, settings, seed, checkpoints):
    assert checkpoints.latest() is None, "one try goes on from another's checkpoint"
    checkpoints.save(1, lambda folder: (folder / "state").write_text("begun"))
    if settings["leaves"] > 99:
        raise MemoryError("too many leaves")
    fixed = {**FIXED, "seed": seed, "num_leaves": settings["leaves"], "learning_rate": settings["rate"]}
    return lightgbm.train(fixed, lightgbm.Dataset(features, label=label), num_boost_round=settings["rounds"])
"""
ASSEMBLE = """
def assemble(rows):
    return rows[["mean_amount"]].astype("float64")
"""


class Shop(TinyWorld):
    """A product that can be trained: takings that say how the next hour goes, but for some noise."""

    def __init__(self, folder: Path, declared: str = "", settings: str = "") -> None:
        super().__init__(folder)
        self.write("trainer.py", TRAINER)
        self.write("assemble.py", ASSEMBLE)
        text = (self.package / "product.py").read_text()
        settings = settings or '{"leaves": 2, "rate": 0.01, "rounds": 2, "kind": "trees", "one": 1}'
        changed = text.replace('trainer:train",', f'trainer:train", settings={settings},', 1)
        self.write(
            "product.py",
            changed.replace("min_metric=0.6", "min_metric=0.999").replace(
                "training=Training(", f"training=Training({declared} "
            ),
        )

    def rows(self) -> pd.DataFrame:
        """Return some hours with their label, which is known two hours later."""
        draw = np.random.default_rng(7)
        at = pd.date_range("2024-01-01", periods=HOURS, freq="h", tz="UTC")
        amount = draw.uniform(0, 10, HOURS)
        much = ((amount % 4 > 2) ^ (draw.uniform(size=HOURS) < 0.1)).astype("int64")
        known = {"much": much, "known_at": at + pd.Timedelta(hours=2)}
        return pd.DataFrame({"shop": "north", "event_time": at, "mean_amount": amount, **known})

    def training_set(self, name: str = "made", rows: pd.DataFrame | None = None) -> Dataset:
        """Put a training set into the artifact root and return it."""
        rows = self.rows() if rows is None else rows
        parts = {"train": rows[:900], "evaluate": rows[900:]}
        files = {f"{part}.parquet": frame.to_parquet(index=False) for part, frame in parts.items()}
        facts = {"rows": {"train": 900, "evaluate": 300}, "evaluate": ["the last hours"]}
        data: Dataset = leave(self.spec("training_set", params={"name": name}), Dataset, files, facts=facts)
        return data

    def done(self, job: str, **inputs: Any) -> Any:
        """Run a job of this shop and return its result."""
        manifest = runner.run(self.spec(job, inputs=inputs))
        assert manifest.state == "success", manifest.failure
        return manifest.result


class Here:
    """A place in this very process: what the jobs are, without the seconds that a process of their own costs."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def run(self, spec: Any, secrets: Any, log: Any, context: Any = None, event: Any = None) -> Manifest:
        """Run a job and return its manifest."""
        self.jobs.append(spec.job)
        manifest = runner.run(spec)
        assert manifest.state == "success", manifest.failure
        return manifest

    def stop(self) -> None:
        """Nothing goes on."""


class Task:
    """What an operator asks of its task instance."""

    dag_id, run_id, task_id, map_index, try_number = "dag", "run", "retune", -1, 1

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.xcoms[key] = value


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a function that makes a shop of its own. The first one's MLflow database is copied: each takes seconds."""
    made: list[Shop] = []

    def shop(**given: Any) -> Shop:
        one = Shop(tmp_path_factory.mktemp("shop"), **given)
        os.environ["AIRFLOW__MLOPS__ARTIFACT_ROOT"] = str(one.root)
        one.root.mkdir()
        if made:
            shutil.copy(made[0].root / "mlflow.db", one.root)
        else:
            one.done("train", training_set=one.training_set())
        made.append(one)
        return one

    yield shop
    del os.environ["AIRFLOW__MLOPS__ARTIFACT_ROOT"]
    for one in made:
        one.close()


@dataclass
class Ended:
    """A retuning that ended: where its jobs ran, what it handed on, and the model that it began with."""

    shop: Shop
    jobs: list[str]
    evaluation: dict[str, Any]
    model: dict[str, Any]
    first: Model

    @property
    def told(self) -> dict[str, Any]:
        """What the model says of it."""
        return self.model["facts"]["retuning"]  # type: ignore[no-any-return]


def retuned(shop: Shop, product: MLProduct | None = None) -> Ended:
    """Train, evaluate and retune."""
    os.environ["AIRFLOW__MLOPS__ARTIFACT_ROOT"] = str(shop.root)
    data = shop.training_set()
    first = shop.done("train", training_set=data)
    references = {
        "model": first,
        "training_set": data,
        "evaluation": shop.done("evaluate", model=first, training_set=data),
    }
    place, task, given = Here(), Task(), {name: one.to_json() for name, one in references.items()}
    operator = ModelRetuneOperator(task_id="retune", product=product or shop.product, place=place, **given)
    handed = operator.execute.__wrapped__(operator, {"ti": task, "params": {}})  # outside a task Airflow would refuse
    return Ended(shop, place.jobs, handed, task.xcoms["model"], first)


@pytest.fixture(scope="module")
def moved(make: Any) -> Ended:
    """A retuning that found better settings."""
    return retuned(make(declared="retuning=Retuning(trials=4),"))


def test_a_good_model_goes_on_as_it_is(moved: Ended) -> None:
    """Nothing is searched, no job is started, and the very references go on."""
    shop, gates = moved.shop, moved.shop.product.evaluation.gates.model_copy(update={"min_metric": 0.0})
    ended = retuned(shop, changed(shop.product, {"evaluation.gates": gates}))
    assert ended.jobs == []
    assert ended.model == ended.first.to_json()
    assert ended.evaluation["facts"]["model"] == ended.first.hash


def test_none_at_all_if_the_product_wants_none(moved: Ended) -> None:
    """A product that declares no tries is not retuned, however bad its model is."""
    none = changed(moved.shop.product, {"training.retuning": Retuning(trials=0)})
    ended = retuned(moved.shop, none)
    assert (ended.jobs, ended.model) == ([], ended.first.to_json())


def test_better_settings_make_another_model(moved: Ended) -> None:
    """Below the gate, a few tries find better settings; their model is trained on all rows and evaluated as ever."""
    told, shop = moved.told, moved.shop
    assert moved.jobs == ["retune"]
    assert moved.model["hash"] != moved.first.hash
    assert moved.evaluation["facts"]["model"] == moved.model["hash"]
    assert (told["best"] > told["fixed"], told["tries"]) == (True, 4)
    assert set(told["settings"]) <= {"leaves", "rate", "rounds"}
    assert told["summary"].startswith("settings changed: roc_auc 0.")
    assert "on the last 25% of the training rows" in told["summary"]
    trained = [json.loads(file.read_text()) for file in (shop.root / shop.name / "train").glob("*/manifest.json")]
    assert {"settings": told["settings"]} in [one["spec"]["params"] for one in trained]
    assert moved.model["facts"]["run_id"] != moved.first.facts["run_id"]


def test_the_same_search_ends_the_same(moved: Ended, caplog: pytest.LogCaptureFixture) -> None:
    """Run again, whatever it finds done: the same tries, the same settings, the same model bytes; the log tells all."""
    caplog.set_level(logging.INFO)
    spec = moved.shop.spec("retune", inputs={"training_set": moved.shop.training_set()}, force=True)
    again = runner.run(spec.model_copy(update={"interval": None})).result
    assert again is not None
    assert again.facts["model"]["hash"] == moved.model["hash"]
    assert _tries(again.uri) == _tries(moved.told["report"])
    assert [line.split(":")[0] for line in caplog.messages if " with {" in line] == [
        "the fixed settings",
        *(f"try {number}" for number in range(1, 5)),
    ]


def test_nothing_better_keeps_the_settings(make: Any) -> None:
    """Where no try is better, the settings stay, the model goes on, and it says how many were tried."""
    shop = make(settings='{"leaves": 4, "rate": 0.1, "rounds": 30}', declared="retuning=Retuning(trials=2),")
    shop.write("trainer.py", TRAINER.replace('settings["leaves"] > 99', 'settings["rounds"] != 30'))
    ended = retuned(shop)
    assert (ended.jobs, ended.model["hash"]) == (["retune"], ended.first.hash)
    assert ended.evaluation["facts"]["model"] == ended.first.hash
    assert ended.told["summary"].startswith("settings kept: none of 2 tries was better than roc_auc 0.")
    assert ended.told["summary"].endswith("on the last 25% of the training rows")
    tries = json.loads(_tries(ended.told["report"]))
    assert [one["state"] for one in tries] == ["complete", "failed", "failed"]
    assert "MemoryError: too many leaves" in tries[1]["reason"]


def test_no_number_to_vary_is_said(make: Any) -> None:
    """Words, switches, zero and one leave nothing to try."""
    shop = make(settings='{"kind": "trees", "on": True, "none": 0, "one": 1}')
    shop.write(
        "trainer.py",
        TRAINER.replace("    if settings", '    settings = {"leaves": 2, "rate": 1, "rounds": 1}\n    if settings'),
    )
    assert retuned(shop).told["summary"] == "settings kept: nothing to vary"


def test_the_evaluation_window_has_no_say(moved: Ended) -> None:
    """Another evaluation window changes no try: the search reads the training rows alone."""
    turned = moved.shop.rows().assign(much=lambda frame: [*frame["much"][:900], *(1 - frame["much"][900:])])
    found = moved.shop.done("retune", training_set=moved.shop.training_set("turned", turned))
    assert found.uri != moved.told["report"]
    for name in ("fixed", "best", "settings", "tries"):
        assert found.facts[name] == moved.told[name]


def test_the_clock_ends_it(make: Any) -> None:
    """The budget of training time is kept to: the fixed settings alone use it up here."""
    shop = make(declared="retuning=Retuning(trials=8, minutes=0.00001),")
    found = shop.done("retune", training_set=shop.training_set())
    assert (found.facts["tries"], found.passed) == (0, False)
    assert "the budget is 1e-05" in found.facts["summary"]


def test_the_gates_have_the_last_word(moved: Ended) -> None:
    """Still below: registered with what was tried as a tag, and rejected with gate and retuning as reasons."""
    from mlflow import MlflowClient

    shop, data = moved.shop, moved.shop.training_set()
    shop.write("expectations.py", "def expectations(name):\n    return []\n")
    valid = runner.run(shop.spec("validate", inputs={"dataset": data}, params={"what": "training"})).result
    given = {"evaluation": Report.model_validate(moved.evaluation)}
    version = shop.done("register", model=Model.model_validate(moved.model), **given)
    promoted = shop.done("promote", version=version, validation=valid, **given)
    assert promoted.facts["status"] == "rejected"
    assert "is below the gate 0.999" in promoted.facts["reason"]
    assert promoted.facts["reason"].endswith(moved.told["summary"])
    registry = MlflowClient(f"sqlite:///{shop.root}/mlflow.db")
    assert registry.get_model_version(shop.name, str(version.version)).tags["retuning"] == moved.told["summary"]


@pytest.mark.parametrize(
    ("line", "error", "retryable"),
    [
        ("import no_such_library", "MissingExtraError", False),
        ("from airflow_mlops_provider.exceptions import BackendError as Down; raise Down('x')", "BackendError", True),
    ],
)
def test_what_says_nothing_of_the_settings_fails_the_job(make: Any, line: str, error: str, retryable: bool) -> None:
    """A package that is not installed, or a service that may come back, is no try that failed: nothing is decided."""
    shop = make(declared="retuning=Retuning(trials=1),")
    shop.write("trainer.py", TRAINER.replace("    checkpoints.save", f"    {line}\n    checkpoints.save"))
    declared = (shop.package / "product.py").read_text()
    shop.write("product.py", declared.replace('requires=("lightgbm",', 'requires=("no-such-library", "lightgbm",'))
    for module in ("product", "trainer"):
        sys.modules.pop(f"{shop.name}.{module}", None)
    failure = runner.run(shop.spec("retune", inputs={"training_set": shop.training_set()})).failure
    assert failure is not None
    assert (failure.error, failure.retryable) == (error, retryable), failure.message


def test_rows_that_cannot_judge_keep_the_settings(make: Any) -> None:
    """Where the holdout holds one label only, nothing can be compared: the settings stay, with the reason."""
    shop = make(declared="retuning=Retuning(trials=1),")
    rows = shop.rows()
    rows.loc[600:899, "much"] = 1
    report = shop.done("retune", training_set=shop.training_set("one label", rows))
    why = "the holdout would be 225 rows with labels of one class only; take more intervals"
    assert report.facts["summary"] == f"settings kept: {why}"
    assert (report.passed, report.facts["tries"]) == (False, 0)


def test_the_holdout_is_later_and_was_not_known(moved: Ended) -> None:
    """No earlier row reaches into the later part: neither its time nor the moment at which its label became known."""
    product, rows = moved.shop.product, moved.shop.rows()
    judged = problems.find(product.problem), product.label
    earlier, later = split(rows.sample(frac=1, random_state=1), 0.25, *judged)
    assert earlier["event_time"].max() < later["event_time"].min()
    assert earlier["known_at"].max() < later["event_time"].min()
    assert (len(earlier), len(later)) == (HOURS * 0.75 - 2, HOURS * 0.25)
    with pytest.raises(SourceDataError, match="take more intervals"):
        split(rows[:3], 0.5, *judged)


def test_the_pipeline_registers_what_retuning_hands_on() -> None:
    """In the training DAG version and gates see the model and the evaluation that came of the one retuning."""
    dag = MLOpsDag(product, "training")
    register, promote, retune = (dag[name] for name in ("register", "promote", "retune"))
    assert retune.upstream_task_ids == {"training.train", "evaluation.evaluate", "features.build_training_set"}
    assert (register.model.operator, register.model.key) == (retune, "model")
    assert register.evaluation.operator is promote.evaluation.operator is retune


def _tries(uri: str) -> bytes:
    return Path(uri.removeprefix("file://"), "tries.json").read_bytes()
