"""The assets of the loop: what one pipeline updates and another waits for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from airflow_mlops_provider.storage.layout import NAME

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from airflow_mlops_provider.lifecycle.product import MLProduct

SCHEME = "mlops"
KINDS = {
    "features": "features of a new data interval, offline and online",
    "production_ready": "a model version that passed its gates",
    "drift": "a signal that live data, predictions or quality left their limits",
    "data_change": "a request that the data change, addressed to data engineering",
    "predictions": "predictions of a data interval, made in batch",
    "live": "the model version that serves",
}


def features(product: MLProduct) -> Asset:
    """Return the asset that new features update."""
    return _asset(product, "features")


def production_ready(product: MLProduct) -> Asset:
    """Return the asset that a model version updates once it may go into production."""
    return _asset(product, "production_ready")


def drift(product: MLProduct) -> Asset:
    """Return the asset that monitoring updates when limits are crossed."""
    return _asset(product, "drift")


def data_change(product: MLProduct) -> Asset:
    """Return the asset that a request to data engineering updates."""
    return _asset(product, "data_change")


def predictions(product: MLProduct) -> Asset:
    """Return the asset that batch predictions update."""
    return _asset(product, "predictions")


def live(product: MLProduct) -> Asset:
    """Return the asset that a deployment updates."""
    return _asset(product, "live")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return an asset URI ``mlops://<product>/<what>`` in its one form.

    :raises ValueError: for a URI that names no product, or nothing that a product has; the message lists the kinds.
    """
    what = uri.path.strip("/")
    if not re.fullmatch(NAME, uri.netloc) or what not in KINDS:
        raise ValueError(f"{uri.geturl()!r} is no mlops://<product>/<what>; <what> is one of {', '.join(KINDS)}")
    return uri._replace(path=f"/{what}", query="", fragment="")


def _asset(product: MLProduct, what: str) -> Asset:
    from airflow.sdk import Asset

    extra: dict[str, Any] = {"product": product.name, "what": KINDS[what]}
    return Asset(name=f"{product.name}.{what}", uri=f"{SCHEME}://{product.name}/{what}", extra=extra)
