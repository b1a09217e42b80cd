"""Tables for tasks of one's own: read from what our operators hand on, and handed on to them.

For a plain ``@task``, in anybody's DAG. What is written is believed like what a job made: by the record at its place,
and by its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.lifecycle.interval import Interval, interval_of
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference
from airflow_mlops_provider.runtime import custom_data
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.layout import find_result

if TYPE_CHECKING:
    import pandas as pd


def read_dataset(reference: Any) -> dict[str, pd.DataFrame]:
    """Return a dataset's tables by name.

    :param reference: what a task handed on: an operator of ours, or :func:`write_dataset`.
    :raises IntegrityError: if it is not what the record of its making tells of.
    """
    return custom_data.read(ArtifactStoreHook().store(), parse_reference(reference))


def write_dataset(
    tables: Mapping[str, Any] | Any, *, like: Any = None, made_of: Sequence[Any] = (), product: str | None = None
) -> dict[str, Any]:
    """Keep tables in the artifact root, and return the reference that a task hands on to our operators.

    They lie under an address of their own, which follows from their content and what they were made of: nothing is ever
    replaced, and the same again is the same. The record names the task, so that lineage leads through it.

    :param tables: pandas, PyArrow, Polars, or anything with an Arrow stream, by name; or one alone where ``like`` has
        only one.
    :param like: the dataset whose place they take. Its interval, its facts and the tables that are not given stay.
    :param made_of: what else they were made of. Without ``like``, the first one's interval is theirs, else the run's.
    :param product: the name under which they are kept; by default that of what they were made of.
    :raises ConfigurationError, UnknownNameError, ResultError: for tables that can't be kept, or that ``like`` has not.
    :raises IntegrityError: if what they were made of is not what it claims to be.
    """
    place = None if like is None else parse_reference(like)
    others = tuple(map(parse_reference, made_of))
    given = (*([place] if place else []), *others)
    product = product or _product_of(given)
    addresses, root, secrets = services(product)
    store, (run, interval) = open_store(root, secrets), _here()
    if not isinstance(tables, Mapping):
        tables = {_only_table(list(custom_data.read(store, place)) if place else []): tables}
    spec = JobSpec(
        job=custom_data.CUSTOM,
        product=product,
        interval=next((each.interval for each in given if isinstance(each, Dataset)), interval),
        inputs={**({custom_data.LIKE: place} if place else {}), **({"made_of": others} if others else {})},
        root=root,
        services=addresses,
        run=run,
    )
    return custom_data.keep(store, spec, tables).to_json()


def _here() -> tuple[RunIdentity, Interval | None]:
    """Return the task that this runs in, and its run's interval; outside of a task, nobody and none."""
    from airflow.sdk import get_current_context

    try:
        context = get_current_context()
    except RuntimeError:
        return RunIdentity(), None
    return RunIdentity.of(context["ti"]), interval_of(context)


def _product_of(given: Sequence[AnyReference]) -> str:
    results = (find_result(each.uri) for each in given)
    names = [result.work.partition("/")[0] for result in results if result]
    if not names:
        raise ConfigurationError("nothing that they were made of says whose the tables are: name it with product=")
    return names[0]


def _only_table(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise ConfigurationError(
            f"say which table it is: {{name: table}}; the dataset has {', '.join(names) or 'none'}"
        )
    return names[0]
