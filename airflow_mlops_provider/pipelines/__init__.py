"""What the reference pipelines share: the products they are made for, and their common settings."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, conf

from airflow_mlops_provider import discovery
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.places.retry_policy import JobRetryPolicy

log = logging.getLogger(__name__)


def products(dag_file: str) -> list[MLProduct]:
    """Return the products beside a DAG file and in ``[mlops] products_folders``, by name.

    One that cannot be used is left out, with a warning, and hides no other; :func:`check_products` raises it.

    :param dag_file: the DAG file's ``__file__``.
    """
    usable, errors = _products(dag_file)
    for error in errors:
        log.warning("left out: %s", error)
    return usable


def check_products(dag_file: str) -> None:
    """Say which products :func:`products` leaves out. :raises ConfigurationError: a line for each, with file and line.

    Airflow shows that as an import error of the DAG file that calls this, which should hold no DAG.
    """
    _, errors = _products(dag_file)
    if errors:
        raise ConfigurationError("\n".join(errors))


def _products(dag_file: str) -> tuple[list[MLProduct], list[str]]:
    errors: list[str] = []
    return discovery.products([Path(dag_file).parent, *discovery.further_folders()], errors), errors


def last_start(product: MLProduct) -> datetime | None:
    """Return a DAG's ``end_date``, just before the schedule's end: Airflow would start a run that begins at it."""
    end = product.schedule.end
    return end and end - timedelta(microseconds=1)


def defaults(product: MLProduct, doc: str | None) -> dict[str, Any]:
    """Return the DAG arguments that all pipelines of a product share.

    Every job reuses its finished work, so that a retry after a lost worker costs only what was not finished.
    """
    force = Param(False, type="boolean", title="Force", description="Do finished work again instead of reusing it.")
    delay = timedelta(seconds=conf.getint("mlops", "retry_seconds", fallback=30))
    return {
        "doc_md": f"**{product.goal}**\n\n{doc}",
        "tags": ["mlops", product.name],
        "params": {"force": force},
        "default_args": {
            "owner": product.owner("ml_engineer"),
            "retries": 2,
            "retry_delay": delay,
            "retry_policy": JobRetryPolicy(delay),
        },
    }
