"""The assets of the loop: what one pipeline updates and another waits for."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from airflow_mlops_provider.storage.layout import NAME

if TYPE_CHECKING:
    from airflow.sdk import Asset, AssetAlias

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


def _asset(what: str, product: MLProduct | str) -> Asset:
    from airflow.sdk import Asset

    name = name_of(product)
    extra: dict[str, Any] = {"product": name, "what": KINDS[what]}
    return Asset(name=f"{name}.{what}", uri=f"{SCHEME}://{name}/{what}", extra=extra)


def name_of(product: MLProduct | str) -> str:
    """Return the name of a product that is given as its declaration, or by its name."""
    return product if isinstance(product, str) else product.name


def alias(product: MLProduct | str, name: str) -> AssetAlias:
    """Return an alias through which a task may send an asset event, or stay silent."""
    from airflow.sdk import AssetAlias

    return AssetAlias(f"{name_of(product)}.{name}")


# Each takes a product, or its name, and returns its asset of that kind.
features = partial(_asset, "features")
production_ready = partial(_asset, "production_ready")
drift = partial(_asset, "drift")
data_change = partial(_asset, "data_change")
predictions = partial(_asset, "predictions")
live = partial(_asset, "live")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return an asset URI ``mlops://<product>/<what>`` in its one form.

    :raises ValueError: for a URI that names no product, or nothing that a product has; the message lists the kinds.
    """
    what = uri.path.strip("/")
    if not re.fullmatch(NAME, uri.netloc) or what not in KINDS:
        raise ValueError(f"{uri.geturl()!r} is no mlops://<product>/<what>; <what> is one of {', '.join(KINDS)}")
    return uri._replace(path=f"/{what}", query="", fragment="")
