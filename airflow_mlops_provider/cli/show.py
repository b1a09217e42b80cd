"""``airflow mlops show``: a product's declaration with every default."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from airflow_mlops_provider import discovery
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.render.terminal import console, table


def run(args: Namespace) -> None:
    """Print a product, a line a field: as it was declared, or as it is by default.

    :raises UnknownNameError: if there is none of that name; lists those that there are.
    """
    errors: list[str] = []
    known = {product.name: product for product in discovery.products(discovery.product_folders(args.dags), errors)}
    if args.product not in known:
        raise UnknownNameError("product", args.product, known)
    product = known[args.product]
    if args.json:
        print(json.dumps({**product.to_json(), "metric": product.metric.to_json()}, indent=1))
        return
    console().print(table(("field", "value", ""), lines(product)))


def lines(product: MLProduct) -> Iterator[tuple[str, str, str]]:
    """Yield each field's path, its value, and whether that is a default."""
    yield from _lines(product, "", given=True)
    if product.evaluation.metric is None:
        yield "evaluation.metric", f"{product.metric.name}, as of every {product.problem}", "default"


def _lines(value: BaseModel, path: str, *, given: bool) -> Iterator[tuple[str, str, str]]:
    for name in type(value).model_fields:
        inner, own = getattr(value, name), given and name in value.model_fields_set
        yield from _field(f"{path}{name}", inner, own)


def _field(path: str, value: Any, given: bool) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, BaseModel):
        yield from _lines(value, f"{path}.", given=given)
    elif isinstance(value, tuple) and any(isinstance(part, BaseModel) for part in value):
        for number, part in enumerate(value):
            yield from _field(f"{path}[{getattr(part, 'name', number)}]", part, given)
    elif path != "evaluation.metric" or value is not None:
        yield path, _text(value), "" if given else "default"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None or value == "" else str(value)
