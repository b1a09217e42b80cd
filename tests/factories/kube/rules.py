"""The parts of Kubernetes' own rules that its schema does not hold: names, labels, limits, selectors, patches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_REQUIREMENT = re.compile(r"(?P<set>[^ ,()!=]+) +(?P<op>in|notin) +\((?P<values>[^)]*)\)|(?P<plain>[^,]+)")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "m": 1e-3}


def check_pod(pod: dict[str, Any]) -> list[str]:
    """Return what Kubernetes would answer 422 to; empty for a pod that it takes."""
    return list(_problems(pod["metadata"], pod["spec"]))


def _problems(meta: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    name = meta.get("name") or meta.get("generateName", "") + "x"
    if not NAME.fullmatch(name) or len(name) > 253:
        yield f"metadata.name: Invalid value: {name!r}"
    for key, value in (meta.get("labels") or {}).items():
        if not LABEL.fullmatch(value) or not LABEL.fullmatch(key.rpartition("/")[2]):
            yield f"metadata.labels: Invalid value: {key}={value}"
    names = [one["name"] for one in [*spec["containers"], *spec.get("initContainers", ())]]
    if len(set(names)) < len(names):
        yield f"spec.containers: Duplicate value among {names}"
    for one in spec["containers"]:
        if not one.get("image"):
            yield f"spec.containers[{one['name']}].image: Required value"
        resources = one.get("resources") or {}
        for what, limit in (resources.get("limits") or {}).items():
            if quantity((resources.get("requests") or {}).get(what, 0)) > quantity(limit):
                yield f"spec.containers[{one['name']}].resources.requests: must be at most the {what} limit"
    if spec.get("activeDeadlineSeconds") is not None and spec["activeDeadlineSeconds"] < 1:
        yield "spec.activeDeadlineSeconds: Invalid value: must be greater than 0"


def quantity(text: Any) -> float:
    """Return an amount as Kubernetes writes it (``2Gi``, ``500m``) as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS.get(unit, 1)


def matches(item: dict[str, Any], query: dict[str, str]) -> bool:
    """Say whether an object is meant by a query's label and field selectors."""
    labels = item["metadata"].get("labels") or {}
    fields = query.get("fieldSelector", "")
    return all(_holds(labels, one) for one in _REQUIREMENT.finditer(query.get("labelSelector", ""))) and all(
        _field(item, path.rstrip("!")) == value if not path.endswith("!") else _field(item, path[:-1]) != value
        for path, _, value in (part.replace("==", "=").partition("=") for part in fields.split(",") if part)
    )


def _holds(labels: dict[str, str], found: re.Match[str]) -> bool:
    if found["set"]:
        values = [value.strip() for value in found["values"].split(",")]
        return (labels.get(found["set"].strip()) in values) == (found["op"] == "in")
    plain = found["plain"].strip().replace("==", "=")
    if "!=" in plain:
        key, _, value = plain.partition("!=")
        return labels.get(key) != value
    if plain.startswith("!"):
        return plain[1:] not in labels
    key, equal, value = plain.partition("=")
    return labels.get(key) == value if equal else key in labels


def _field(item: dict[str, Any], path: str) -> str:
    for part in path.split("."):
        item = item.get(part) or {}
    return str(item or "")


def stamp(moment: datetime | None = None) -> str:
    """Return a moment as the API writes it: in whole seconds, UTC."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(into: dict[str, Any], change: dict[str, Any]) -> None:
    """Apply a merge patch: None takes a field away."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value
