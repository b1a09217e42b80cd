"""Where one product's server keeps what must lie on this machine: its process file, its predictions, its features."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urlparse


def product_folder(root: str, product: str) -> Path:
    """Return the product's folder below an artifact root; for a bucket, a folder of this user's that stands for it."""
    parsed = urlparse(root)
    if parsed.scheme == "":
        return Path(root).absolute() / product
    if parsed.scheme == "file":
        return Path(unquote(parsed.path)) / product
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "airflow-mlops" / hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16] / product


def prediction_folder(root: str, product: str) -> Path:
    """Return where a product's REST predictions are recorded."""
    return product_folder(root, product) / "predictions" / "rest"


def feature_folder(root: str, product: str) -> Path:
    """Return where a product's feature store keeps its registry and files."""
    return product_folder(root, product) / "feast"


def process_file(root: str, product: str) -> Path:
    """Return the file that names a product's running server."""
    return product_folder(root, product) / "serving" / "server.json"
