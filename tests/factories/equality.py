"""A model by itself, asked in every protocol of the model server and in batch: the same bits."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.problem import AnyProblem
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.problems.multiclass_classification import MulticlassClassification
from airflow_mlops_provider.problems.regression import Regression
from airflow_mlops_provider.scoring.as_they_are import scoring_of
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.model_alone import ModelAlone, NoFeatures
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.storage.artifacts import content_hash
from tests.factories.protocols import WAYS, Answers, Row, columns_of
from tests.factories.rpc import infer, listening, raw, tensors
from tests.factories.serving import NAME, enter, request_release

MODEL, CALLERS = NAME, 16


def check_protocols(saved: Path, features: pd.DataFrame, folder: Path, count: int) -> None:
    """Serve a model, and ask for some rows in each way. :param features: rows that it takes."""
    import grpc

    saved = shutil.copytree(saved, folder / "served")  # below the root, wherever a test keeps it
    version = ModelVersion(name=MODEL, version=1, uri=saved.as_uri(), hash=content_hash(saved))
    problem, predictor = fitting(saved, version, features)
    rows = varied(features, count)
    expected = batch(predictor, rows)
    enter(folder, version, Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY)
    request_release(folder, Release.of(version))
    product = ModelAlone(scoring=scoring_of(MODEL, problem, saved))
    served = ModelServer(product, str(folder), NoFeatures, folder / "log", poll=0.05, ready_within=120)
    limits = httpx.Limits(max_connections=CALLERS)
    with (
        listening(served, token="") as ports,
        httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False, timeout=120, limits=limits) as client,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc}", [("grpc.max_receive_message_length", -1)]) as channel,
    ):
        ways: dict[str, Callable[[Sequence[Row]], Answers]] = {
            **{name: lambda rows, ask=ask: ask(client, MODEL, rows) for name, ask in WAYS.items()},
            "grpc": lambda rows: infer(channel, tensors(rows, MODEL)),
            "grpc_raw": lambda rows: infer(channel, raw(rows, MODEL)),
            "mlflow_client": lambda rows: by_mlflow(ports.http, rows),
        }
        for name, ask in ways.items():
            for some in (slice(None), slice(0, 1), slice(3, 103)):
                assert ask(rows[some]) == [values[some] for values in expected], (name, some)
            # The time is the one column that callers of such a model may leave out.
            timed = [{**row, EVENT_TIME: "2024-05-06T07:08:09+00:00"} for row in rows[:20]]
            assert ask(timed) == [values[:20] for values in expected], (name, "with its time")
        check_at_once(ways, rows, expected)


def check_at_once(ways: dict[str, Callable[[Sequence[Row]], Answers]], rows: list[Row], expected: Answers) -> None:
    """Have many callers ask at the same time, each in any way for any of the rows."""
    together = threading.Barrier(CALLERS)

    def call(seed: int) -> None:
        chance = random.Random(seed)
        together.wait(60)
        for _ in range(8):
            name, size = chance.choice([*ways]), chance.choice((1, 1, 7, 100))
            start = chance.randrange(max(1, len(rows) - size))
            some = slice(start, start + size)
            assert ways[name](rows[some]) == [values[some] for values in expected], (name, some)

    with ThreadPoolExecutor(CALLERS) as pool:
        assert [*pool.map(call, range(CALLERS))] == [None] * CALLERS


def fitting(saved: Path, version: ModelVersion, features: pd.DataFrame) -> tuple[AnyProblem, Predictor]:
    """Return a kind of problem whose predictions a model's are, and what predicts in batch."""
    several = ("a", "b", "c")
    kinds = (Regression(), MulticlassClassification(classes=several), *map(quantiles, (2, 3)))
    for problem in kinds:
        predictor = Predictor.load(scoring_of(MODEL, problem, saved), saved, version)
        try:
            batch(predictor, varied(features, 20))
        except ConfigurationError:
            continue
        return problem, predictor
    raise AssertionError("no kind of problem fits")


def quantiles(count: int) -> Regression:
    """Return a problem of so many quantiles."""
    return Regression(quantiles=((0.1, 0.9), (0.1, 0.5, 0.9))[count - 2])


def varied(features: pd.DataFrame, count: int) -> list[Row]:
    """Return so many rows as JSON has them: numbers somewhat other each time; gaps are null."""
    chance = np.random.default_rng(7)
    frame = features.iloc[chance.integers(0, len(features), count)].reset_index(drop=True)
    for name, values in frame.items():
        if values.dtype.kind in "if" and name != "ds":
            frame[name] = values.astype("float64") * (1 + chance.normal(size=count) / 100)
    plain = frame.astype(object).where(frame.notna(), None)
    rows: list[Row] = plain.to_dict("records")
    return rows


def batch(predictor: Predictor, rows: Sequence[Row]) -> Answers:
    """Return what batch scoring makes of rows, by field."""
    types = {name: "float64" if kind == "float64" else object for name, kind in predictor.shape.request.items()}
    frame = pd.DataFrame([*rows]).astype(types).assign(event_time=pd.Timestamp("2024-01-01", tz="UTC"))
    scores = predictor.predict(frame, pd.DataFrame(index=frame.index))
    return columns_of(problems.find(predictor.shape.problem).answers(scores))


def by_mlflow(port: int, rows: Sequence[Row]) -> Answers:
    """Ask with MLflow's own client."""
    client = ScoringServerClient("127.0.0.1", port)
    client.ping()
    answered: Any = client.invoke(pd.DataFrame([*rows]))["predictions"]
    return columns_of(answered)
