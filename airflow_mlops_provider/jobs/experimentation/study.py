"""What the jobs of a search share: its study, its run in MLflow, and the record of why it stopped."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Annotated

from airflow_mlops_provider.backends.tracking.mlflow.search import MlflowSearch
from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.lifecycle.frozen import Frozen, digest
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Criteria, algorithm_of
from airflow_mlops_provider.lifecycle.search.trials import Stop, stop
from airflow_mlops_provider.lifecycle.trainer import Function, named_code
from airflow_mlops_provider.runtime import code
from airflow_mlops_provider.runtime.arguments import JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import read_record


class SearchSettings(JobSettings):
    """What every job of a search takes of a product."""

    metric: Metric
    algorithms: Annotated[tuple[Algorithm, ...], ProductField("search.algorithms")]
    seed: Annotated[int, ProductField("search.seed")]


class StudyParams(JobParams):
    """What every job on a study is given of a run."""

    study: str
    criteria: Criteria


class OpenedSearch(Frozen):
    """What a search was opened with, as its study keeps it.

    :param cut: when the validation rows begin.
    :param algorithms, left_out: names of those that are tried, and why others are not.
    :param baseline: the metric of the naive prediction on the validation rows.
    :param current: the slot that tries the pipeline's own settings; None if the space does not hold them.
    :param code: the hash of each source file that decides what the trials give.
    :param run_id: the search's run in MLflow.
    """

    study: str
    rows: dict[str, int]
    cut: str
    algorithms: tuple[str, ...]
    left_out: dict[str, str]
    baseline: float
    current: int | None
    code: dict[str, str]
    run_id: str


class StopRecord(Frozen):
    """Why a search takes no further trial: written once, and read by the tasks that come after."""

    study: str
    criteria: Criteria
    stop: Stop


class RunningSearch:
    """A search, as its jobs see it: its study in the database, and its run in MLflow.

    :param context: a job's whose settings are :class:`SearchSettings`, and whose params have ``criteria``.
    :param name: the study's.
    :raises ConfigurationError: if the job was not given the database.
    """

    def __init__(self, context: AnyContext, name: str) -> None:
        from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

        services, self.context = context.spec.services, context
        if services.search is None:
            raise ConfigurationError("this job was not given the database of searches; run it by its operator")
        self.study = SearchStudy(name, services.search, maximize=context.settings.metric.higher_is_better)
        self.mlflow = MlflowSearch(services.mlflow, f"{context.store.uri}/mlflow", context.product, name)

    @cached_property
    def opened(self) -> OpenedSearch:
        """What it was opened with."""
        return OpenedSearch.model_validate(self.study.facts(), extra="ignore")  # its end is noted beside it

    @property
    def algorithms(self) -> list[Algorithm]:
        """The algorithms that it tries: the declared ones, but for those that were left out."""
        return [algorithm_of(self.context.settings.algorithms, name) for name in self.opened.algorithms]

    def check_code(self) -> None:
        """Make sure that a trial would run the code that the search was opened with.

        :raises ConfigurationError: naming the modules that were changed since.
        """
        known, now = self.opened.code, code_of(self.context)
        changed = sorted(module for module in known.keys() | now.keys() if known.get(module) != now.get(module))
        if changed:
            raise ConfigurationError(
                f"{', '.join(changed)} changed since this search was opened: its trials can't be compared; open another"
            )

    def decide(self) -> Stop | None:
        """Return why it takes no further trial, and keep that for the tasks to come; None if it goes on."""
        criteria, context = self.context.params.criteria, self.context
        decision = stop(criteria, self.study.trials(), context.settings.metric)
        if decision:
            save_stop(context.store, context.product, self.study.name, criteria, decision)
        return decision


def code_of(context: AnyContext) -> dict[str, str]:
    """Return the hash of each of the user's source files, and functions, that decides what a search's trials give."""
    deciding = context.settings.algorithms, context.settings.scoring
    written = [algorithm.code for algorithm in context.settings.algorithms if isinstance(algorithm.code, Function)]
    files = code.source_hashes({name.partition(":")[0] for _, name in named_code(deciding)})
    return {**files, **{function.name: digest(function.source) for function in written if function.source}}


def save_stop(store: ArtifactStore, product: str, study: str, criteria: Criteria, decision: Stop) -> None:
    """Keep why a search stopped, for :func:`load_stop`; what was kept first is not replaced."""
    record = StopRecord(study=study, criteria=criteria, stop=decision)
    with suppress(ConflictError):  # it is the same: it follows from the trials
        store.write_new(_key(product, study, criteria), record.to_file())


def load_stop(store: ArtifactStore, product: str, study: str, criteria: Criteria) -> Stop | None:
    """Return why a search stopped; None while it goes on."""
    try:
        return read_record(store, _key(product, study, criteria), StopRecord).stop
    except FileNotFoundError:
        return None


def _key(product: str, study: str, criteria: Criteria) -> str:
    return product_key(product, "searches", study, f"{digest(criteria.to_json())[:16]}.json")
