"""``airflow mlops stale``: what stands on data that came late or was corrected, and its runs again."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

from airflow_mlops_provider import discovery
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.render.formats import interval as format_interval
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.stale import Stale, outdated, stale

#: A run in one of these is on its way, and takes what is there now.
UNDER_WAY = ("queued", "running")


def run(args: Namespace) -> bool:
    """Print what is stale, and clear its runs if that is wanted; return whether all that was wanted was done."""
    store = ArtifactStoreHook().store()
    product = discovery.known_product(store, args.product)  # a mistyped name is not a product of which nothing is stale
    listed, live = stale(store, args.product), Ledger(store, args.product).live()
    older = outdated(store, live) if live else []
    if args.json:
        print(json.dumps({"stale": [_as_json(entry) for entry in listed], "learned": older}, indent=1))
    else:
        show(args.product, listed, older)
    if not (args.remake and listed):
        return True
    done = False
    for cleared, line in remade(listed):
        print(line, file=sys.stderr)
        done |= cleared
        if cleared and product.features.remake_stale:
            break  # the last task of that run looks again
    return done


def show(product: str, listed: Sequence[Stale], older: Sequence[str]) -> None:
    """Print the stale intervals, oldest first, and what the live version learned from that is older now."""
    if listed:
        rows = [
            (format_interval(entry.interval), "\n".join(entry.reasons), _named(entry.run) or "its record is gone")
            for entry in listed
        ]
        console().print(table(("interval", "because", "made by"), rows))
    else:
        print(f"nothing is stale of {product}")
    if older:
        print("\n".join(["", *older, "Its next training takes what is there then."]))


def remade(listed: Sequence[Stale]) -> Iterator[tuple[bool, str]]:
    """Clear the run of each interval, one at a time, and yield whether that was done, and what to say of it."""
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel

    for entry in listed:
        when = format_interval(entry.interval)
        if entry.run is None or not entry.run.run_id:
            yield False, f"{when}: no run is on record; deliver or run it again by hand"
            continue
        name = _named(entry.run)
        known = DagRun.find(dag_id=entry.run.dag_id, run_id=entry.run.run_id)
        dag = SerializedDagModel.get_dag(entry.run.dag_id) if known else None
        if dag is None:
            yield False, f"{when}: this Airflow has no {name}; clear it in the one that made it"
        elif known[0].state in UNDER_WAY:
            yield False, f"{when}: {name} is {known[0].state} already"
        else:
            dag.clear(run_id=entry.run.run_id)
            yield True, f"{when}: {name} was cleared, and the scheduler runs it again"


def _named(identity: RunIdentity | None) -> str:
    return f"{identity.dag_id} {identity.run_id}".strip() if identity else ""


def _as_json(entry: Stale) -> dict[str, object]:
    made_by = entry.run.to_json() if entry.run else None
    return {"interval": entry.interval.to_json(), "reasons": [*entry.reasons], "run": made_by}
