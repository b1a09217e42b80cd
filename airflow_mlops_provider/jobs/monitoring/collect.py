"""Collects what model servers answered over REST in a data interval, from the logs that they keep."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, BaseModel, ValidationError
from pydantic_core import to_json

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.model_server.launcher import log_folder
from airflow_mlops_provider.backends.tables.entities import ForgottenEntities
from airflow_mlops_provider.jobs.tables import INPUTS, PREDICTIONS
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems.base import Problem
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import AnyContext, JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.serving.log_files import may_hold
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema
from airflow_mlops_provider.storage.artifacts import open_store

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class Settings(JobSettings):
    shape: Shape


class Params(JobParams):
    """:param log: the folder or bucket with the servers' logs, in place of where they lie by default."""

    log: str | None = None


class Line(BaseModel):
    """A line of a log."""

    id: str
    row: Any  # as the schema reads it
    inputs: dict[str, Any]
    prediction: float | list[float]
    version: int
    predicted_at: AwareDatetime
    shadow: bool = False


Context = JobContext[JobInputs, Settings, Params]


@job(stage=Stage.MONITORING, makes="served predictions", packages=TABLES, publishes="served", side_effects=True)
def collect(context: Context) -> JobResult:
    """Write ``predictions`` (id, request columns, time, prediction, version, ``predicted_at``) and ``inputs``.

    The two are row by row what callers got and what the model saw, by whichever version, each id once, oldest first.
    Lines that are no records, as a killed server leaves one, are counted, and so are ids that came again.
    """
    schema, log = RequestSchema(context.settings.shape.row_columns), Log(context, context.interval, context.params.log)
    every = sorted(log.records(schema), key=lambda record: record.predicted_at)
    records = [*{record.id: record for record in reversed(every)}.values()][::-1]
    predictions = schema.frame([record.row for record in records])
    predictions.insert(0, "id", [record.id for record in records])
    problem = problems.find(context.settings.shape.problem)
    said = problem.columns(_scores(records, problem))
    context.write(predictions.assign(**said, **_when(records)), PREDICTIONS)
    context.write(_inputs(records).assign(**said), INPUTS)
    versions = Counter(str(record.version) for record in records)
    facts = {"rows": len(records), "versions": dict(sorted(versions.items())), "files": log.files}
    left_out = {"unreadable": dict(log.unreadable), "again": len(every) - len(records)}
    left_out |= {"forgotten": log.forgotten} if log.forgotten else {}
    context.log.info("collected %d predictions of %d files, by version: %s", len(records), len(log.files), versions)
    if any(left_out.values()):
        context.log.warning("left out: %s", left_out)
    return JobResult(facts={**facts, **left_out})


class Log:
    """The files of all servers that may hold an interval's predictions.

    :ivar files: the hash of each that was read. :ivar unreadable: how many lines of which are no record.
    """

    def __init__(self, context: AnyContext, interval: Interval, folder: str | None = None) -> None:
        self.interval = interval
        self.store = open_store(folder or str(log_folder(context.spec.root, context.product)))
        self.files: dict[str, str] = {}
        self.unreadable: Counter[str] = Counter()
        self.forgotten = 0
        self._to_forget = ForgottenEntities.of(context.store, context.product, interval)

    def records(self, schema: RequestSchema, *, shadow: bool = False) -> Iterator[Line]:
        """Yield the records of the interval, file by file. :param shadow: also what nobody was answered."""
        for key in self.store.list(""):
            if not may_hold(key, self.interval):
                continue
            data = self.store.read(key)
            self.files[key] = hashlib.sha256(data).hexdigest()
            for line in data.splitlines():
                record = _record(line, schema)
                if record is None:
                    self.unreadable[key] += 1
                elif record.predicted_at not in self.interval or (record.shadow and not shadow):
                    continue
                elif self._to_forget.by({**record.inputs, **schema.named(record.row)}, record.predicted_at):
                    self.forgotten += 1
                else:
                    yield record


def _record(line: bytes, schema: RequestSchema) -> Line | None:
    try:
        record = Line.model_validate_json(line)
        (row,) = schema.rows(to_json({"rows": [record.row]}))
    except (ValidationError, RequestError):
        return None
    return record.model_copy(update={"row": row})


def _scores(records: list[Line], problem: Problem) -> np.ndarray:
    import numpy as np

    width = len(problem.outputs)
    scores = np.array([record.prediction for record in records], dtype="float64")
    return scores if width == 1 else scores.reshape(len(records), width)


def _when(records: list[Line]) -> dict[str, Any]:
    import pandas as pd

    return {
        "version": pd.Series([record.version for record in records], dtype="int64"),
        "predicted_at": pd.Series([record.predicted_at for record in records], dtype="datetime64[ns, UTC]"),
    }


def _inputs(records: list[Line]) -> pd.DataFrame:
    """Return what the model saw; a column that is text of one version and numbers of another is text."""
    import pandas as pd
    from pandas.api.types import infer_dtype

    frame = pd.DataFrame([record.inputs for record in records], index=range(len(records)))
    for name, values in frame.items():
        if infer_dtype(values, skipna=True).startswith("mixed"):
            frame[name] = values.map(str, na_action="ignore")
    return frame
