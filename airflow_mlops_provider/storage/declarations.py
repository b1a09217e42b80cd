"""Each product's declaration, kept beside its results: who reads those need not run the product's code."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.storage.intervals import Store
from airflow_mlops_provider.storage.record_files import read_kept

FOLDER = "_products"  # no product's name begins with an underscore


def declare(store: Store, product: MLProduct) -> None:
    """Keep a product's declaration as it now is; nothing is written if it is the one that was kept."""
    key, data = f"{FOLDER}/{product.name}.json", product.to_file()
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
    found = (read_kept(store, key, MLProduct) for key in store.list(FOLDER))
    return [product for product in found if product]
