"""``airflow mlops forget``: takes the rows of entities out of all that is kept, and shows that none is left."""

from __future__ import annotations

import getpass
import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_mlops_provider import discovery
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.erasure import parse_entity
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.storage.artifacts import ArtifactStore, open_store
from airflow_mlops_provider.storage.erasures import Erasures
from airflow_mlops_provider.storage.records import declared

STDIN = "-"


def run(args: Namespace) -> bool:
    """Forget what is named, or list the requests; return whether nothing is left of anybody."""
    store, entities = ArtifactStoreHook().store(), _entities(args)
    products = _products(store, args.product, {column for entity in entities for column in entity})
    if not entities:
        _show_requests(store, products, as_json=args.json)
        return True
    names = ", ".join(product.name for product in products)
    if not args.yes and not _confirmed(f"take out all rows of {len(entities)} entities from {names}, for good?"):
        print("nothing was done", file=sys.stderr)
        return False
    reports = {product.name: forget(product, entities, args.reason or "", args.log) for product in products}
    if args.json:
        print(json.dumps({name: report.to_json() for name, report in reports.items()}, indent=1))
    else:
        _show_reports(reports)
    return all(report.passed for report in reports.values())


def forget(product: MLProduct, entities: Sequence[Mapping[str, str]], reason: str, log: str | None) -> Report:
    """Keep the request, do the work in this process, and return its report."""
    from airflow_mlops_provider.runtime.definition import find_job
    from airflow_mlops_provider.runtime.runner import run as run_job

    addresses, root, secrets = services(product.name)
    os.environ.update(secrets)
    request = Erasures(open_store(root, secrets), product.name).ask(entities, getpass.getuser(), reason)
    parts = find_job("forget").parts_of(product, {"requests": [request.key], "log": log})
    manifest = run_job(JobSpec(job="forget", product=product.name, root=root, services=addresses, **parts))
    if manifest.failure:
        raise ConfigurationError(f"{product.name}: {manifest.failure.message}; the request is kept: run it again")
    assert isinstance(manifest.result, Report)
    return manifest.result


def _entities(args: Namespace) -> list[dict[str, str]]:
    """Return the entities that are named, or stand in a file, one on each line: what a shell is told, it remembers."""
    lines = [*args.entities]
    if args.file:
        text = sys.stdin.read() if args.file == STDIN else Path(args.file).read_text("utf-8")
        lines += [line for line in text.splitlines() if line.strip()]
    return [parse_entity(line) for line in lines]


def _products(store: ArtifactStore, named: Sequence[str], columns: set[str]) -> list[MLProduct]:
    """Return the products named, else all that know such a column. :raises UnknownNameError: if none does."""
    if named:
        return [discovery.known_product(store, name) for name in named]
    every = declared(store)
    chosen = [product for product in every if not columns or columns & product.columns]
    if not chosen and columns:
        raise UnknownNameError(
            "column", ", ".join(sorted(columns)), {name for product in every for name in product.columns}
        )
    return chosen


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody is there to be asked; say --yes to take rows out for good")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _show_reports(reports: Mapping[str, Report]) -> None:
    for name, report in reports.items():
        facts: dict[str, Any] = report.facts
        searched, rows = facts["searched"], facts["rows"]
        listed = [(where, rows.get(where, 0), searched.get(where, 0)) for where in sorted({*searched, *rows})]
        console().print(
            table((name, "taken out", "files in the last search"), [tuple(map(str, row)) for row in listed])
        )
        print(f"models that saw them: {', '.join(facts['models']) or 'none'}")
        if facts["deliveries"]:
            print(f"deliveries that hold them, and are read without them: {', '.join(facts['deliveries'])}")
        print("\n".join([*facts["notes"], *report.broken]) or "nothing is left")
        print(f"{report.uri}/{report.page}")


def _show_requests(store: ArtifactStore, products: Sequence[MLProduct], *, as_json: bool) -> None:
    requests = [(product.name, request) for product in products for request in Erasures(store, product.name).all()]
    if as_json:
        print(json.dumps([{"product": name, **request.to_json()} for name, request in requests], indent=1))
    elif requests:
        rows = [
            (
                name,
                r.key,
                f"{r.at:%F %T}",
                ", ".join(sorted(r.columns)),
                r.by,
                r.reason,
                "yes" if r.settled else "no",
            )
            for name, r in requests
        ]
        head = ("product", "request", "asked (UTC)", "columns", "by", "because", "settled")
        console().print(table(head, rows))
    else:
        print("nobody was to be forgotten; name an entity: airflow mlops forget customer=4711")
