"""Where one product's server keeps what must be on this machine: its predictions, its features."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from airflow_mlops_provider.storage.artifacts import FolderStore, open_store


def product_folder(root: str, product: str) -> Path:
    """Return the product's folder below an artifact root; for a bucket, one in this user's cache."""
    store = open_store(root)
    if isinstance(store, FolderStore):
        return store.path(product)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "airflow-mlops" / hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16] / product


def prediction_folder(root: str, product: str) -> Path:
    """Return where a product's REST predictions are recorded."""
    return product_folder(root, product) / "predictions" / "rest"


def feature_folder(root: str, product: str) -> Path:
    """Return where a product's feature store keeps its registry and files."""
    return product_folder(root, product) / "feast"
