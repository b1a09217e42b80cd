"""What the jobs of a search share: its study, its run in MLflow, and the record of why it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.tracking.mlflow.search import MlflowSearch
from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.lifecycle.code import named_code
from airflow_mlops_provider.lifecycle.frozen import Frozen, digest
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Criteria, algorithm_of
from airflow_mlops_provider.lifecycle.search.trials import Stop, stop
from airflow_mlops_provider.lifecycle.sections import Scoring
from airflow_mlops_provider.runtime import code
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import read_record

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

TRAIN, VALIDATE = "train", "validate"


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


def algorithms_of(declared: Sequence[Algorithm], opened: OpenedSearch) -> list[Algorithm]:
    """Return the algorithms that a search tries: the declared ones, but for those that were left out."""
    return [algorithm_of(declared, name) for name in opened.algorithms]


def study_of(context: AnyContext, name: str) -> SearchStudy:
    """Return a study in the database that holds the searches."""
    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

    if context.spec.services.search is None:
        raise ConfigurationError("this job was not given the database of searches; run it by its operator")
    return SearchStudy(name, context.spec.services.search, maximize=context.settings.metric.higher_is_better)


def opened_search(study: SearchStudy) -> OpenedSearch:
    """Return what a search was opened with."""
    return OpenedSearch.model_validate(study.facts(), extra="ignore")  # its end is noted beside it


def mlflow_of(context: AnyContext, study: str) -> MlflowSearch:
    """Return MLflow's view of a study."""
    return MlflowSearch(context.spec.services.mlflow, f"{context.store.uri}/mlflow", context.product, study)


def code_of(algorithms: Sequence[Algorithm], scoring: Scoring) -> dict[str, str]:
    """Return the hash of each of the user's source files that decides what the trials of a search give."""
    return code.source_hashes({name.partition(":")[0] for _, name in named_code((algorithms, scoring))})


def check_code(known: dict[str, str], now: dict[str, str]) -> None:
    """Make sure that a trial would run the code that the search was opened with.

    :raises ConfigurationError: naming the modules that were changed since.
    """
    changed = sorted(module for module in known.keys() | now.keys() if known.get(module) != now.get(module))
    if changed:
        raise ConfigurationError(
            f"{', '.join(changed)} changed since this search was opened: its trials can't be compared; start another"
        )


def decide(context: AnyContext, study: SearchStudy) -> Stop | None:
    """Return why the search takes no further trial, and keep that for the tasks to come; None if it goes on."""
    criteria = context.params.criteria
    decision = stop(criteria, study.trials(), context.settings.metric)
    if decision:
        save_stop(context.store, context.product, study.name, criteria, decision)
    return decision


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
