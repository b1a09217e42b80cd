"""A tiny product that declares a search: real data, real LightGBM, a trial in tenths of a second."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.search.optuna.study import SearchStudy
from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import content_hash, open_store
from tests.factories.tiny import DAY, TinyWorld

NEXT = Interval(start=DAY.end, end=DAY.end + timedelta(days=1))
ROWS, BEGIN = 1200, pd.Timestamp("2024-01-01", tz="UTC")
SEARCH = """
import dataclasses
from pathlib import Path
from airflow_mlops_provider.lifecycle.search.declaration import *
from airflow_mlops_provider.lifecycle.settings import TrainerSettings

product = MLProduct.model_validate({
    **product.model_dump(),
    "training": Training(
        trainer=TrainerSettings.read(Path(__file__).with_name("settings.json")).trainer(),
        windows=Windows(train=1, evaluate=1),
    ),
    "search": Search(
        trials=24,
        seed=7,
        pruning=Pruning(after_trials=3),
        algorithms=(
            Algorithm(
                name="trees",
                code="PACKAGE.trainer:train",
                requires=("lightgbm", "numpy"),
                settings={"rounds": ROUNDS, "nap": NAP},
                space={
                    "leaves": IntRange(low=2, high=24),
                    "rate": FloatRange(low=0.01, high=0.5, log=True),
                    "part": Choice(options=(0.5, 1.0)),
                },
            ),
            Algorithm(name="net", code="PACKAGE.trainer:train", flavor="torch", requires=("no-such-package",)),
        ),
    ),
})
"""
SETTINGS = """
{
  "code": "PACKAGE.trainer:train",
  "requires": ["lightgbm", "numpy"],
  "settings": {"rounds": ROUNDS, "nap": NAP, "leaves": 2, "rate": 0.02, "part": 1.0}
}
"""
TRAINER = """
import json
import os
import time


def train(features, label, settings, seed, validation=None, report=None):
    import lightgbm

    def watch(env):
        time.sleep(settings["nap"])
        if report is not None and env.iteration % 2:
            report(env.iteration, dict((one[0], one[2]) for one in env.evaluation_result_list)["later"])

    tell("begun", settings)
    parameters = {
        "objective": "binary", "metric": "auc", "num_leaves": settings["leaves"], "learning_rate": settings["rate"],
        "feature_fraction": settings["part"], "num_threads": 1, "deterministic": True, "seed": seed, "verbosity": -1,
    }
    data = lightgbm.Dataset(features, label=label)
    later = {} if validation is None else {
        "valid_sets": [lightgbm.Dataset(*validation, reference=data)], "valid_names": ["later"]
    }
    model = lightgbm.train(parameters, data, num_boost_round=settings["rounds"], callbacks=[watch], **later)
    tell("done", settings)
    return model


def tell(what, settings):
    with open(os.environ.get("TRAININGS", os.devnull), "a") as log:
        log.write(json.dumps([what, settings["leaves"], settings["rate"], os.getpid()]) + "\\n")
"""
FEATURES = """
def compute(tables, interval):
    seen = tables["sales"].rename(columns={"at": "event_time", "amount": "mean_amount"})
    inside = (seen["event_time"] >= interval.start) & (seen["event_time"] < interval.end)
    return {"takings": seen.loc[inside, ["shop", "event_time", "mean_amount"]].reset_index(drop=True)}
"""
EXAMPLES = """
import numpy as np
import pandas as pd


def examples(tables, interval):
    sales = tables["sales"]
    sales = sales[(sales["at"] >= interval.start) & (sales["at"] < interval.end)].reset_index(drop=True)
    chance = np.random.default_rng(interval.start.day).normal(scale=0.7, size=len(sales))
    much = (np.sin(3 * sales["amount"]) + 0.1 * (sales["at"].dt.hour - 12) + chance > 0).astype("int64")
    asked = sales["at"] + pd.Timedelta(seconds=30)
    known = asked + pd.Timedelta(minutes=10)
    return pd.DataFrame({"shop": sales["shop"], "event_time": asked, "much": much, "known_at": known})
"""
ASSEMBLE = """
def assemble(rows):
    return rows[["mean_amount"]].assign(hour=rows["event_time"].dt.hour + 0.0)
"""


class SearchWorld(TinyWorld):
    """The tiny product with a search, a training set that lies in the artifact root, and the search's jobs.

    :param rounds, nap: how many rounds a training takes, and how many seconds it sleeps in each.
    """

    def __init__(self, folder: Path, rounds: int = 12, nap: float = 0.0) -> None:
        super().__init__(folder)
        figures = {"ROUNDS": str(rounds), "NAP": str(nap)}

        def filled(text: str) -> str:
            for name, value in figures.items():
                text = text.replace(name, value)
            return text

        self.write("product.py", (self.package / "product.py").read_text() + filled(SEARCH))
        self.write("settings.json", filled(SETTINGS))
        self.write("trainer.py", TRAINER)
        for module, text in {"assemble": ASSEMBLE, "features": FEATURES, "examples": EXAMPLES}.items():
            self.write(f"{module}.py", text)

    @property
    def url(self) -> str:
        """The search's database."""
        return f"sqlite:///{self.root}/optuna.db"

    @property
    def mlflow(self) -> MlflowBackend:
        """MLflow, in a file."""
        return MlflowBackend(f"sqlite:///{self.root}/mlflow.db")

    def training_set(self) -> Dataset:
        """Put a training set into the artifact root, as its job would, and return it."""
        with tempfile.TemporaryDirectory() as folder:
            for part, later in (("train", 0), ("evaluate", ROWS)):
                examples(later, ROWS).to_parquet(Path(folder) / f"{part}.parquet", index=False)
            found = content_hash(Path(folder))
            store = open_store(str(self.root))
            store.upload(Path(folder), f"{self.name}/training_set/made/{found[:16]}")
        return Dataset(uri=f"{store.uri}/{self.name}/training_set/made/{found[:16]}", hash=found, interval=DAY)

    def featured(self) -> None:
        """Deliver two days, and take them through the jobs into the feature store."""
        for day in (DAY, NEXT):
            random = np.random.default_rng(day.start.day)
            at = pd.date_range(day.start, day.end, freq="min", inclusive="left")
            sales = pd.DataFrame({"shop": "north", "amount": random.normal(size=len(at)), "at": at})
            sales.to_csv(self.landing / "sales" / f"{day.start:%Y-%m-%d}.csv", index=False)
            made = done(run(self.spec("extract", interval=day)), Dataset)
            for job, role in (("clean", "raw"), ("compute", "clean"), ("load", "features")):
                made = done(run(self.spec(job, interval=day, inputs={role: made})), Dataset)

    def asked(self, job: str, *, slot: int = -1, attempt: int = 1, **fields: Any) -> JobSpec:
        """Return what asks for one of the search's jobs."""
        spec = self.spec(job, attempt=attempt, **fields)
        run_of = spec.run.model_copy(update={"map_index": slot})
        return spec.model_copy(
            update={"services": spec.services.model_copy(update={"search": self.url}), "run": run_of}
        )

    def opened(self, training_set: Dataset | None = None, **criteria: Any) -> Dataset:
        """Open a search and return its split."""
        assert self.product.search
        params = {"criteria": self.product.search.criteria(**criteria).to_json()}
        inputs = {"training_set": training_set or self.training_set()}
        return done(run(self.asked("search", inputs=inputs, params=params)), Dataset)

    def trial(self, split: Dataset, slot: int, attempt: int = 1, **criteria: Any) -> JobSpec:
        """Return what asks for one trial."""
        return self.asked(
            "trial", slot=slot, attempt=attempt, inputs={"split": split}, params=self._of(split, slot, **criteria)
        )

    def concluded(self, split: Dataset, note: str | None = None, **criteria: Any) -> Report:
        """End a search and return its report."""
        params = {**self._of(split, 0, **criteria), **({"needs_data_change": note} if note else {})}
        del params["slot"]
        return done(run(self.asked("conclude", inputs={"split": split}, params=params)), Report)

    def study(self, split: Dataset) -> SearchStudy:
        """Return the study of a search."""
        return SearchStudy(split.facts["study"], self.url)

    def children(self, split: Dataset) -> list[Any]:
        """Return MLflow's runs of a search's trials."""
        client = self.mlflow.client
        experiment = client.get_experiment_by_name(f"{self.name}.search").experiment_id
        found = client.search_runs([experiment], max_results=1000)
        return [one for one in found if one.data.tags.get("mlflow.parentRunId") == split.facts["run_id"]]

    def _of(self, split: Dataset, slot: int, **criteria: Any) -> dict[str, Any]:
        assert self.product.search
        when = self.product.search.criteria(**criteria).to_json()
        return {"slot": slot, "study": split.facts["study"], "criteria": when}


def examples(first: int, rows: int) -> pd.DataFrame:
    """Return labelled rows a minute apart; the label follows from amount and hour, and some chance."""
    random = np.random.default_rng(first)
    times = BEGIN + pd.to_timedelta(np.arange(first, first + rows), unit="min")
    amount = random.normal(size=rows)
    much = (np.sin(3 * amount) + 0.1 * (times.hour - 12) + random.normal(scale=0.7, size=rows) > 0).astype("int64")
    return pd.DataFrame(
        {
            "shop": "north",
            "event_time": times,
            "mean_amount": amount,
            "much": much,
            "known_at": times + pd.Timedelta(minutes=10),
        }
    )


def take(specs: list[str], log: str) -> None:
    """Run some jobs one after another, as a worker does; for a process of its own."""
    os.environ["TRAININGS"] = log
    for spec in specs:
        done(run(JobSpec.model_validate_json(spec)), Report)


def done(manifest: Manifest, kind: type[Any]) -> Any:
    """Return the result of a job that succeeded."""
    assert manifest.state == "success", manifest.failure
    assert isinstance(manifest.result, kind)
    return manifest.result
