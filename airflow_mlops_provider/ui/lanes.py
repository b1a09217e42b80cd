"""Where the boxes of a lineage go: columns by distance from the model, one lane for each data interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.lineage import Item, Lineage

WIDE, BETWEEN = 214, 44
LEFT, TOP = 80, 44
GAP, LANE_GAP = 12, 22


@dataclass(frozen=True)
class Box:
    """An item's place. ``x`` and ``y`` are its upper left corner; all in the drawing's units."""

    item: Item
    x: float
    y: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True)
class Lane:
    """A data interval's lane, from ``top`` on and to ``right``."""

    interval: Interval
    top: float
    height: float
    right: float


@dataclass(frozen=True)
class Places:
    """Where everything is, and how large the drawing becomes."""

    boxes: dict[str, Box]
    lanes: tuple[Lane, ...]
    width: float
    height: float


def places(graph: Lineage, height_of: Callable[[Item], float]) -> Places:
    """Return a place for each item, as high as it needs: data left, the model right, time from top to bottom."""
    column = columns(graph)
    members = [[item for item in graph.items if column[item.id] == at] for at in range(max(column.values()) + 1)]
    # An item alone in its column gathers several intervals: it is placed in the middle, not in a lane.
    in_lanes = {item.id for group in members if len(group) > 1 for item in group if item.interval}
    lanes = _lanes([[item for item in group if item.id in in_lanes] for group in members], height_of)
    others = [[item for item in group if item.id not in in_lanes] for group in members]
    heights = (_height(group, height_of) for group in others)
    bottom = max([*(lane.top + lane.height for lane in lanes), *(TOP + height for height in heights)])
    boxes = {}
    for at, (group, outside) in enumerate(zip(members, others, strict=True)):
        x = LEFT + at * (WIDE + BETWEEN)
        for lane in lanes:
            within = [item for item in group if item.id in in_lanes and item.interval == lane.interval]
            boxes.update(_boxes(within, x, lane.top + (lane.height - _height(within, height_of)) / 2, height_of))
        boxes.update(_boxes(outside, x, (TOP + bottom - _height(outside, height_of)) / 2, height_of))
    return Places(boxes, tuple(lanes), LEFT + len(members) * (WIDE + BETWEEN) - BETWEEN, bottom)


def columns(graph: Lineage) -> dict[str, int]:
    """Return each item's column: the longest way to the model decides, so that items of a kind are in line."""
    depth = dict.fromkeys((item.id for item in graph.items), 0)
    for _ in graph.items:  # the longest way is no longer than there are items
        for link in graph.links:
            if link.source in depth and link.target in depth:
                depth[link.source] = max(depth[link.source], depth[link.target] + 1)
    deepest = max(depth.values())
    return {item: deepest - far for item, far in depth.items()}


def _lanes(groups: Sequence[Sequence[Item]], height_of: Callable[[Item], float]) -> list[Lane]:
    right = max([LEFT + at * (WIDE + BETWEEN) + WIDE for at, group in enumerate(groups) if group], default=LEFT)
    intervals = {item.interval for group in groups for item in group if item.interval}
    lanes, top = [], float(TOP)
    for interval in sorted(intervals, key=lambda interval: (interval.start, interval.end)):
        height = max(_height([item for item in group if item.interval == interval], height_of) for group in groups)
        lanes.append(Lane(interval, top, height, right))
        top += height + LANE_GAP
    return lanes


def _boxes(items: Sequence[Item], x: float, top: float, height_of: Callable[[Item], float]) -> dict[str, Box]:
    boxes = {}
    for item in items:
        boxes[item.id] = Box(item, x, top, height_of(item))
        top += height_of(item) + GAP
    return boxes


def _height(items: Sequence[Item], height_of: Callable[[Item], float]) -> float:
    return sum(map(height_of, items)) + GAP * max(0, len(items) - 1)
