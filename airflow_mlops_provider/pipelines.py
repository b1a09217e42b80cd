"""What the reference pipelines share: the products they are made for, and their common settings."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, conf

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.places.retry_policy import JobRetryPolicy
from airflow_mlops_provider.runtime.code import find_products, source_file

log = logging.getLogger(__name__)


def products(dag_file: str) -> list[MLProduct]:
    """Return the products beside a DAG file and in ``[mlops] products_folders``, by name.

    One that cannot be used is left out, with a warning, and takes no other with it; :func:`check_products` raises it.

    :param dag_file: the DAG file's ``__file__``.
    """
    found, errors = _survey(dag_file)
    for error in errors:
        log.warning("left out: %s", error)
    return found


def check_products(dag_file: str) -> None:
    """Say which products :func:`products` leaves out. :raises ConfigurationError: a line for each, with file and line.

    Airflow shows that as an import error of the DAG file that calls this, which had better hold no DAG.
    """
    _, errors = _survey(dag_file)
    if errors:
        raise ConfigurationError("\n".join(errors))


def _survey(dag_file: str) -> tuple[list[MLProduct], list[str]]:
    further = conf.get("mlops", "products_folders", fallback="")
    folders = [Path(folder.strip()) for folder in further.split(",") if folder.strip()]
    errors: list[str] = []
    found = list(find_products(Path(dag_file).parent, *folders, errors=errors))
    wrong = {product.name: problem for product in found if (problem := _schedule_problem(product))}
    return [product for product in found if product.name not in wrong], [*errors, *wrong.values()]


def _schedule_problem(product: MLProduct) -> str | None:
    """Return what Airflow would not take of a product's schedule, and all other DAGs of the file with it."""
    from airflow.exceptions import AirflowTimetableInvalid
    from airflow.timetables.interval import CronDataIntervalTimetable

    try:
        CronDataIntervalTimetable(product.schedule.cron, timezone="UTC").validate()
    except AirflowTimetableInvalid as error:
        return f"{source_file(f'{product.name}.product')}: schedule.cron {product.schedule.cron!r}: {error}"
    return None


def last_start(product: MLProduct) -> datetime | None:
    """Return what Airflow is to take for a DAG's ``end_date``: it lets a run start that begins at that very moment."""
    end = product.schedule.end
    return end and end - timedelta(microseconds=1)


def defaults(product: MLProduct, doc: str | None) -> dict[str, Any]:
    """Return the DAG arguments that all pipelines of a product share.

    Every job finds its finished work again, so that a retry after a lost worker costs only what was not finished.
    """
    force = Param(False, type="boolean", title="Force", description="Do finished work again instead of reusing it.")
    delay = timedelta(seconds=conf.getint("mlops", "retry_seconds", fallback=30))
    return {
        "doc_md": f"**{product.goal}**\n\n{doc}",
        "tags": ["mlops", product.name],
        "params": {"force": force},
        "default_args": {
            "owner": product.business.owners.ml_engineer,
            "retries": 2,
            "retry_delay": delay,
            "retry_policy": JobRetryPolicy(delay),
        },
    }
