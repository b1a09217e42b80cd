"""Holds what a model server answers against batch prediction of the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.http import client
from airflow_mlops_provider.exceptions import BackendError, DeploymentError
from airflow_mlops_provider.jobs.tables import EXAMPLES
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.scoring.predictor import Predictor


def compare(scoring: Scoring, root: Path, live: ModelVersion, features: Dataset, most: int) -> int:
    """Ask for the first examples of an interval, and return how many were answered as batch prediction has them.

    :param live: the version that is served; where, it says.
    :param most: how many at most.
    :raises DeploymentError: naming the first row that is answered otherwise, or another version that answers.
    """
    file = Path(features.uri.removeprefix("file://")) / f"{EXAMPLES}.parquet"
    given = pd.read_parquet(file).head(most).reset_index(drop=True)[[*scoring.row_columns]]
    stored = pd.DataFrame(index=given.index)
    if scoring.views:  # as of the interval's end: the online store has no earlier ones
        assert features.interval is not None
        given = given.assign(event_time=pd.Timestamp(features.interval.end))
        stored = FeatureStoreBackend(scoring, root / scoring.name / "feast").historical(given)
    predictor = Predictor.load(scoring, Path(live.uri.removeprefix("file://")), live)
    expected = predictor.problem.answers(predictor.predict(given, stored[[*scoring.feature_types]]))
    answers = _ask(str(live.facts["url"]), given)
    if answers["version"] != live.version:
        raise DeploymentError(f"version {answers['version']} answers, and not {live.version}")
    for number, (row, batch) in enumerate(zip(answers["predictions"], expected, strict=True)):
        rest = {name: value for name, value in row.items() if name != "id"}
        if rest != batch:
            raise DeploymentError(f"row {number}: the server answers {rest}, batch prediction says {batch}")
    return len(expected)


def _ask(url: str, rows: pd.DataFrame) -> dict[str, Any]:
    sent = json.loads(rows.to_json(orient="records", date_format="iso", date_unit="us"))
    try:
        with client(url, None, None, 60) as server:
            answer = server.post("/predict", json={"rows": sent})
            answer.raise_for_status()
            return answer.json()  # type: ignore[no-any-return]
    except httpx.HTTPError as error:
        raise BackendError(f"the model server at {url} does not answer: {error}") from None
