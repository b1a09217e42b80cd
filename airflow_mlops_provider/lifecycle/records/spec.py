"""Job specifications: what is to be done, on what, for whom; never a secret."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.extensions import FORGES
from airflow_mlops_provider.lifecycle.frozen import Frozen, Params
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import AnyReference, list_hash

#: A remote that only speaks git.
PLAIN = "plain"


def checked_forge(name: str) -> str:
    """Return the name of a forge, or :data:`PLAIN`. :raises UnknownNameError: for any other, with those known."""
    try:
        return name if name == PLAIN else FORGES.checked(name)
    except UnknownNameError:
        raise UnknownNameError("forge", name, [PLAIN, *FORGES.known()]) from None


class Repository(Frozen):
    """The git repository that a product's code is kept in, ``path`` in it. An address only, as all services are.

    :param forge: whose API opens pull requests there; ``plain`` for a remote that only speaks git.
    :param base: the branch that production follows; None for the remote's own default.
    :param api: root of the forge's API; None for where that forge has it.
    """

    remote: str
    forge: Annotated[str, AfterValidator(checked_forge)] = PLAIN
    base: str | None = None
    path: str
    api: str | None = None


class Services(Frozen):
    """Where the backends are. Addresses only: credentials reach the job through its environment.

    :param landing: root below which sources deliver.
    :param mlflow: tracking and registry URI; empty for a job that does not use it.
    :param online_store: Feast's settings of it; empty likewise.
    :param source: the product's repository; only in what the jobs get that write to it.
    :param search: SQLAlchemy URL of the database of searches; only in what the jobs get that work on them.
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
    :param settings, params: what the product declares for this job, and what this run asks for, as plain JSON.
    :param requires: what the product's trainers require: of one that is missing, the error tells how to install it.
    :param upstream: the task that handed on a role's references, ``dag/run/task``.
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

    def given(self, role: str) -> tuple[AnyReference, ...]:
        """Return the references that a role was given; none for a role without one."""
        given = self.inputs.get(role, ())
        return given if isinstance(given, tuple) else (given,)

    @property
    def references(self) -> tuple[AnyReference, ...]:
        """The references of all roles."""
        return tuple(reference for role in self.inputs for reference in self.given(role))

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
