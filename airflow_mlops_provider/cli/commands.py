"""The commands of ``airflow mlops``: each reads its arguments and calls what does the work."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError, UnknownNameError
from airflow_mlops_provider.render.terminal import console

INTERRUPTED = 130


def _plainly(command: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    """Turn our own errors, and files that can't be read or written, into one line and exit status 1."""

    @wraps(command)
    def run(args: Namespace) -> None:
        try:
            command(args)
            sys.stdout.flush()
        except UnknownNameError as error:
            sys.exit(f"{type(error).__name__}: {error}. {_looked(args)}")
        except MLOpsError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        except ImportError as error:
            lacks = missing_extra(error)
            if lacks is None:
                raise
            sys.exit(f"{type(lacks).__name__}: {lacks}")
        except BrokenPipeError:
            # Whoever read has enough, as `head` does: what is still in the buffer must not complain at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    return run


def _looked(args: Namespace) -> str:
    from airflow_mlops_provider.discovery import looked
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

    root = getattr(args, "root", None) or ArtifactStoreHook().settings()["root"]
    return looked(root, getattr(args, "dags", None))


@_plainly
def products(args: Namespace) -> None:
    """List the products in reach."""
    from airflow_mlops_provider import discovery as reach

    broken: list[str] = []
    found, places = reach.products(args.dags, broken), ", ".join(map(str, reach.folders(args.dags)))
    if args.json:
        print(json.dumps([product.to_json() for product in found], indent=1))
    elif found:
        _table(("product", "goal", "owner"), [(p.name, p.goal, p.business.owners.ml_engineer) for p in found])
    count = f"{len(found) or 'no'} product{'s' * (len(found) != 1)} in {places}"
    print(count if found or broken else f"{count}. {ELSEWHERE}", file=sys.stderr)
    if broken:
        sys.exit("\n".join(broken))


ELSEWHERE = (
    "A product is a folder there with a product.py; name another place with --dags, AIRFLOW__MLOPS__PRODUCTS_FOLDERS, "
    "AIRFLOW__CORE__DAGS_FOLDER or, with all its settings, AIRFLOW_HOME"
)


@_plainly
def versions(args: Namespace) -> None:
    """Show a product's model versions: every move and its reason."""
    from airflow_mlops_provider import discovery as reach
    from airflow_mlops_provider.hooks import defaults
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
    from airflow_mlops_provider.storage.ledger import Ledger

    store = ArtifactStoreHook().store()
    product = reach.known(store, args.product)  # a mistyped name is not a product without versions
    entries = Ledger(store, args.product).entries()
    if args.json:
        print(json.dumps([entry.to_json() for entry in entries], indent=1))
    elif entries:
        rows = [(f"{e.at:%F %T}", f"v{e.version.version}", e.status.value, e.reason, e.by) for e in entries]
        _table(("at (UTC)", "version", "became", "because", "by"), rows)
    else:
        steps = reach.first_steps(product, defaults.landing_root(store.uri))
        print(f"{args.product} has no model version in {store.uri}: {steps}")


@_plainly
def reproduce(args: Namespace) -> None:
    """Make a model version again from its record; exit status 1 if anything differs."""
    from airflow_mlops_provider.cli.reproduce import run
    from airflow_mlops_provider.discovery import put_in_reach

    put_in_reach(args.dags)
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
    from airflow_mlops_provider import discovery as reach
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
    from airflow_mlops_provider.storage.change_requests import ChangeRequests

    if args.answer and not args.close:
        raise ConfigurationError("--answer says what became of a request: name the request with --close")
    store = ArtifactStoreHook().store()
    reach.known(store, args.product)  # a mistyped name is not a product without requests
    kept = ChangeRequests(store, args.product)
    if args.close:
        answered = kept.close(args.close, args.answer or "done")
        print(f"closed {answered.key}: {answered.what}")
        return
    waiting = kept.open()
    if args.json:
        print(json.dumps([{"key": one.key, **one.to_json()} for one in waiting], indent=1))
    elif not waiting:
        print(
            f"nothing is asked of the data engineer of {args.product}. Requests come from experiments: the form of "
            f"{args.product}_experimentation takes them, and its search sends its own"
        )
    else:
        rows = [(one.key, f"{one.at:%F %T}", one.to, one.what, one.by, "\n".join(one.evidence)) for one in waiting]
        _table(("request", "at (UTC)", "asked of", "what", "by", "evidence"), rows)


@_plainly
def demo(args: Namespace) -> None:
    """Replay the reference product's months."""
    from airflow_mlops_provider.demo.replay import run
    from airflow_mlops_provider.discovery import bundle

    run(args.home, bundle(args.dags), args.port, args.serving_port, args.months)


@_plainly
def up(args: Namespace) -> None:
    """Start a local Airflow and MLflow and leave them running."""
    from airflow_mlops_provider.demo.up import start_and_leave
    from airflow_mlops_provider.discovery import bundle

    start_and_leave(args.home, bundle(args.dags), args.port, args.mlflow_port, args.serving_port)


@_plainly
def down(args: Namespace) -> None:
    """Stop what ``up`` started: from the home named, else from the one at hand, else from the default one."""
    from airflow_mlops_provider.cli.definition import HOME
    from airflow_mlops_provider.demo.stack import recorded, stop_running

    if args.home and not args.home.is_dir():
        raise ConfigurationError(f"there is no folder {args.home}; give the --home that `airflow mlops up` was given")
    homes = [args.home] if args.home else [Path(os.environ.get("AIRFLOW_HOME") or HOME), HOME]
    home = next((one for one in homes if recorded(one)), homes[-1])
    stopped = stop_running(home)
    if stopped:
        print(f"stopped {', '.join(stopped)} of {home}")
    else:
        where = " or ".join(dict.fromkeys(map(str, homes)))
        print(f"nothing was running from {where}; what `airflow mlops up` started elsewhere is named with --home")


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = Table()
    for name in head:
        table.add_column(name, overflow="fold")  # a run's id cut short could not be looked for
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console().print(table)
