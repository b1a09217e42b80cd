"""DAGs without a product, run as ``airflow dags test`` does, in an Airflow of their own; and what came of each task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.references import Report
from tests.factories.page_worlds import airflow_process

#: Kept by each task that fails: why.
_HEAD = """
def _keep(context):
    from pathlib import Path
    from airflow.sdk import get_current_context
    Path({folder!r}, context["ti"].task_id + ".error").write_text(str(context.get("exception")))

DEFAULTS = {{"retries": 0, "on_failure_callback": _keep}}
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a task: its state, what it handed on, why it failed, and whether finished work was found."""

    state: str
    value: Any
    error: str
    label: str

    @property
    def report(self) -> Report:
        """The report that it handed on."""
        return Report.model_validate(self.value)

    @property
    def page(self) -> str:
        """The report's page."""
        return self.file(str(self.report.page)).read_text("utf-8")

    def file(self, name: str) -> Path:
        """Return a file of the report."""
        return Path(self.report.uri.removeprefix("file://")) / name


class DagRuns:
    """An Airflow in which tests run DAGs, one file each."""

    def __init__(self, folder: Path, process: Any) -> None:
        self.folder, self._process, self._number = folder, process, 0

    def run(self, dag_id: str, text: str, date: str | None = None) -> dict[str, Outcome]:
        """Run a DAG, and return its tasks by name, mapped ones with their number.

        :param text: its file, which may use ``DEFAULTS`` as its ``default_args``.
        """
        self._number += 1
        file = self.folder / f"dag_{self._number}.py"
        kept = self.folder / f"kept_{self._number}"
        kept.mkdir()
        file.write_text(_HEAD.format(folder=str(kept)) + text)
        outcomes: dict[str, Outcome] = self._process.submit(_run, file, dag_id, date, kept).result()
        return outcomes


@contextmanager
def dag_runs(home: Path, folder: Path, **env: str) -> Iterator[DagRuns]:
    """Give an Airflow whose artifact root is in a folder. :param env: further environment variables."""
    process = airflow_process(home, AIRFLOW__MLOPS__ARTIFACT_ROOT=str(folder / "artifacts"), **env)
    try:
        yield DagRuns(folder, process)
    finally:
        process.shutdown()


def _run(file: Path, dag_id: str, date: str | None, kept: Path) -> dict[str, Outcome]:
    from shutil import copy

    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.xcom import XComModel
    from airflow.sdk.timezone import parse
    from airflow.utils.session import create_session

    dags = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    dags.mkdir(exist_ok=True)
    parsed = Path(copy(file, dags))
    try:
        bag = DagBag(str(parsed))
        assert bag.import_errors == {}, bag.import_errors
        run = bag.dags[dag_id].test(logical_date=parse(date) if date else None)
    finally:
        parsed.unlink()
    outcomes = {}
    with create_session() as session:
        for ti in run.get_task_instances(session=session):
            which = {"dag_ids": [dag_id], "task_ids": [ti.task_id], "map_indexes": ti.map_index, "key": "return_value"}
            entry = session.scalars(XComModel.get_many(run_id=run.run_id, **which)).first()
            error = kept / f"{ti.task_id}.error"
            name = ti.task_id if ti.map_index < 0 else f"{ti.task_id} {ti.map_index}"
            outcomes[name] = Outcome(
                str(ti.state),
                XComModel.deserialize_value(entry) if entry else None,
                error.read_text() if error.exists() else "",
                str(ti.rendered_map_index or ""),
            )
    return outcomes
