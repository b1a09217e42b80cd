"""``airflow mlops lineage``: what a model version was made of, and which versions were made of some data."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.lineage import HISTORY, JUDGED, LEARNED, Item, Lineage, Made, item_of
from airflow_mlops_provider.lifecycle.records.uses import Found, Use, read_from, use, with_hash
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.render.terminal import console
from airflow_mlops_provider.storage.artifacts import file_hash, open_store
from airflow_mlops_provider.storage.layout import NAME
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.ui.lineage import counted, deciding, drawing, month
from airflow_mlops_provider.ui.lineage_page import how, stands_at

SHORT = 12
MOST_INTERVALS = 3
DATASETS = ("extract", "clean", "compute", "training_set")
NOTHING = "-"


def run(args: Namespace) -> None:
    """Print, and draw, what was asked for: a version's lineage, or the versions that some data went into."""
    asked = [name for name in ("model", "dataset", "file") if getattr(args, name)]
    if len(asked) != 1:
        raise ConfigurationError(
            f"give one of PRODUCT@VERSION, --dataset and --file, not {' and '.join(asked) or 'none'}"
        )
    if args.graph and asked != ["model"]:
        raise ConfigurationError("--graph draws a model version; give PRODUCT@VERSION with it")
    hook = ArtifactStoreHook()
    records = Records(open_store(args.root, hook.secrets()) if args.root else hook.store())
    if args.model:
        show_version(records.lineage(*parse_version(args.model)), args.graph, args.json)
    else:
        show_uses(*uses(records, args.dataset, args.file), args.json)


def parse_version(text: str) -> tuple[str, int]:
    """Return the name and the number in ``PRODUCT@VERSION``. :raises ConfigurationError: if it is none."""
    found = re.fullmatch(rf"({NAME})@v?(\d{{1,9}})", text, re.ASCII)
    if found is None:
        raise ConfigurationError(f"{text!r} is no PRODUCT@VERSION; write it as flight_delay@2")
    return found[1], int(found[2])


# --- model → data -----------------------------------------------------------------------------------------------------


def show_version(graph: Lineage, file: Path | None, as_json: bool) -> None:
    """Print a version's lineage, and draw it into a file if one is named."""
    if file is not None:
        file.write_text(drawing(graph, alone=True), "utf-8")
    if as_json:
        print(json.dumps({"status": graph.status.value, **graph.to_json()}, indent=1))
        return
    terminal = console()
    terminal.print(f"\n[bold]{graph.name}[/] is {graph.status.value}; {escape(graph.moves[0].reason)}\n")
    tables = {
        "Made of": (
            ("what", "interval", "content", "rows", "code", "commit"),
            [_line(item, graph) for item in _sorted(graph)],
        ),
        "\nFeatures, by view": _views(graph),
        "\nDelivered files": (("file", "SHA-256", "raw data of"), _files(graph)),
        "\nMade by": (("what", "task", "try", "DAG and run", "took"), _runs(graph)),
    }
    for title, (head, rows) in tables.items():
        if rows:
            terminal.print(_table(title, head, rows))
    terminal.print(_table("\nHow", ("", ""), how(graph)))
    if file is not None:
        terminal.print(f"\ndrawn    {file.resolve()}", markup=False)


def _lines(graph: Lineage) -> list[tuple[str, ...]]:
    return [_line(item, graph) for item in _sorted(graph)]


def _line(item: Item, graph: Lineage) -> tuple[str, ...]:
    begin = (item.kind, _span(item, graph) or _when(item), item.hash[:SHORT], counted(item) or NOTHING)
    if item.made is None:
        return (*begin, NOTHING, item.missing)
    code = "\n".join(f"{name} {sha256[:SHORT]}" for name, sha256 in deciding(item.made))
    return (*begin, code, stands_at(item.made) or NOTHING)


def _span(item: Item, graph: Lineage) -> str:
    """Return which intervals a training set took as what, and as what it took an interval; empty for anything else."""
    of, told = {one.id: one.interval for one in graph.items}, []
    for role in (LEARNED, JUDGED, HISTORY):
        links = [link for link in graph.links if link.role == role]
        taken = [span for link in links if link.target == item.id and (span := of[link.source])]
        told += [f"{role} {_listed(taken)}"] if taken and role != HISTORY else []
        told += [f"{_when(item)}: {role}" for link in links if link.source == item.id]
    return "\n".join(told)


def _listed(intervals: Iterable[Interval]) -> str:
    """Return some intervals in their order, or of many the first and the last."""
    names = [month(one) for one in sorted(intervals, key=lambda one: one.start)]
    return ", ".join(names) if len(names) <= MOST_INTERVALS else f"{names[0]} to {names[-1]}, {len(names)} intervals"


def _when(item: Item) -> str:
    return month(item.interval) if item.interval else NOTHING


def _runs(graph: Lineage) -> list[tuple[str, ...]]:
    return [
        (
            f"{item.kind} {item.hash[:SHORT]}",
            item.made.run.task_id or item.made.job,
            str(item.made.run.try_number),
            f"{item.made.run.dag_id} {item.made.run.run_id}".strip() or "outside Airflow",
            f"{item.made.seconds:.1f} s" + (f", found or made again by {len(item.reused)} more" if item.reused else ""),
        )
        for item in _sorted(graph)
        if item.made
    ]


def _views(graph: Lineage) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the hash of each view's file, an interval a line."""
    features = {item.interval: item for item in graph.items if item.kind == "features" and item.interval}
    names = sorted({name for item in features.values() for name in item.parts})
    lines = [
        (month(interval), *(features[interval].parts.get(name, NOTHING)[:SHORT] for name in names))
        for interval in sorted(features, key=lambda one: one.start)
    ]
    return ("interval", *(name.removesuffix(".parquet") for name in names)), lines


def _files(graph: Lineage) -> list[tuple[str, ...]]:
    """Return each delivered file once, with the snapshots that were read from it."""
    read: dict[tuple[str, str], list[Interval]] = {}
    for item in graph.items:
        for delivered in item.files.items():
            read.setdefault(delivered, []).extend([item.interval] if item.interval else [])
    return [(*delivered, _listed(intervals)) for delivered, intervals in sorted(read.items())]


def _sorted(graph: Lineage) -> list[Item]:
    """Return the results from the model back to the raw data, of each kind the oldest first."""
    kinds = list(dict.fromkeys(item.kind for item in graph.items))
    return sorted(graph.items, key=lambda one: (kinds.index(one.kind), one.interval.key if one.interval else ""))


# --- data → models ----------------------------------------------------------------------------------------------------


def uses(records: Records, dataset: str | None, file: str | None) -> tuple[list[Found], list[Use]]:
    """Return the data that a hash, or a file, means, and the versions of any product that were made of it.

    :raises UnknownNameError: if there is no such data; the message lists what there is.
    :raises ConfigurationError: if it may mean several.
    """
    graphs = [
        records.lineage(product, number)
        for product in records.products()
        for number in sorted({entry.version.version for entry in records.entries(product)})
    ]
    every = [item for graph in graphs for item in graph.items]
    known = list({item.id: item for item in (*every, *_unused(records))}.values())
    if dataset:
        found = with_hash(known, dataset)
    else:
        at_hand = Path(str(file)).is_file()
        found = read_from(known, str(file), file_hash(Path(str(file))) if at_hand else None)
    return found, [made for graph in graphs if (made := use(graph, found))]


def _unused(records: Records) -> Iterator[Item]:
    """Yield the datasets on record, of which those count that no version was made of."""
    for product in records.declared():
        for manifest in records.all(product, *DATASETS):
            if isinstance(manifest.result, Dataset):
                yield item_of(Made(manifest.result, manifest))


def show_uses(found: Sequence[Found], made: Sequence[Use], as_json: bool) -> None:
    """Print what some data is, and where each version stands that was made of it."""
    if as_json:
        print(
            json.dumps({"data": [one.to_json() for one in found], "models": [one.to_json() for one in made]}, indent=1)
        )
        return
    terminal = console()
    data = [
        (one.item.kind, _when(one.item), one.item.hash[:SHORT], f"{one.file} {one.sha256[:SHORT]}", counted(one.item))
        for one in found
    ]
    terminal.print(_table("Data", ("what", "interval", "content", "read from", "rows"), data))
    rows = [
        (f"{one.name}@{one.version}", one.status.value, f"{one.since:%F %T}", one.reason, " → ".join(one.through))
        for one in made
    ]
    if rows:
        terminal.print(
            _table("\nModel versions made of it", ("model", "stands", "since (UTC)", "because", "way"), rows)
        )
    else:
        terminal.print("\nNo model version was made of it.")


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    made = Table(title=title, title_justify="left", show_header=any(head))
    for name in head:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*map(escape, row))
    return made
