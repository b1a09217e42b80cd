"""The commands of ``airflow mlops``: each reads its arguments and calls what does the work."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from rich.table import Table

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.cli.terminal import console
from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError


def _plainly(command: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    """Turn our own errors into one line and exit status 1, instead of a traceback."""

    @wraps(command)
    def run(args: Namespace) -> None:
        try:
            command(args)
        except MLOpsError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        except ImportError as error:
            lacks = missing_extra(error)
            if lacks is None:
                raise
            sys.exit(f"{type(lacks).__name__}: {lacks}")

    return run


@_plainly
def products(args: Namespace) -> None:
    """List the products in reach."""
    from airflow_mlops_provider import pipelines

    found = pipelines.products(str(bundle(args.dags) / "any.py"))
    if args.json:
        print(json.dumps([product.to_json() for product in found], indent=1))
        return
    _table(("product", "goal", "owner"), [(p.name, p.goal, p.owners.ml_engineer) for p in found])


@_plainly
def versions(args: Namespace) -> None:
    """Show a product's model versions: every move and its reason."""
    from airflow_mlops_provider.backends.code import load_product
    from airflow_mlops_provider.backends.ledger import Ledger
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

    entries = Ledger(ArtifactStoreHook().store(), args.product).entries()
    if not entries:
        bundle(None)
        load_product(args.product)  # a mistyped name is not a product without versions
    if args.json:
        print(json.dumps([entry.to_json() for entry in entries], indent=1))
        return
    rows = [(f"{e.at:%F %T}", f"v{e.version.version}", e.status.value, e.reason, e.by) for e in entries]
    _table(("at (UTC)", "version", "became", "because", "by"), rows)


@_plainly
def reproduce(args: Namespace) -> None:
    """Make a model version again from its record; exit status 1 if anything differs."""
    from airflow_mlops_provider.cli.reproduce import run

    bundle(args.dags)
    if not run(args):
        sys.exit(1)


@_plainly
def lineage(args: Namespace) -> None:
    """Show what a model version was made of, or which versions were made of some data."""
    from airflow_mlops_provider.cli.lineage import run

    run(args)


@_plainly
def feedback(args: Namespace) -> None:
    """Show what is asked of data engineering and waits for an answer, or answer it."""
    from airflow_mlops_provider.backends.change_requests import ChangeRequests
    from airflow_mlops_provider.backends.code import load_product
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

    kept = ChangeRequests(ArtifactStoreHook().store(), args.product)
    if args.close:
        answered = kept.close(args.close, args.answer)
        print(f"closed {answered.key}: {answered.what}")
        return
    waiting = kept.open()
    if not waiting:
        bundle(None)
        load_product(args.product)  # a mistyped name is not a product without requests
    if args.json:
        print(json.dumps([{"key": one.key, **one.to_json()} for one in waiting], indent=1))
        return
    if not waiting:
        print(f"nothing is asked of the data engineer of {args.product}")
        return
    rows = [(one.key, f"{one.at:%F %T}", one.to, one.what, one.by, "\n".join(one.evidence)) for one in waiting]
    _table(("request", "at (UTC)", "asked of", "what", "by", "evidence"), rows)


@_plainly
def demo(args: Namespace) -> None:
    """Replay the reference product's months."""
    from airflow_mlops_provider.cli.demo import run

    run(args.home, bundle(args.dags), args.port, args.serving_port, args.months)


@_plainly
def up(args: Namespace) -> None:
    """Start a local Airflow and MLflow and leave them running."""
    from airflow_mlops_provider.cli.demo import start_and_leave

    start_and_leave(args.home, bundle(args.dags), args.port, args.mlflow_port)


@_plainly
def down(args: Namespace) -> None:
    """Stop what ``up`` started."""
    from airflow_mlops_provider.cli.stack import stop_running

    stopped = stop_running(args.home)
    print(f"stopped {', '.join(stopped)}" if stopped else f"nothing was running from {args.home}")


def bundle(folder: Path | None) -> Path:
    """Return the folder of DAG files and put its products in reach: the one named, or the reference bundle.

    In a checkout that is ``dags``; in an installed wheel it lies inside the package.

    :raises ConfigurationError: if the one named is not there.
    """
    import airflow_mlops_provider

    if folder and not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder} of DAG files")
    package = Path(airflow_mlops_provider.__file__).parent
    candidates = [folder] if folder else [package / "reference_dags", package.parent / "dags"]
    chosen = next((candidate for candidate in candidates if candidate.is_dir()), candidates[-1]).resolve()
    if str(chosen) not in sys.path:
        sys.path.append(str(chosen))
    return chosen


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = Table(*head)
    for row in rows:
        table.add_row(*map(str, row))
    console().print(table)
