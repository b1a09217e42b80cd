"""A model version's lineage, drawn: from the raw data on the left to the model on the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import PurePosixPath

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.lineage import HISTORY, JUDGED, LEARNED, Item, Lineage, Link, Process
from airflow_mlops_provider.storage.artifacts import MANIFEST
from airflow_mlops_provider.ui.evidence import shown
from airflow_mlops_provider.ui.lanes import LEFT, WIDE, Box, Lane, Places, places

LINE, HEAD, INDENT, LONGEST = 15, 40, 14, 31
KINDS = ("raw data", "clean data", "features", "training set", "model")
MAIN = "examples"  # what a features dataset is counted in, of all its tables
LEGEND = 34
STYLE = """
svg.lineage{--v0:#c9701a;--v1:#2b8f5c;--v2:#2878b5;--v3:#8a5cc2;--v4:#b8487f;min-width:60rem}
svg.lineage text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
svg.lineage .hash,svg.lineage .code{font:11px ui-monospace,Menlo,Consolas,monospace}
svg.lineage .soft{fill:var(--soft);font-size:11px} svg.lineage .kind{font-weight:650;font-size:13px}
svg.lineage .box{fill:var(--card);stroke:var(--line)} svg.lineage .edge{fill:var(--k)}
svg.lineage .lane{fill:var(--soft);opacity:.06} svg.lineage .gone{fill:var(--failed)}
svg.lineage .dirty{fill:var(--attention)}
svg.lineage .link{fill:none;stroke:var(--soft);stroke-width:1.4;opacity:.65}
svg.lineage .learned{stroke:var(--accent);stroke-width:2;opacity:.9}
svg.lineage .judged{stroke:var(--attention);stroke-width:2;stroke-dasharray:6 4;opacity:.95}
svg.lineage .history{stroke-dasharray:2 4}
"""
ALONE = """
svg.lineage{--bg:#f5f7f9;--card:#fff;--ink:#17212b;--soft:#5c6b79;--line:#d5dce3;--accent:#0b6e99;--attention:#b7791f;
--failed:#c0392b;background:var(--bg)}
@media(prefers-color-scheme:dark){svg.lineage{--bg:#10161c;--card:#182129;--ink:#e6ecf1;--soft:#93a2b0;--line:#2a3641;
--accent:#5ab4dc;--attention:#e3b25a;--failed:#f0776a}}
"""


def drawing(graph: Lineage, alone: bool = False) -> str:
    """Return the graph as an SVG element.

    :param alone: it is to be a file of its own, not part of a page whose style sheet it can lean on.
    """
    found = places(graph, tall)
    drawing = [
        _heading(graph) if alone else "",
        *map(_lane, found.lanes),
        *_links(graph.links, found),
        *(_box(box, linked=not alone) for box in found.boxes.values()),
        *_legend(graph, found.height + LEGEND),
    ]
    width, height = found.width + 14, found.height + LEGEND + 16
    size = f" width='{width:.0f}' height='{height:.0f}' xmlns='http://www.w3.org/2000/svg'" if alone else ""
    return (
        f"<svg class='lineage' viewBox='0 0 {width:.0f} {height:.0f}' role='img'{size}>"
        f"<style>{STYLE}{ALONE if alone else ''}</style><title>{escape(graph.name)}</title>{''.join(drawing)}</svg>"
    )


def month(interval: Interval) -> str:
    """Return an interval's start, as short as it can be said."""
    start = interval.start
    return f"{start:%b %Y}" if start.day == 1 and not start.hour else f"{start:%d %b %Y %H:%M}".removesuffix(" 00:00")


def tall(item: Item) -> float:
    """Return the height that an item's box needs."""
    return HEAD + LINE * len(list(lines(item))) + 6


def lines(item: Item) -> Iterator[tuple[str, str]]:
    """Yield what a box says below its head: class and text."""
    yield from [("soft", counted(item))] if item.rows else []
    for key, sha256 in item.files.items():
        yield "code", f"{_short('/'.join(PurePosixPath(key).parts[-2:]), 21)} {sha256[:8]}"
    if item.made is None:
        yield "soft gone", "no record of its making"
        return
    yield from _making(item.made, item.kind == "model")


def counted(item: Item) -> str:
    """Return how many rows there are: in each part of a training set, of data in the table that counts."""
    if not {"train", "evaluate"}.isdisjoint(item.rows):
        return ", ".join(f"{count:,} {part}" for part, count in item.rows.items())
    main = MAIN if MAIN in item.rows else max(item.rows, key=item.rows.__getitem__, default="")
    return f"{item.rows[main]:,} {main}" if main else ""


def _making(made: Process, whole: bool) -> Iterator[tuple[str, str]]:
    yield from (("code", f"{_short(name, 21)} {sha256[:8]}") for name, sha256 in deciding(made))
    if made.commit.commit:
        dirty = made.commit.dirty
        yield f"soft{' dirty' if dirty else ''}", f"commit {made.commit.commit[:8]}{', dirty' if dirty else ''}"
    if whole:
        for name, value in list((made.settings or {}).items())[:8]:
            yield "soft", f"{name} {value}"
        if made.seed is not None:
            yield "soft", f"seed {made.seed}"
        yield "soft", f"environment {made.environment[:8]}"
        yield "soft", f"image {made.image[-12:]}" if made.image else "no image"
        yield "soft", ", ".join(f"{made.hardware[k]}" for k in ("machine", "device", "gpu") if made.hardware.get(k))


def deciding(made: Process) -> list[tuple[str, str]]:
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
    known += [f"found or made again by {run.dag_id} / {run.run_id}" for run in item.reused] + [item.missing]
    return "\n".join(filter(None, known))


def _box(box: Box, linked: bool) -> str:
    """Return an item's box; on a page it leads to the item's manifest."""
    drawing = "".join(_drawn(box))
    return f"<a href='{shown(box.item.uri, MANIFEST)}'>{drawing}</a>" if linked and box.item.made else drawing


def _drawn(box: Box) -> Iterator[str]:
    item, x, y = box.item, box.x, box.y
    colour = KINDS.index(item.kind) if item.kind in KINDS else 3
    yield f"<g style='--k:var(--v{colour})'><title>{escape(tip(item))}</title>"
    yield f"<rect class='box' x='{x}' y='{y:.1f}' width='{WIDE}' height='{box.height:.1f}' rx='8'/>"
    yield f"<rect class='edge' x='{x}' y='{y + 8:.1f}' width='4' height='{box.height - 16:.1f}' rx='2'/>"
    yield _text(x + INDENT, y + 19, item.kind.capitalize(), "kind")
    yield _text(x + WIDE - 10, y + 19, item.hash[:12], "hash", "end")
    for number, (kind, words) in enumerate(lines(item)):
        yield _text(x + INDENT, y + HEAD + LINE * number, _short(words, LONGEST), kind)
    yield "</g>"


def _heading(graph: Lineage) -> str:
    why = f"{graph.status.value}; {graph.moves[0].reason}"
    return (
        f"<text x='14' y='20'><tspan class='kind'>{escape(graph.name)}</tspan>"
        f"<tspan class='soft' dx='10'>{escape(_short(why, 150))}</tspan></text>"
    )


def _lane(lane: Lane) -> str:
    y, height = lane.top - 8, lane.height + 16
    return (
        f"<rect class='lane' x='4' y='{y:.1f}' width='{lane.right + 4:.1f}' height='{height:.1f}' rx='10'/>"
        f"{_text(14, lane.top + 12, month(lane.interval), 'soft')}"
    )


def _links(links: Sequence[Link], found: Places) -> Iterator[str]:
    for link in links:
        source, target = found.boxes.get(link.source), found.boxes.get(link.target)
        if source and target:
            begin, end = (source.x + WIDE, source.middle), (target.x, target.middle)
            yield f"<path class='link {_style(link)}' d='{_bend(begin, end)}'><title>{escape(link.role)}</title></path>"


def _bend(begin: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = begin, end
    half = max(30.0, (to_x - x) / 2)
    return f"M{x},{y:.1f} C{x + half:.1f},{y:.1f} {to_x - half:.1f},{to_y:.1f} {to_x},{to_y:.1f}"


def _legend(graph: Lineage, y: float) -> Iterator[str]:
    x, told = float(LEFT), {LEARNED, JUDGED, HISTORY} & {link.role for link in graph.links}
    for role in sorted(told, key=(LEARNED, JUDGED, HISTORY).index):
        style = _style(Link(source="", target="", role=role))
        yield f"<path class='link {style}' d='M{x},{y - 4} h34'/>{_text(x + 42, y, role, 'soft')}"
        x += 150


def _style(link: Link) -> str:
    return {LEARNED: "learned", JUDGED: "judged", HISTORY: "history"}.get(link.role, "")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f"<text class='{kind}' x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(words)}</text>"
