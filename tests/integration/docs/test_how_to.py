"""Each operator, sensor, decorator and hook has its how-to, with ten lines that run; the pages count them right."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import getmembers, isclass, signature
from pathlib import Path

import pytest

from airflow_mlops_provider.get_provider_info import get_provider_info
from tests.factories.blocks import ROOT, Block, blocks, titles

INFO = get_provider_info()
HOW_TO = ROOT / "docs" / "how-to"
MOST_LINES = 10


def classes(kind: str) -> Iterator[type]:
    """Yield the classes of a kind that its modules define."""
    modules = [name for entry in INFO[kind] for name in entry["python-modules"]]
    for module in modules:
        for name, value in getmembers(import_module(module), isclass):
            is_ours = value.__module__ == module and not name.startswith("_")
            if is_ours and name.endswith(kind.removesuffix("s").capitalize()):
                yield value


OPERATORS, SENSORS = ({kind.__name__: kind for kind in classes(of)} for of in ("operators", "sensors"))
PARTS = {
    "operators": sorted(OPERATORS),
    "sensors": sorted(SENSORS),
    "decorators": sorted(f"@task.{entry['name']}" for entry in INFO.get("task-decorators", ())),
    "connections": sorted(entry["hook-class-name"].rpartition(".")[2] for entry in INFO["connection-types"]),
}
NAMES = [name for names in PARTS.values() for name in names]


@cache
def sections() -> list[tuple[str, Path, int, int]]:
    """Return heading, page, first line and end of each section of the how-tos."""
    parts = []
    for page in sorted(HOW_TO.rglob("*.md")):
        headings = titles(page)
        for number, (line, level, title) in enumerate(headings):
            later = [begun for begun, depth, _ in headings[number + 1 :] if depth <= level]
            parts.append((title, page, line, min(later, default=sys.maxsize)))
    return parts


def example(name: str) -> Block | None:
    """Return the first example of a part's section: that whose heading names it."""
    for title, page, first, end in sections():
        if name in re.split(r"[\s:,`]+", title):
            return next((block for block in blocks(page, "python") if first < block.line < end), None)
    return None


@pytest.mark.parametrize("name", NAMES)
def test_each_part_has_its_how_to(name: str) -> None:
    """A page, or a section of one, is headed by its name, and has an example of ten lines at most, beside imports."""
    block = example(name)
    assert block, f"no heading below docs/how-to names {name}, or no example follows it"
    assert name.removeprefix("@") in block.text
    lines = re.sub(r"^(from [\w.]+ )?import (\([^)]*\)|.*)$", "", block.text, flags=re.MULTILINE)
    assert sum(bool(line.strip()) for line in lines.splitlines()) <= MOST_LINES, block
    assert "fragment" not in block.marks, block


def lacking(name: str) -> list[str]:
    """Return what an operator or sensor lacks of what each has in anybody's DAG."""
    block, kind = example(name), (OPERATORS | SENSORS)[name]
    taken = {argument for base in kind.__mro__ for argument in signature(base.__init__).parameters}
    there = {
        "an example without a product": bool(block) and not re.search(r"MLProduct|\bimport product\b", block.text),
        "an example that is run": bool(block) and "run" in block.marks,
        "templates": bool(getattr(kind, "template_fields", ())),
        "a connection": ("kubernetes_conn_id" if name == "DurablePodOperator" else "conn_id") in taken,
    }
    return [what for what, is_there in there.items() if not is_there]


@pytest.mark.parametrize("name", [*PARTS["operators"], *PARTS["sensors"]])
def test_each_works_alone(name: str) -> None:
    """Its first example runs with no product; it takes a connection, and templates."""
    assert lacking(name) == []


@pytest.mark.parametrize("name", PARTS["decorators"])
def test_each_decorator_is_run(name: str) -> None:
    """Its first example runs, with no product."""
    block = example(name)
    assert block
    assert "run" in block.marks
    assert "import product" not in block.text


def test_the_count_is_right() -> None:
    """The first page of the how-tos says how many parts there are."""
    text = (HOW_TO / "README.md").read_text("utf-8")
    stated = {kind.removesuffix("s"): int(count) for count, kind in re.findall(r"(\d+) (\w+)", text)}
    assert stated == {kind.removesuffix("s"): len(names) for kind, names in PARTS.items() if names}
