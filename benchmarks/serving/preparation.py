"""What is run, each in a process of its own, before servers are measured."""

from __future__ import annotations

# Two months of real flights to the feature store, a model of them, and the next month's flights to ask for: for others
# as the finished inputs, with numbers for categories, and without the booster's list of them, which no JSON can meet.
PREPARE = """
import json, sys
from pathlib import Path

dags, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, dags)
import lightgbm
import mlflow.lightgbm
import numpy as np
import pandas as pd
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.intervals import current, leading_to
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.scoring.as_they_are import scoring_of
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.backends.model_server import releases
from flight_delay import replay
from flight_delay.examples import examples
from flight_delay.product import product

root, landing = str(folder / "artifacts"), folder / "landing"
services, store = Services(landing=str(landing), mlflow=f"sqlite:///{folder}/mlflow.db"), open_store(root)


def job(name, interval=None, params=None, **inputs):
    manifest = runner.run(JobSpec(job=name, product=product.name, interval=interval, inputs=inputs, root=root,
                                  services=services, **find_job(name).parts_of(product, params or {})))
    assert manifest.state == "success", manifest.failure
    return manifest.result


def clean(interval):
    replay.deliver(landing, interval)
    return job("clean", interval, raw=job("extract", interval))


features = []
for interval in map(replay.month, ("2013-01", "2013-02")):
    clean(interval)
    features.append(job("compute", interval, clean=leading_to(current(store, product.name, "clean"), interval, 2)))
    job("load", interval, features=features[-1])
truth = tuple(current(store, product.name, "clean"))
model = job("train", training_set=job("training_set", params={"evaluate": 1}, features=features, truth=truth))
version = ModelVersion(uri=model.uri, hash=model.hash, name=product.name, version=1, facts=model.facts)
for status in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
    Ledger(store, product.name).move(version, status, reason="to be measured", by="benchmark")
releases.request(store, product.name, releases.Release.of(version))

march = replay.month("2013-03")
tables = {file.stem: pd.read_parquet(file) for file in Path(clean(march).uri.removeprefix("file://")).glob("*.parquet")}
rows = examples(tables, march).sample(count, random_state=7).reset_index(drop=True)
rows = rows[rows["event_time"] >= march.start][[*product.features.request, "event_time"]]
rows = pd.concat([rows, rows])[:count].reset_index(drop=True)
predictor = Predictor.load(product.scoring, Path(model.uri.removeprefix("file://")), version)
backend = FeatureStoreBackend(product.shape, Path(root) / product.name / "feast")
inputs = predictor.inputs(rows, backend.online(rows))
named = json.loads(inputs.to_json(orient="records", double_precision=15))
for name in inputs.select_dtypes("category"):
    inputs[name] = inputs[name].cat.codes.astype("float64").where(inputs[name].notna())
inputs = inputs.astype("float64")
ready = [[None if value != value else value for value in row] for row in inputs.to_numpy().tolist()]
booster = getattr(predictor.model.model, "booster", predictor.model.model)
trees = booster.model_to_string().rpartition("pandas_categorical:")[0] + "pandas_categorical:null\\n"
mlflow.lightgbm.save_model(lightgbm.Booster(model_str=trees), folder / "mlflow_model",
                           signature=mlflow.models.infer_signature(inputs))
answers = [float(value) for value in predictor.predict(rows, backend.online(rows))]
sent = json.loads(rows.to_json(orient="records", date_format="iso"))
(folder / "requests.json").write_text(json.dumps({"rows": sent, "inputs": ready, "columns": [*inputs],
                                                     "answers": answers, "root": root, "named": named,
    "scoring": scoring_of(product.name, product.problem, Path(model.uri.removeprefix("file://"))).model_dump_json()}))
"""
# The same features in Redis, from the same offline files.
TO_REDIS = """
import sys
sys.path.insert(0, sys.argv[1])
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from flight_delay import replay
from flight_delay.product import product
from pathlib import Path

store = FeatureStoreBackend(product.shape, Path(sys.argv[2]), {"type": "redis", "connection_string": sys.argv[3]})
store.apply()
for interval in map(replay.month, ("2013-01", "2013-02")):
    store.materialize(interval)
"""
# Another version of the same model goes live.
SWAP = """
import sys
sys.path.insert(0, sys.argv[1])
from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger

store = open_store(sys.argv[2])
ledger = Ledger(store, "flight_delay")
number = max(entry.version.version for entry in ledger.entries()) + 1
version = ledger.live().model_copy(update={"version": number})
for status in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY):
    ledger.move(version, status, reason="to be swapped", by="benchmark")
releases.request(store, "flight_delay", releases.Release.of(version))
"""
