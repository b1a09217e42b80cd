"""``airflow mlops lineage``: what a model version was made of, and which versions were made of some data."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.markup import escape

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.lineage import HISTORY, JUDGED, LEARNED, Item, Lineage, Made, item_of
from airflow_mlops_provider.lifecycle.records.uses import Found, Use, read_from, use, with_hash
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.render.formats import interval as format_interval
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.storage.artifacts import file_hash, open_store
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.ui.lineage import SHORT, commit_of, drawing, product_code, rows_of, training_facts

MAX_INTERVALS = 3
NOTHING = "-"


def run(args: Namespace) -> None:
    """Print, and draw, a version's lineage, or print the versions that some data went into."""
    given = [name for name in ("model", "dataset", "file") if getattr(args, name)]
    if len(given) != 1:
        raise ConfigurationError(
            f"give one of PRODUCT@VERSION, --dataset and --file, not {' and '.join(given) or 'none'}"
        )
    if args.graph and given != ["model"]:
        raise ConfigurationError("--graph draws a model version; give PRODUCT@VERSION with it")
    hook = ArtifactStoreHook()
    records = Records(open_store(args.root, hook.secrets()) if args.root else hook.store())
    if args.model:
        show_version(records.lineage(*parse_version(args.model)), args.graph, args.json)
    else:
        show_uses(*uses(records, args.dataset, args.file), args.json)


def parse_version(text: str) -> tuple[str, int]:
    """Return the name and the number in ``PRODUCT@VERSION``. :raises ConfigurationError: if it is none."""
    match = re.fullmatch(r"([a-z][a-z0-9_]{0,62})@v?(\d{1,9})", text, re.ASCII)
    if match is None:
        raise ConfigurationError(f"{text!r} is no PRODUCT@VERSION; write it as flight_delay@2")
    return match[1], int(match[2])


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
            terminal.print(table(head, rows, title))
    terminal.print(table(("", ""), training_facts(graph), "\nHow"))
    if file is not None:
        terminal.print(f"\ngraph    {file.resolve()}", markup=False)


def _line(item: Item, graph: Lineage) -> tuple[str, ...]:
    begin = (item.kind, _span(item, graph) or _when(item), item.hash[:SHORT], rows_of(item) or NOTHING)
    if item.made is None:
        return (*begin, NOTHING, item.missing)
    code = "\n".join(f"{name} {sha256[:SHORT]}" for name, sha256 in product_code(item.made))
    return (*begin, code, commit_of(item.made) or NOTHING)


def _span(item: Item, graph: Lineage) -> str:
    """Return which intervals a training set took as what, and as what it took an interval; empty for anything else."""
    interval_of, lines = {each.id: each.interval for each in graph.items}, []
    for role in (LEARNED, JUDGED, HISTORY):
        links = [link for link in graph.links if link.role == role]
        used = [interval for link in links if link.target == item.id and (interval := interval_of[link.source])]
        lines += [f"{role} {_listed(used)}"] if used and role != HISTORY else []
        lines += [f"{_when(item)}: {role}" for link in links if link.source == item.id]
    return "\n".join(lines)


def _listed(intervals: Iterable[Interval]) -> str:
    """Return some intervals in their order, or of many the first and the last."""
    names = [format_interval(interval) for interval in sorted(intervals, key=lambda interval: interval.start)]
    return ", ".join(names) if len(names) <= MAX_INTERVALS else f"{names[0]} to {names[-1]}, {len(names)} intervals"


def _when(item: Item) -> str:
    return format_interval(item.interval) if item.interval else NOTHING


def _runs(graph: Lineage) -> list[tuple[str, ...]]:
    return [
        (
            f"{item.kind} {item.hash[:SHORT]}",
            item.made.run.task_id or item.made.job,
            str(item.made.run.try_number),
            f"{item.made.run.dag_id} {item.made.run.run_id}".strip() or "outside Airflow",
            f"{item.made.seconds:.1f} s" + (f", found or made again by {item.reuses} more" if item.reuses else ""),
        )
        for item in _sorted(graph)
        if item.made
    ]


def _views(graph: Lineage) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the hash of each view's file, an interval a line."""
    features = {item.interval: item for item in graph.items if item.kind == "features" and item.interval}
    names = sorted({name for item in features.values() for name in item.parts})
    lines = [
        (format_interval(interval), *(features[interval].parts.get(name, NOTHING)[:SHORT] for name in names))
        for interval in sorted(features, key=lambda interval: interval.start)
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
    return sorted(graph.items, key=lambda item: (kinds.index(item.kind), item.interval.key if item.interval else ""))


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
    items = [item for graph in graphs for item in graph.items]
    # And every dataset on record, whatever job made it: also those that no version was made of.
    every = (manifest for product in records.declared() for manifest in records.all(product))
    items += [item_of(Made(made.result, made)) for made in every if isinstance(made.result, Dataset) and made.outputs]
    known = list({item.id: item for item in items}.values())
    if dataset:
        data = with_hash(known, dataset)
    else:
        path = Path(str(file))
        data = read_from(known, str(file), file_hash(path) if path.is_file() else None)
    return data, [made for graph in graphs if (made := use(graph, data))]


def show_uses(data: Sequence[Found], versions: Sequence[Use], as_json: bool) -> None:
    """Print what some data is, and the status of each version that was made of it."""
    if as_json:
        lists = {"data": data, "models": versions}
        print(json.dumps({name: [entry.to_json() for entry in entries] for name, entries in lists.items()}, indent=1))
        return
    terminal = console()
    rows = [
        (
            entry.item.kind,
            _when(entry.item),
            entry.item.hash[:SHORT],
            f"{entry.file} {entry.sha256[:SHORT]}",
            rows_of(entry.item),
        )
        for entry in data
    ]
    terminal.print(table(("what", "interval", "content", "read from", "rows"), rows, "Data"))
    rows = [
        (f"{each.name}@{each.version}", each.status.value, f"{each.since:%F %T}", each.reason, " → ".join(each.through))
        for each in versions
    ]
    if rows:
        head = ("model", "status", "since (UTC)", "because", "way")
        terminal.print(table(head, rows, "\nModel versions made of it"))
    else:
        terminal.print("\nNo model version was made of it.")
