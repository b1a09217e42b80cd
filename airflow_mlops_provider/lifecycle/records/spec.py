"""Job specifications: what is to be done, on what, for whom; never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.plain import Params
from airflow_mlops_provider.lifecycle.references import AnyReference, list_hash


class Repository(Frozen):
    """The git repository that a product's code is kept in. An address only, as all services are.

    :param remote: where it is, as git takes it, without credentials.
    :param forge: whose API opens pull requests there; ``plain`` for a remote that only speaks git.
    :param base: the branch that production follows; None for the remote's own default.
    :param path: the product's folder in it.
    :param api: root of the forge's API; None for where that forge has it.
    """

    remote: str
    forge: Literal["plain", "github", "gitlab", "gitea"] = "plain"
    base: str | None = None
    path: str
    api: str | None = None


class Services(Frozen):
    """Where the backends are. Addresses only: credentials reach the job through its environment.

    :param landing: root below which sources deliver.
    :param mlflow: MLflow tracking and registry URI.
    :param online_store: Feast online store settings, ``{"type": "sqlite"}`` by default.
    :param model_server: base URL of the product's model server.
    :param source: the product's repository; told only to the jobs that write to it.
    :param search: SQLAlchemy URL of the database of searches; told only to the jobs that work on them.
    """

    landing: str
    mlflow: str
    online_store: dict[str, Any] = {"type": "sqlite"}
    model_server: str | None = None
    source: Repository | None = None
    search: str | None = None


class RunIdentity(Frozen):
    """The Airflow task instance on whose behalf a job runs; all empty outside Airflow."""

    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0

    @classmethod
    def of(cls, ti: Any) -> Self:
        """Return who an Airflow task instance is; ``map_index`` is None for one that is not mapped."""
        ids = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "try_number")}
        return cls(**ids, map_index=-1 if ti.map_index is None else ti.map_index)

    @property
    def path(self) -> str:
        """``dag/run/task``, as ledger and requests name it; empty outside Airflow."""
        return f"{self.dag_id}/{self.run_id}/{self.task_id}" if self.dag_id else ""

    def same_task(self, other: RunIdentity) -> bool:
        """Say whether two tries are of the same task of the same run."""
        return self.model_copy(update={"try_number": other.try_number}) == other


class JobSpec(Frozen):
    """One job, completely described: whoever has this and the users' functions can run it.

    :param job: the name of a job of ours, or ``package.module:function`` of another.
    :param product: the name under which results, records and versions are kept.
    :param inputs: references by role; where a role takes several, a tuple, or one reference to a list of them.
    :param settings: what the product declares for this job, by value, plain JSON.
    :param params: what this run asks for, plain JSON.
    :param requires: distributions that the product's trainers declare: of one that is missing, the error tells the line
        that installs it.
    :param upstream: the task that handed on a role's references, ``dag/run/task``.
    :param root: URI of the artifact root.
    :param force: run even if finished work is found.
    """

    job: str
    product: str
    interval: Interval | None = None
    inputs: dict[str, AnyReference | tuple[AnyReference, ...]] = {}
    settings: Params = {}
    params: Params = {}
    requires: tuple[str, ...] = ()
    upstream: dict[str, str] = {}
    root: str
    services: Services
    run: RunIdentity = RunIdentity()
    force: bool = False

    @property
    def name(self) -> str:
        """The job's name, and that of the folder of its results."""
        return self.job.rpartition(":")[2]

    def references(self) -> Iterator[AnyReference]:
        """Yield all inputs, those of a tuple each by itself."""
        for given in self.inputs.values():
            yield from given if isinstance(given, tuple) else (given,)

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: everything but where it lies, who asked, and where backends are."""
        inputs = {
            role: list_hash(given) if isinstance(given, tuple) else given.hash for role, given in self.inputs.items()
        }
        return {
            "job": self.job,
            "product": self.product,
            "interval": self.interval.to_json() if self.interval else None,
            "inputs": inputs,
            "settings": self.settings,
            "params": self.params,
        }
