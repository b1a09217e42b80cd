"""The fenced blocks of the pages, and what invisible comments before them say of each.

A comment stands directly before its block:

``<!-- fragment: why it is none that runs -->``
    The block is left alone.
``<!-- file: bike_demand/product.py -->``
    The block is that file, for the blocks after it.
``<!-- run: rain 2013-01-01 -->``
    The block's DAG is not only parsed but run, in a world of :mod:`tests.factories.page_worlds`, for a logical date.
    A word behind that, ``skipped``, is the state in which its tasks end, if not ``success``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"<!-- ([a-z-]+): (.+?) -->", re.DOTALL)
MARKS = frozenset({"fragment", "file", "run"})
DAGS = frozenset({"DAG", "dag", "MLOpsDag"})


@dataclass(frozen=True)
class Block:
    """A fenced block: where its first line stands, and what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict, hash=False, compare=False)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def padded(self) -> str:
        """The text, on the lines on which it stands in its page: an error names those."""
        return "\n" * (self.line - 1) + self.text

    @property
    def defines_dag(self) -> bool:
        """Whether it makes a DAG, by a call or a decorator."""
        nodes = ast.walk(ast.parse(self.text))
        return any(isinstance(node, ast.Name) and node.id in DAGS for node in nodes)


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """Yield a page's blocks of some languages. :raises ValueError: for a mark that is none, or that marks nothing."""
    marks: dict[str, str] = {}
    for token in MarkdownIt().parse(page.read_text("utf-8")):
        if token.type == "fence" and token.map:
            language = token.info.partition(" ")[0]
            block = Block(page, token.map[0] + 2, language, token.content, marks)
            marks = {}
            if language in languages:
                yield block
        elif marks and token.nesting >= 0:
            raise ValueError(f"{page}: no block follows the comment {marks}")
        elif token.type == "html_block":
            marks = {name: value for name, value in MARK.findall(token.content) if name in MARKS}


def titles(page: Path) -> list[tuple[int, int, str]]:
    """Return a page's headings: line, level and text."""
    tokens = MarkdownIt().parse(page.read_text("utf-8"))
    pairs = pairwise(tokens)
    return [
        (opened.map[0] + 1, int(opened.tag[1]), text.content)
        for opened, text in pairs
        if opened.type == "heading_open" and opened.map
    ]
