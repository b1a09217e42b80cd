"""The house keeps its rules: plain names, small rooms, tests that mirror them, pages that do not rot."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

import airflow_mlops_provider
from tests.factories import house

PACKAGE = Path(airflow_mlops_provider.__file__).parent
ROOT = PACKAGE.parent
WALK = ROOT / "docs" / "architecture.md"
RECORDS = ROOT / "docs" / "adr"
#: So many loops over ``one`` and values called ``found`` are left where nothing better was to be had.
RARE = 40


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A small checkout that breaks no rule."""
    _plant(tmp_path, f"{house.PACKAGE}/__init__.py", '"""A house."""\n')
    _plant(tmp_path, f"{house.PACKAGE}/jobs/__init__.py", '"""The work."""\n')
    _plant(tmp_path, f"{house.PACKAGE}/jobs/train.py", '"""Trains."""\n\n\ndef run():\n    return 1\n')
    _plant(tmp_path, "tests/unit/jobs/test_train.py", "")
    _plant(tmp_path, "Makefile", "demo: ready ## all\n")
    layers = (
        '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["operators : (ui)", "jobs", "render | backends"]\n'
    )
    _plant(tmp_path, "pyproject.toml", layers)
    return tmp_path


def _plant(root: Path, name: str, text: str) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


# --- the real tree


@pytest.mark.parametrize(
    "folder", [PACKAGE, ROOT / "dags", ROOT / "plugins", ROOT / "benchmarks"], ids=lambda f: f.name
)
def test_plain_names(folder: Path) -> None:
    """Nothing is called by a word that the field does not use."""
    assert house.forbidden_names(folder) == []


def test_vague_names_are_rare() -> None:
    """A loop's variable is called by what it is, and so is what was looked for."""
    vague = house.vague_names(PACKAGE)
    assert len(vague) <= RARE, "\n".join(vague)


def test_rooms_that_a_reader_takes_in() -> None:
    """No folder has more than fifteen modules, no module more than 300 lines."""
    assert house.crowded(PACKAGE) == []


def test_every_room_says_what_it_is() -> None:
    """Each folder of the package is a package with a docstring."""
    assert house.unintroduced(PACKAGE) == []


def test_unit_tests_mirror_the_rooms() -> None:
    """A reader finds the tests of a room by its path."""
    assert house.unmirrored(ROOT / "tests" / "unit", PACKAGE) == []


@pytest.mark.parametrize("page", house.pages(ROOT), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_only_what_is_there(page: Path) -> None:
    """Files, links, functions, modules and commands that a page names exist."""
    from airflow_mlops_provider.cli.definition import get_mlops_cli_commands

    group = get_mlops_cli_commands()[0]
    assert house.unresolved(page, ROOT, {command.name for command in group.subcommands}) == []


def test_the_walk_goes_one_way() -> None:
    """The walk of a delivery is there, and the code makes its calls, down the layers that import-linter holds."""
    assert len(house.walked(WALK)) > 40
    assert house.wrong_calls(WALK, ROOT) == []


def test_every_room_is_described() -> None:
    """The list of rooms is that of the package's folders, and their order that of the contract for imports."""
    text = WALK.read_text("utf-8")
    rooms = {file.parent.name for file in PACKAGE.glob("[!_]*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == rooms
    drawing = text.partition("```\n")[2].partition("```")[0]
    order = {room: place for place, names in enumerate(drawing.split("→")) for room in re.findall(r"\w+", names)}
    layers = {room: place for room, place in house.layers(ROOT).items() if room in rooms | {"plugins"}}
    assert order.keys() == layers.keys()
    for one, other in combinations(order, 2):
        assert (order[one] < order[other]) == (layers[one] < layers[other]), (one, other)


def test_commit_hooks_are_make_lint() -> None:
    """Whoever commits with the hooks passes the linters of CI: the same programs, from the same environment."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    entries = {" ".join(hook["entry"].split()[:2]).removeprefix(".venv/bin/") for hook in hooks[0]["hooks"]}
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    lint = {re.sub(r"( --check)? \.$", "", line.removeprefix("\t@$(BIN)/")) for line in recipe.splitlines()[1:]}
    assert entries == lint


def test_the_index_of_decisions_is_whole() -> None:
    """Each record is in the index once, under its own title, and has its parts."""
    index = dict(
        re.findall(r"\(([0-9]{4}-[a-z0-9-]+\.md)\) \| ([^|]+?) \|", (RECORDS / "README.md").read_text("utf-8"))
    )
    texts = {file.name: file.read_text("utf-8") for file in RECORDS.glob("0*.md")}
    assert index == {name: text.splitlines()[0].partition(". ")[2] for name, text in texts.items()}
    for name, text in texts.items():
        parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], name


# --- the rules themselves, on planted cases


@pytest.mark.parametrize(
    "line",
    [
        "def told(): ...",
        "async def _asked(): ...",
        "class Elsewhere: ...",
        "def run(drawn=1): ...",
        "def run(*bears): ...",
        "value = lambda tail: 1",
        "FAREWELLS = ()",
        "receipt: int = 1",
        "for stands in (): ...",
        "value = [asked for asked in ()]",
        "run.left_by = 1",
        "import os as silence",
        "with open('x') as told: ...",
        "if (told := 1): ...",
        "try: ...\nexcept OSError as told: ...",
        "match 1:\n    case reveals: ...",
        "run(as_asked=1)",
        "class Run:\n    Patience: int",
        "class Workshop_: ...",
    ],
)
def test_a_forbidden_name_is_found(planted: Path, line: str) -> None:
    """However something comes by such a name."""
    _plant(planted, f"{house.PACKAGE}/jobs/bad.py", f"{line}\n")
    assert len(house.forbidden_names(planted / house.PACKAGE)) == 1


@pytest.mark.parametrize(
    "line", ["frame.tail(3)", "patience = 3", "retold = 1", "'told'", "# asked", "details = 1", "print(told)"]
)
def test_other_names_are_no_offence(planted: Path, line: str) -> None:
    """Words of others, longer words and text may hold them."""
    _plant(planted, f"{house.PACKAGE}/jobs/good.py", f"{line}\n")
    assert house.forbidden_names(planted / house.PACKAGE) == []


def test_a_module_with_a_forbidden_name_is_found(planted: Path) -> None:
    """A file's name is a name."""
    _plant(planted, f"{house.PACKAGE}/jobs/receipt.py", "")
    assert house.forbidden_names(planted / house.PACKAGE) == ["jobs/receipt.py: the module itself"]


def test_vague_names_are_counted(planted: Path) -> None:
    """In loops and comprehensions, by any kind of assignment; a word of the text is none."""
    _plant(
        planted,
        f"{house.PACKAGE}/jobs/vague.py",
        dedent("""
            for one in (): ...
            [one for one in ()]
            found = 1
            found: int = 1
            if found := 1: ...
            'for one in all'
            one = found
        """),
    )
    assert len(house.vague_names(planted / house.PACKAGE)) == 5


def test_a_full_room_and_a_long_module_are_found(planted: Path) -> None:
    """Fifteen modules and 300 lines are allowed, one more is not."""
    package = planted / house.PACKAGE
    for number in range(14):
        _plant(package, f"jobs/job_{number}.py", "\n" * 300)
    assert house.crowded(package) == []
    _plant(package, "jobs/job_14.py", "\n" * 301)
    assert house.crowded(package) == [
        f"{house.PACKAGE}/jobs: 16 modules",
        f"{house.PACKAGE}/jobs/job_14.py: 301 lines",
    ]


def test_a_room_without_a_word_is_found(planted: Path) -> None:
    """Also one that only holds further rooms."""
    package = planted / house.PACKAGE
    assert house.unintroduced(package) == []
    _plant(package, "jobs/__init__.py", "")
    _plant(package, "places/kubernetes/pod.py", "")
    assert house.unintroduced(package) == [
        f"{house.PACKAGE}/jobs: __init__.py has no docstring",
        f"{house.PACKAGE}/places: no __init__.py",
        f"{house.PACKAGE}/places/kubernetes: no __init__.py",
    ]


def test_tests_of_a_room_that_is_no_more_are_found(planted: Path) -> None:
    """A room that moved takes its tests with it."""
    tests, package = planted / "tests" / "unit", planted / house.PACKAGE
    _plant(tests, "dags/test_rules.py", "")
    assert house.unmirrored(tests, package) == []
    _plant(tests, "jobs/features/test_clean.py", "")
    assert house.unmirrored(tests, package) == ["jobs/features"]


@pytest.mark.parametrize(
    "text",
    [
        "`jobs/gone.py`",
        f"see {house.PACKAGE}/gone.py here",
        "[word](docs/gone.md)",
        f"[jobs/gone.py]({house.PACKAGE}/jobs/train.py)",
        "`jobs/train.py:gone`",
        "`jobs/gone.py:run`",
        f"`{house.PACKAGE}.gone`",
        f"`{house.PACKAGE}.jobs.train:gone`",
        "`make gone`",
        "```sh\nmake EXTRAS=torch gone  # words\n```",
        "```sh\nAIRFLOW_HOME=x .venv/bin/airflow mlops gone --help\n```",
        "`airflow\nmlops gone`",
    ],
)
def test_a_page_that_names_what_is_gone_is_found(planted: Path, text: str) -> None:
    """Whatever it is, and wherever it stands."""
    page = _plant(planted, "README.md", f"# A page\n\n{text}\n")
    assert len(house.unresolved(page, planted, {"demo"})) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"`jobs/train.py`, `jobs/`, [jobs/train.py]({house.PACKAGE}/jobs/train.py), `jobs/train.py:run`",
        f"`{house.PACKAGE}.jobs.train:run`, `python -m {house.PACKAGE}.jobs.train`",
        "```sh\nmake demo   # make it so\n.venv/bin/airflow mlops demo\n```",
        "`airflow mlops`, `airflow mlops …`, `make`; make haste",
        "`s3://bucket/prefix`, `/predict`, `var/demo/summary.html`, `settings.json`",
        "[away](https://example.org/gone.md), [here](#part)",
    ],
)
def test_a_page_that_names_what_is_there_is_left_alone(planted: Path, text: str) -> None:
    """Nor is a word of ordinary text taken for a command."""
    page = _plant(planted, "README.md", f"# A page\n\n{text}\n")
    assert house.unresolved(page, planted, {"demo"}) == []


def test_a_call_that_is_not_made_is_found(planted: Path) -> None:
    """A call goes down or stays, and its module names what it calls; a hand-over by a record may lead anywhere."""
    package = planted / house.PACKAGE
    _plant(package, "operators/a.py", "from jobs.train import run\n\n\ndef execute():\n    run()\n")
    _plant(package, "backends/b.py", "def fit(run):\n    run()\n")
    down = "1. `operators/a.py:execute` → `jobs/train.py:run`\n"
    over = "2. `jobs/train.py:run` ⇒ `operators/a.py:execute`; `backends/b.py:fit`\n"
    page = _plant(planted, "docs/architecture.md", down + over)
    assert house.wrong_calls(page, planted) == []
    page.write_text(
        f"{down}{over}3. `backends/b.py:fit` → `jobs/train.py:run`\n4. `jobs/train.py:run` → `backends/b.py:fit`\n"
    )
    assert house.wrong_calls(page, planted) == [
        "backends/b.py:fit → jobs/train.py:run",
        "jobs/train.py:run → backends/b.py:fit",
    ]
