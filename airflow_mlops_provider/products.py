"""Where DAG files find the products to make pipelines for."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import conf

from airflow_mlops_provider.backends.code import find_products
from airflow_mlops_provider.lifecycle.product import MLProduct


def products(dag_file: str) -> list[MLProduct]:
    """Return the products beside a DAG file and in ``[mlops] products_folders``, by name.

    :param dag_file: the DAG file's ``__file__``.
    """
    further = conf.get("mlops", "products_folders", fallback="")
    folders = [Path(folder.strip()) for folder in further.split(",") if folder.strip()]
    return list(find_products(Path(dag_file).parent, *folders))
