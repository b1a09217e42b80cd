"""``airflow mlops history``: which model version was where, when, and why."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from airflow_mlops_provider import discovery
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, last_entries, live_version
from airflow_mlops_provider.lifecycle.release.waivers import gates_in_short
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.repairs import Repair, repairs


def run(args: Namespace) -> None:
    """Print every move of a product's versions, or where each was at a time.

    :raises UnknownNameError: if there is no such product; lists those that there are.
    :raises IntegrityError: if the ledger was changed; it names the file.
    """
    store = ArtifactStoreHook().store()
    product = discovery.known_product(store, args.product)  # a mistyped name is not a product without versions
    entries = Ledger(store, args.product).entries()
    moves: list[LedgerEntry | Repair] = [*entries, *repairs(store, args.product)]
    moves.sort(key=lambda move: move.at)
    if args.at:
        show_moment(args, [entry for entry in entries if entry.at <= args.at])
    elif args.json:
        print(json.dumps([move.to_json() for move in moves], indent=1))
    elif moves:
        console().print(table(("at (UTC)", "version", "became", "because", "gates", "by"), map(line, moves)))
    else:
        steps = discovery.first_steps(product, defaults.landing_root(store.uri))
        print(f"{args.product} has no model version in {store.uri}: {steps}")


def show_moment(args: Namespace, entries: Sequence[LedgerEntry]) -> None:
    """Print which version was live after some entries, and the last move of each."""
    live, last = live_version(entries), last_entries(entries)
    if args.json:
        moves = [entry.to_json() for entry in last.values()]
        print(
            json.dumps({"at": args.at.isoformat(), "live": live.version if live else None, "versions": moves}, indent=1)
        )
        return
    since = f"version {live.version} was live, since {last[live.version].at:%F %T}" if live else "no version was live"
    print(f"{args.product} at {args.at:%F %T} UTC: {since}")
    if last:
        console().print(table(("since (UTC)", "version", "was", "because", "gates", "by"), map(line, last.values())))


def line(entry: LedgerEntry | Repair) -> tuple[str, ...]:
    """Return what a table says of a move, or of a repair of the ledger."""
    if isinstance(entry, Repair):
        became = "ledger repaired" if entry.ended else "repair begun"
        return f"{entry.at:%F %T}", "", became, "; ".join((entry.reason, *entry.what)), "", entry.by
    version, gates = f"v{entry.version.version}", gates_in_short([entry])
    return f"{entry.at:%F %T}", version, entry.became, entry.reason, gates, entry.by
