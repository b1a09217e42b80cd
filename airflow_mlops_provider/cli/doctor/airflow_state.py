"""What Airflow's own database says: which components live, which files can't be read, which DAGs and runs there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow.sdk import conf

from airflow_mlops_provider.exceptions import BackendError

SQLITE = "sqlite:///"


@dataclass(frozen=True)
class AirflowState:
    """What was read.

    :param health: each component's, as ``/api/v2/monitor/health`` says it.
    :param errors: the import errors of DAG files, a line each.
    :param paused: whether a DAG is paused, by its id; one whose file is gone is not among them.
    :param runs: how many there are by DAG id, kind of run and state.
    """

    health: Mapping[str, str | None] = field(default_factory=dict)
    errors: Sequence[str] = ()
    paused: Mapping[str, bool] = field(default_factory=dict)
    runs: Mapping[tuple[str, str, str], int] = field(default_factory=Counter)

    def ran(self, prefix: str, *kinds: str) -> int:
        """Return how many runs of some kinds, of all if none is named, of a product's DAGs succeeded."""
        return sum(
            count
            for (dag_id, kind, state), count in self.runs.items()
            if dag_id.startswith(prefix) and state == "success" and (kind in kinds or not kinds)
        )


def airflow_state() -> AirflowState:
    """Read Airflow's database. :raises BackendError: if there is none, or it does not answer."""
    url = conf.get("database", "sql_alchemy_conn") or ""
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE).partition("?")[0]).exists():
        raise BackendError("Airflow has no database here; AIRFLOW_HOME names the home of the one that is meant")
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _read()
    except SQLAlchemyError as error:
        raise BackendError(f"Airflow's database does not answer: {type(error).__name__}") from None


def _read() -> AirflowState:
    from airflow.api.common.airflow_health import get_airflow_health
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    health = {name: state["status"] for name, state in get_airflow_health().items()}
    with create_session() as session:
        errors = session.execute(select(ParseImportError.filename, ParseImportError.stacktrace)).all()
        paused = session.execute(select(DagModel.dag_id, DagModel.is_paused).where(DagModel.is_stale.is_(False))).all()
        kinds = (DagRun.dag_id, DagRun.run_type, DagRun.state)
        runs = session.execute(select(*kinds, func.count()).group_by(*kinds)).all()
    lines = [f"{name}: {(trace or '').strip().rpartition(chr(10))[2]}" for name, trace in errors]
    counted = {(dag_id, str(kind), str(state)): count for dag_id, kind, state, count in runs}
    return AirflowState(health, lines, {row.dag_id: row.is_paused for row in paused}, counted)
