"""A model version's lineage as a page: drawn, from the raw data on the left to the model, and how that was made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from airflow_mlops_provider.lifecycle.records.lineage import HISTORY, JUDGED, LEARNED, Item, Lineage, Link, Process
from airflow_mlops_provider.render import parts
from airflow_mlops_provider.render.drawing import bar, group, label, svg
from airflow_mlops_provider.render.formats import interval, shorten
from airflow_mlops_provider.render.markup import Html, join, tag
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.ui.evidence import file_address, product_address
from airflow_mlops_provider.ui.lanes import LEFT, WIDE, Box, Lane, Places, places

LINE, HEAD, INDENT, LONGEST = 15, 40, 14, 31
COLOURS = {"raw data": "v1", "clean data": "v2", "features": "v0", "training set": "v3", "model": "v4"}
LINKS = {LEARNED: "link link-trained", JUDGED: "link link-judged", HISTORY: "link link-history"}
MAIN = "examples"  # what a features dataset is counted in, of all its tables
LEGEND_HEIGHT = 34
SHORT = 12
LEGEND = (
    "Each box is a result with the beginning of its hash, and leads to its manifest; point at it for all that is "
    "known of it. An amber commit had changes beyond it when the code ran."
)


def page(graph: Lineage) -> Html:
    """Return the whole page."""
    name = graph.version.name
    rows = [(what, tag("code", value)) for what, value in training_facts(graph)]
    return parts.document(
        f"{graph.name}: lineage",
        parts.breadcrumbs(("MLOps", "./"), (name, product_address(name)), ("lineage", "")),
        tag("h1", join((graph.name, parts.badge(graph.status.value, graph.status.value)), " ")),
        tag("p", graph.moves[0].reason, class_="lead"),
        parts.card("Made of", tag("div", drawing(graph), class_="scroll wide"), parts.muted(LEGEND)),
        parts.card("How", parts.table(("what", "recorded"), rows)),
    )


def drawing(graph: Lineage, alone: bool = False) -> Html:
    """Return the graph as an SVG element; ``alone``, as a file of its own with its style sheet."""
    placed = places(graph, box_height)
    return svg(
        placed.width + 14,
        placed.height + LEGEND_HEIGHT + 16,
        _heading(graph) if alone else None,
        *map(_lane, placed.lanes),
        *_links(graph.links, placed),
        *(_box(box, with_link=not alone) for box in placed.boxes.values()),
        *_legend(graph, placed.height + LEGEND_HEIGHT),
        title=graph.name,
        alone=alone,
    )


def box_height(item: Item) -> float:
    """Return the height that an item's box needs."""
    return HEAD + LINE * len(list(lines(item))) + 6


def lines(item: Item) -> Iterator[tuple[str, str]]:
    """Yield what a box says below its head: class and text."""
    yield from [("soft", rows_of(item))] if item.rows else []
    for key, sha256 in item.files.items():
        yield "code", f"{shorten('/'.join(PurePosixPath(key).parts[-2:]), 21)} {sha256[:8]}"
    if item.made is None:
        yield "soft alert", "no record of its making"
        return
    yield from _code(item.made)
    yield from _training(item.made) if item.kind == "model" else ()


def rows_of(item: Item) -> str:
    """Return how many rows there are: in each part of a training set, of data in the table that counts."""
    if not {"train", "evaluate"}.isdisjoint(item.rows):
        return ", ".join(f"{count:,} {part}" for part, count in item.rows.items())
    main = MAIN if MAIN in item.rows else max(item.rows, key=item.rows.__getitem__, default="")
    return f"{item.rows[main]:,} {main}" if main else ""


def _code(made: Process) -> Iterator[tuple[str, str]]:
    yield from (("code", f"{shorten(name, 21)} {sha256[:8]}") for name, sha256 in product_code(made))
    if made.commit.commit:
        dirty = made.commit.dirty
        yield "soft warning" if dirty else "soft", f"commit {made.commit.commit[:8]}{', dirty' if dirty else ''}"


def _training(made: Process) -> Iterator[tuple[str, str]]:
    for name, value in list((made.settings or {}).items())[:8]:
        yield "soft", f"{name} {value}"
    if made.seed is not None:
        yield "soft", f"seed {made.seed}"
    yield "soft", f"environment {made.environment[:8]}"
    yield "soft", f"image {made.image[-12:]}" if made.image else "no image"
    yield "soft", ", ".join(f"{made.hardware[k]}" for k in ("machine", "device", "gpu") if made.hardware.get(k))


def product_code(made: Process) -> list[tuple[str, str]]:
    """Return the product's own code that decided a result, and its hash: functions, or modules if none is declared.

    Of a step that runs none of it, the job's own. Names are without their package.
    """
    functions = [name for name in made.code if ":" in name]
    ours = f"{__name__.partition('.')[0]}."
    modules = [name for name in made.code if "." in name and not name.startswith(ours)]
    return [(name.partition(".")[2] or name, made.code[name]) for name in functions or modules or made.code]


def tip(item: Item) -> str:
    """Return all that is known of an item, for whoever points at it."""
    known = [f"{item.kind} {item.hash}", item.uri]
    known += [f"{name}: {count:,} rows" for name, count in item.rows.items()]
    known += [f"{name} {sha256}" for name, sha256 in {**item.files, **item.parts}.items()]
    if item.made:
        run = item.made.run
        known += [f"{name} {sha256}" for name, sha256 in item.made.code.items()]
        known += [f"{run.dag_id} / {run.run_id} / {run.task_id}, try {run.try_number}"] if run.dag_id else []
        known += [f"{item.made.started:%F %T} UTC, {item.made.seconds:.1f} s, environment {item.made.environment}"]
    known += [f"found finished or made again by {item.reuses:,} more runs" if item.reuses else "", item.missing]
    return "\n".join(filter(None, known))


def _box(box: Box, with_link: bool) -> Html:
    """Return an item's box; on a page it leads to the item's manifest."""
    item, x, y = box.item, box.x, box.y
    shape = group(
        bar((x, y), (x + WIDE, y + box.height), "box", rounded=8),
        bar((x, y + 8), (x + 4, y + box.height - 8), "edge", rounded=2),
        label(x + INDENT, y + 19, item.kind.capitalize(), "strong"),
        label(x + WIDE - 10, y + 19, item.hash[:12], "code", "end"),
        *(
            label(x + INDENT, y + HEAD + LINE * number, shorten(words, LONGEST), kind)
            for number, (kind, words) in enumerate(lines(item))
        ),
        kind=COLOURS.get(item.kind, "v3"),
        tip=tip(item),
    )
    return parts.link(file_address(item.uri, MANIFEST) if with_link and item.made else "", shape)


def _heading(graph: Lineage) -> Html:
    why = shorten(f"{graph.status.value}; {graph.moves[0].reason}", 150)
    words = tag("tspan", graph.name, class_="strong"), tag("tspan", why, class_="soft", dx=10)
    return tag("text", *words, x=14, y=20)


def _lane(lane: Lane) -> Html:
    band = bar((4, lane.top - 8), (lane.right + 8, lane.top + lane.height + 8), "lane", rounded=10)
    return band + label(14, lane.top + 12, interval(lane.interval), "soft")


def _links(links: Sequence[Link], placed: Places) -> Iterator[Html]:
    for link in links:
        source, target = placed.boxes.get(link.source), placed.boxes.get(link.target)
        if source and target:
            x, y, to_x, to_y = source.x + WIDE, source.middle, target.x, target.middle
            half = max(30.0, (to_x - x) / 2)
            bend = f"M{x},{y:.1f} C{x + half:.1f},{y:.1f} {to_x - half:.1f},{to_y:.1f} {to_x},{to_y:.1f}"
            yield tag("path", tag("title", link.role), class_=LINKS.get(link.role, "link"), d=bend)


def _legend(graph: Lineage, y: float) -> Iterator[Html]:
    roles = {link.role for link in graph.links}
    for number, role in enumerate(role for role in LINKS if role in roles):
        x = LEFT + 150 * number
        yield tag("path", class_=LINKS[role], d=f"M{x},{y - 4} h34") + label(x + 42, y, role, "soft")


def training_facts(graph: Lineage) -> Iterator[tuple[str, str]]:
    """Yield how the model was trained, and in which environments it and everything before it was made."""
    model, facts = graph.items[0].made, graph.version.facts
    if model is not None:
        yield "settings", json.dumps(model.settings) if model.settings is not None else "not recorded"
        yield "seed", "none" if model.seed is None else str(model.seed)
        yield "hardware", ", ".join(f"{name} {value}" for name, value in model.hardware.items())
    if facts.get("retuning"):
        yield "retuning", str(facts["retuning"]["summary"])
    if facts.get("run_id"):
        yield "MLflow run", str(facts["run_id"])
    if graph.registered is not None:
        yield "registered by", f"{graph.registered.dag_id}, {graph.registered.run_id}, {graph.registered.task_id}"
    yield from _environments(graph, [item.made for item in graph.items if item.made])


def _environments(graph: Lineage, processes: list[Process]) -> Iterator[tuple[str, str]]:
    for digest, packages in graph.environments.items():
        jobs = _jobs(process for process in processes if process.environment == digest)
        yield f"environment {digest[:SHORT]}", f"{len(packages)} packages: {jobs}"
    for image in sorted({process.image or "" for process in processes}):
        jobs = _jobs(process for process in processes if (process.image or "") == image)
        yield "image", f"{image or 'none, a process'}: {jobs}"
    for repository, commit in sorted({(process.commit.repository or "", commit_of(process)) for process in processes}):
        yield "code", " at ".join(filter(None, (repository, commit))) or "in no repository"


def commit_of(process: Process) -> str:
    """Return the commit of the code that ran, and whether there was more; empty if there is no repository."""
    commit = process.commit
    return f"{commit.commit[:SHORT]}{' dirty' if commit.dirty else ''}" if commit.commit else ""


def _jobs(processes: Iterable[Process]) -> str:
    return ", ".join(sorted({process.job for process in processes}))
