"""What the jobs of a search share: its study, its run in MLflow, and the record of why it stopped."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.tracking.mlflow.search import MlflowSearch
from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.lifecycle.code import named_code
from airflow_mlops_provider.lifecycle.frozen import Frozen, digest
from airflow_mlops_provider.lifecycle.search.declaration import Criteria
from airflow_mlops_provider.lifecycle.search.trials import Stop
from airflow_mlops_provider.runtime import code
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.intervals import Store

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy


class StopRecord(Frozen):
    """Why a search takes no further trial: kept once, and found by whoever comes after."""

    study: str
    criteria: Criteria
    stop: Stop


def study_of(context: AnyContext, name: str) -> SearchStudy:
    """Return a study in the database that holds the searches."""
    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

    if context.spec.services.search is None:
        raise ConfigurationError("this job was not told the database of searches; run it by its operator")
    return SearchStudy(name, context.spec.services.search)


def mlflow_of(context: AnyContext, study: str) -> MlflowSearch:
    """Return MLflow's view of a study."""
    return MlflowSearch(context.spec.services.mlflow, f"{context.store.uri}/mlflow", context.product, study)


def code_of(context: AnyContext) -> dict[str, str]:
    """Return the hash of each source file that decides what the trials of a search give."""
    names = {name.partition(":")[0] for _, name in named_code((context.settings.algorithms, context.settings.scoring))}
    return {module: code.source_hash(module) for module in sorted(set().union(*map(code.closure, names)))}


def check_code(known: dict[str, str], context: AnyContext) -> None:
    """Make sure that a trial would run the code that the search was opened with.

    :raises ConfigurationError: naming the modules that were changed since.
    """
    now = code_of(context)
    changed = sorted(module for module in known.keys() | now.keys() if known.get(module) != now.get(module))
    if changed:
        raise ConfigurationError(
            f"{', '.join(changed)} changed since this search was opened: its trials can't be compared; start another"
        )


def keep_stop(store: Store, product: str, record: StopRecord) -> None:
    """Keep why a search stopped; what was kept first stands."""
    with suppress(ConflictError):  # it is the same: it follows from the trials
        store.write_new(_key(product, record.study, record.criteria), record.model_dump_json(indent=1).encode())


def kept_stop(store: Store, product: str, study: str, criteria: Criteria) -> Stop | None:
    """Return why a search stopped, as it was kept; None while it goes on."""
    try:
        return StopRecord.model_validate_json(store.read(_key(product, study, criteria))).stop
    except FileNotFoundError:
        return None


def _key(product: str, study: str, criteria: Criteria) -> str:
    return f"{product}/searches/{study}/{digest(criteria.to_json())[:16]}.json"
