"""What the pages show works: Python runs, DAGs parse and run, commands and options are there."""

from __future__ import annotations

import configparser
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.get_provider_info import get_provider_info
from tests.factories import house, rain
from tests.factories.blocks import ROOT, Block, blocks
from tests.factories.page_worlds import WORLDS, World

PAGES = [page for page in house.pages(ROOT) if page.name != "CHANGELOG.md"]
PYTHON = [block for page in PAGES for block in blocks(page, "python") if "fragment" not in block.marks]
SHELL = [block for page in PAGES for block in blocks(page, "sh", "bash", "console", "shell")]
OPTIONS = [block for page in PAGES for block in blocks(page, "ini")]
CONNECTIONS = {entry["connection-type"]: entry for entry in get_provider_info()["connection-types"]}

Visit = Callable[[str], World]


class Reader:
    """Somebody who follows the pages from top to bottom, each in a folder of its own."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self._new_folder = folder
        self._folders: dict[Path, Path] = {}
        self._names: dict[Path, dict[str, Any]] = {}
        self._read: set[Block] = set()

    def read(self, block: Block) -> Path | None:
        """Do what a block says, and all before it in its page; return the file of one that is a file."""
        for before in blocks(block.page, "python"):
            if before.line < block.line and before not in self._read and "fragment" not in before.marks:
                self.read(before)
        self._read.add(block)
        folder = self._folders.get(block.page) or self._new_folder(block.page.stem)
        self._folders[block.page] = folder
        if "file" in block.marks or block.defines_dag:
            file = folder / block.marks.get("file", f"{block.page.stem.lower()}_{block.line}.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.padded, "utf-8")
            return file
        names = self._names.setdefault(block.page, {"__name__": "__main__"})
        exec(compile(block.padded, str(block.page), "exec", dont_inherit=True), names)
        return None


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who reads every page; what they import from their folders is forgotten after."""
    path, folders = [*sys.path], [rain.PRODUCTS]

    def folder(name: str) -> Path:
        folders.append(tmp_path_factory.mktemp(name))
        sys.path.insert(0, str(folders[-1]))
        return folders[-1]

    sys.path.append(str(folders[0]))
    yield Reader(folder)
    sys.path[:] = path
    # No others: a library that is imported anew trips over what its first import has left.
    for name, module in [*sys.modules.items()]:
        file = Path(getattr(module, "__file__", None) or "/")
        if any(file.is_relative_to(made) for made in folders):
            sys.modules.pop(name)


@pytest.fixture(scope="module")
def world(
    prepared_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., World]]:
    """Return a function that gives the world of a name: made when it is first asked for, and left after the last."""
    made: dict[str, World] = {}

    def give(name: str) -> World:
        if name not in WORLDS:
            pytest.fail(f"no world is called {name!r}; known: {', '.join(sorted(WORLDS))}")
        if name not in made:
            made[name] = WORLDS[name](prepared_home(), tmp_path_factory.mktemp(name))
        return made[name]

    yield give
    for left in made.values():
        left.leave()


@pytest.mark.parametrize("block", PYTHON, ids=str)
@pytest.mark.timeout(1200)
def test_python_runs(block: Block, reader: Reader, world: Visit) -> None:
    """It runs as it stands, or makes a DAG that Airflow can parse; where a comment says so, the DAG runs as well."""
    file = reader.read(block)
    if file is None or not block.defines_dag:
        return
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(file))
    assert bag.import_errors == {}, f"{block}: {bag.import_errors}"
    assert bag.dags, f"{block}: makes no DAG"
    assert all(dag.tasks for dag in bag.dags.values()), f"{block}: a DAG without tasks"
    if "run" in block.marks:
        name, date, expected = (*block.marks["run"].split(), None, None)[:3]
        ended = {task: state for dag_id in bag.dags for task, state in world(name).run(file, dag_id, date).items()}
        states = {state for task, state in ended.items() if task != "features.remake_stale"}  # nothing is
        assert states == {expected or "success"}, block


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_are_there(block: Block) -> None:
    """Airflow's own parser takes each of its commands, with these arguments; connections have the form's fields."""
    from airflow.cli.cli_parser import get_parser

    for number, words in commands(block.text):
        where = f"{block.page}:{block.line + number}"
        try:
            parsed = get_parser().parse_args(words)
        except SystemExit as ended:
            if ended.code:
                pytest.fail(f"{where}: airflow {shlex.join(words)}")
            continue
        if words[:2] == ["connections", "add"]:
            assert_form(parsed.conn_type, json.loads(parsed.conn_extra or "{}"), where)


@pytest.mark.parametrize("block", OPTIONS, ids=str)
def test_options_are_there(block: Block) -> None:
    """Each option of the section ``mlops`` is one that the provider declares."""
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(block.text)
    known = get_provider_info()["config"]["mlops"]["options"]
    assert set(config["mlops"]) <= set(known) if config.has_section("mlops") else True


def commands(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the arguments of each call of ``airflow`` in a shell's text, and the line on which it ends."""
    line = ""
    for number, part in enumerate(text.splitlines()):
        line += f" {part.strip()}"
        if line.endswith("\\"):
            line = line.removesuffix("\\")
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split, lexer.commenters = True, "#"
        try:
            words = [*lexer]
        except ValueError:  # a quotation goes on
            continue
        line = ""
        for call in calls(words):
            program, *rest = [*dropwhile(lambda word: "=" in word, call), ""]
            if program.rpartition("/")[2] == "airflow":
                yield number, rest[:-1]


def calls(words: list[str]) -> Iterator[list[str]]:
    """Yield the calls of a line, between pipes, ampersands and semicolons."""
    for is_sign, group in groupby(words, lambda word: set(word) <= set("();<>|&")):
        if not is_sign:
            yield [*group]


def assert_form(kind: str, extra: dict[str, Any], where: str) -> None:
    """Hold a connection of ours to its form. :param extra: its further fields."""
    if kind in CONNECTIONS:
        assert set(extra) <= set(CONNECTIONS[kind]["conn-fields"]), where
