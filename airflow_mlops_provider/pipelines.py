"""What the reference pipelines share: the products they are made for, and their common settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, conf

from airflow_mlops_provider.backends.code import find_products
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.places.retries import JobRetryPolicy


def products(dag_file: str) -> list[MLProduct]:
    """Return the products beside a DAG file and in ``[mlops] products_folders``, by name.

    :param dag_file: the DAG file's ``__file__``.
    """
    further = conf.get("mlops", "products_folders", fallback="")
    folders = [Path(folder.strip()) for folder in further.split(",") if folder.strip()]
    return list(find_products(Path(dag_file).parent, *folders))


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
            "owner": product.owners.ml_engineer,
            "retries": 2,
            "retry_delay": delay,
            "retry_policy": JobRetryPolicy(delay),
        },
    }
