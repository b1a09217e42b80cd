"""The commands of ``airflow mlops``: each reads its arguments and calls what does the work."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from airflow_mlops_provider import discovery
from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError, UnknownNameError
from airflow_mlops_provider.render.terminal import console, table

INTERRUPTED = 130
NO_PRODUCT = (
    "A product is a folder there with a product.py; name another place with --dags, AIRFLOW__MLOPS__PRODUCTS_FOLDERS, "
    "AIRFLOW__CORE__DAGS_FOLDER or, with all its settings, AIRFLOW_HOME"
)


def _plainly(command: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    """Turn our own errors, and files that can't be read or written, into one line and exit status 1."""

    @wraps(command)
    def run(args: Namespace) -> None:
        try:
            command(args)
            sys.stdout.flush()
        except UnknownNameError as error:
            sys.exit(f"{type(error).__name__}: {error}. {_where_to_look(args)}")
        except MLOpsError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        except ImportError as error:
            missing = missing_extra(error)
            if missing is None:
                raise
            sys.exit(f"{type(missing).__name__}: {missing}")
        except BrokenPipeError:
            # Whoever read has enough, as `head` does: what is still in the buffer must not complain at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    return run


def _where_to_look(args: Namespace) -> str:
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

    root = getattr(args, "root", None) or ArtifactStoreHook().settings()["root"]
    return discovery.where_to_look(root, getattr(args, "dags", None))


@_plainly
def products(args: Namespace) -> None:
    """List the products that are found; exit status 1 if one of them cannot be used."""
    folders, errors = discovery.product_folders(args.dags), list[str]()
    usable = discovery.products(folders, errors)
    if args.json:
        print(json.dumps([product.to_json() for product in usable], indent=1))
    elif usable:
        console().print(table(("product", "goal", "owner"), [(p.name, p.goal, p.owner("ml_engineer")) for p in usable]))
    count = f"{len(usable) or 'no'} product{'s' * (len(usable) != 1)} in {', '.join(map(str, folders))}"
    print(count if usable or errors else f"{count}. {NO_PRODUCT}", file=sys.stderr)
    if errors:
        sys.exit("\n".join(errors))


@_plainly
def show(args: Namespace) -> None:
    """Show a product's declaration with every default."""
    from airflow_mlops_provider.cli.show import run

    run(args)


@_plainly
def history(args: Namespace) -> None:
    """Show a product's model versions: every move and its reason, or what was live at a time."""
    from airflow_mlops_provider.cli.release.history import run

    run(args)


@_plainly
def rollback(args: Namespace) -> None:
    """Bring a version back that was live before."""
    from airflow_mlops_provider.cli.release.rollback import run

    run(args)


@_plainly
def waive(args: Namespace) -> None:
    """Waive a gate that a version failed."""
    from airflow_mlops_provider.cli.release.waive import run

    run(args)


@_plainly
def reproduce(args: Namespace) -> None:
    """Make a model version again from its record; exit status 1 if anything differs."""
    from airflow_mlops_provider.cli.reproduction.reproduce import run
    from airflow_mlops_provider.runtime.code import make_importable

    make_importable(discovery.product_folders(args.dags))
    if not run(args):
        sys.exit(1)


@_plainly
def lineage(args: Namespace) -> None:
    """Show what a model version was made of, or which versions were made of some data."""
    from airflow_mlops_provider.cli.lineage import run

    run(args)


@_plainly
def dossier(args: Namespace) -> None:
    """Write all that is on record of a model version into a folder."""
    from airflow_mlops_provider.cli.dossier import run

    run(args)


@_plainly
def stale(args: Namespace) -> None:
    """Show what stands on older data, or run it again; exit status 1 if nothing of it can be run."""
    from airflow_mlops_provider.cli.stale import run

    if not run(args):
        sys.exit(1)


@_plainly
def doctor(args: Namespace) -> None:
    """Show what this installation can show of each row of the checklist; exit status 1 if one is red."""
    from airflow_mlops_provider.cli.doctor.run import run

    if not run(args):
        sys.exit(1)


@_plainly
def forget(args: Namespace) -> None:
    """Take entities out of all that is kept; exit status 1 if something of them is left."""
    from airflow_mlops_provider.cli.forget import run

    if not run(args):
        sys.exit(1)


@_plainly
def feedback(args: Namespace) -> None:
    """Show the open requests to data engineering, or answer one."""
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
    from airflow_mlops_provider.storage.change_requests import ChangeRequests

    if args.answer and not args.close:
        raise ConfigurationError("--answer says what became of a request: name the request with --close")
    store = ArtifactStoreHook().store()
    discovery.known_product(store, args.product)  # a mistyped name is not a product without requests
    requests = ChangeRequests(store, args.product)
    if args.close:
        closed = requests.close(args.close, args.answer or "done")
        print(f"closed {closed.key}: {closed.what}")
        return
    waiting = requests.open()
    if args.json:
        print(json.dumps([{"key": request.key, **request.to_json()} for request in waiting], indent=1))
    elif not waiting:
        print(
            f"no open requests to the data engineer of {args.product}. Requests come from experiments: the form of "
            f"{args.product}_experimentation takes them, and its search sends its own"
        )
    else:
        rows = [(r.key, f"{r.at:%F %T}", r.to, r.what, r.by, "\n".join(r.evidence)) for r in waiting]
        console().print(table(("request", "at (UTC)", "to", "what", "by", "evidence"), rows))


@_plainly
def ledger_verify(args: Namespace) -> None:
    """Show whether the ledgers are whole and everything agrees with them; exit status 1 if not."""
    from airflow_mlops_provider.cli.ledger import verify

    if not verify(args):
        sys.exit(1)


@_plainly
def ledger_repair(args: Namespace) -> None:
    """Bring a product's ledger back from what MLflow keeps of it."""
    from airflow_mlops_provider.cli.ledger import repair

    repair(args)


@_plainly
def adopt(args: Namespace) -> None:
    """Have the configured MLflow take over a product's versions."""
    from airflow_mlops_provider.backends.tracking.mlflow.adoption import adopt as take_over
    from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
    from airflow_mlops_provider.hooks.services import services
    from airflow_mlops_provider.storage.artifacts import open_store
    from airflow_mlops_provider.storage.records import Records

    addresses, root, secrets = services(args.product)
    os.environ.update(secrets)
    store, mirror = open_store(root, secrets), Mirror(addresses.mlflow, args.product)
    Records(store).entries(args.product)  # a mistyped name is not a product without versions
    done = take_over(store, mirror)
    print("\n".join(done or [f"MLflow at {mirror.shown} shows what the ledger of {args.product} says"]))


@_plainly
def demo(args: Namespace) -> None:
    """Replay the reference product's months."""
    from airflow_mlops_provider.demo.replay import replayed
    from airflow_mlops_provider.demo.report import show

    dags = discovery.dag_folder(args.dags)
    with replayed(args.home, dags, args.port, args.serving_port, args.months) as (_, summary):
        pass  # nothing more is needed of the stack
    show(console(), summary, args.home)


@_plainly
def up(args: Namespace) -> None:
    """Start a local Airflow and MLflow and leave them running."""
    from airflow_mlops_provider.demo.up import start_and_leave

    start_and_leave(args.home, discovery.dag_folder(args.dags), args.port, args.mlflow_port, args.serving_port)


@_plainly
def down(args: Namespace) -> None:
    """Stop what ``up`` started: from the home named, else from ``AIRFLOW_HOME``, else from the default one."""
    from airflow_mlops_provider.cli.arguments import HOME
    from airflow_mlops_provider.demo.local_airflow.stack import recorded, stop_running

    if args.home and not args.home.is_dir():
        raise ConfigurationError(f"there is no folder {args.home}; give the --home that `airflow mlops up` was given")
    homes = [args.home] if args.home else [Path(os.environ.get("AIRFLOW_HOME") or HOME), HOME]
    home = next((home for home in homes if recorded(home)), homes[-1])
    stopped = stop_running(home)
    if stopped:
        print(f"stopped {', '.join(stopped)} of {home}")
    else:
        where = " or ".join(dict.fromkeys(map(str, homes)))
        print(f"nothing was running from {where}; what `airflow mlops up` started elsewhere is named with --home")


@_plainly
def init(args: Namespace) -> None:
    """Look at data, propose a product for it, write it, and lay its history."""
    from airflow_mlops_provider.cli.initiation.run import run

    run(args)


@_plainly
def check(args: Namespace) -> None:
    """Run the steps of a product repository's CI; exit status 1 if one of them is red."""
    from airflow_mlops_provider.cli.delivery.check import run

    if red := run(args):
        sys.exit(f"red: {', '.join(red)}")


@_plainly
def ci(args: Namespace) -> None:
    """Write the workflow of a product repository."""
    from airflow_mlops_provider.cli.delivery.workflows import write

    print(write(args.template, args.to, force=args.force))
