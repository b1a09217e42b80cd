"""What the jobs of a search share: its study, its run in MLflow, and the record of why it stopped."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.tracking.mlflow.search import MlflowSearch
from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.lifecycle.frozen import Frozen, digest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.search.declaration import Criteria, Search
from airflow_mlops_provider.lifecycle.search.trials import Stop
from airflow_mlops_provider.runtime.address import code_hashes
from airflow_mlops_provider.runtime.context import JobContext
from airflow_mlops_provider.runtime.registry import find_job
from airflow_mlops_provider.storage.intervals import Store
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import read_record

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

JOB = "search"


class StopRecord(Frozen):
    """Why a search takes no further trial: kept once, and found by whoever comes after."""

    study: str
    criteria: Criteria
    stop: Stop


def search_of(product: MLProduct) -> Search:
    """Return what a product's experiments may try. :raises ConfigurationError: if it declares none."""
    if product.search is None:
        raise ConfigurationError(f"product {product.name!r} declares no search; give it search=Search(algorithms=…)")
    return product.search


def criteria_of(context: JobContext) -> Criteria:
    """Return when the search that a job works on stops."""
    return Criteria.model_validate(context.spec.params["criteria"])


def study_of(context: JobContext, name: str) -> SearchStudy:
    """Return a study in the database that holds the searches."""
    from airflow_mlops_provider.backends.search.optuna.study import SearchStudy

    if context.spec.services.search is None:
        raise ConfigurationError("this job was not told the database of searches; run it by its operator")
    return SearchStudy(name, context.spec.services.search)


def mlflow_of(context: JobContext, study: str) -> MlflowSearch:
    """Return MLflow's view of a study."""
    return MlflowSearch(context.spec.services.mlflow, f"{context.store.uri}/mlflow", context.product.name, study)


def code_of(product: MLProduct) -> dict[str, str]:
    """Return the hash of each source file that decides what the trials of a search give."""
    return code_hashes(find_job(JOB), product)


def check_code(known: dict[str, str], product: MLProduct) -> None:
    """Make sure that a trial would run the code that the search was opened with.

    :raises ConfigurationError: naming the modules that were changed since.
    """
    now = code_of(product)
    changed = sorted(module for module in known.keys() | now.keys() if known.get(module) != now.get(module))
    if changed:
        raise ConfigurationError(
            f"{', '.join(changed)} changed since this search was opened: its trials can't be compared; start another"
        )


def keep_stop(store: Store, product: str, record: StopRecord) -> None:
    """Keep why a search stopped; what was kept first stands."""
    with suppress(ConflictError):  # it is the same: it follows from the trials
        store.write_new(_key(product, record.study, record.criteria), record.to_file())


def kept_stop(store: Store, product: str, study: str, criteria: Criteria) -> Stop | None:
    """Return why a search stopped, as it was kept; None while it goes on."""
    try:
        return read_record(store, _key(product, study, criteria), StopRecord).stop
    except FileNotFoundError:
        return None


def _key(product: str, study: str, criteria: Criteria) -> str:
    return product_key(product, "searches", study, f"{digest(criteria.to_json())[:16]}.json")
