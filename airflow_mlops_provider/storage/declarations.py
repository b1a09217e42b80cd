"""Each product's declaration, kept beside its results: who reads those need not run the product's code."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.storage.intervals import Store
from airflow_mlops_provider.storage.layout import DECLARATIONS, declaration_key
from airflow_mlops_provider.storage.record_files import read_all


def declare(store: Store, product: MLProduct) -> None:
    """Keep a product's declaration as it now is; nothing is written if it is the one that was kept."""
    key, data = declaration_key(product.name), product.to_file()
    try:
        known = store.read(key)
    except FileNotFoundError:
        known = b""
    if known != data:
        store.write(key, data)


def declared(store: Store) -> list[MLProduct]:
    """Return the products that have run a job, by name; a declaration that can't be read is left out.

    The product's next job writes it anew.
    """
    return read_all(store, store.list(DECLARATIONS), MLProduct)
