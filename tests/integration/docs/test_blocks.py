"""Blocks are taken out of pages with their lines and marks, and what is wrong with one is named by page and line."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.factories import blocks as parsing
from tests.factories.blocks import Block, blocks, titles
from tests.integration.docs.test_examples import Reader, assert_form, commands

PAGE = """
# A page

<!-- fragment: the rest is
another team's -->
```python
product = …
```

1. First this:

   <!-- file: shop/rules.py -->
   ```python
   KEEP = 3
   ```

```sh
airflow mlops history
```

## Its second part

```python
from shop.rules import KEEP

kept = KEEP
```

```python
assert kept == 4
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with something of everything."""
    monkeypatch.setattr(parsing, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "reading"), *sys.path])
    file = tmp_path / "page.md"
    file.write_text(PAGE)
    return file


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Somebody who reads it."""
    return Reader(lambda _: tmp_path / "reading")


def test_blocks_and_their_marks(page: Path) -> None:
    """Also those within a list; a mark may go over lines, and counts for the block that follows."""
    python = [(block.line, [*block.marks], block.text.splitlines()[0]) for block in blocks(page, "python")]
    assert python == [
        (7, ["fragment"], "product = …"),
        (14, ["file"], "KEEP = 3"),
        (24, [], "from shop.rules import KEEP"),
        (30, [], "assert kept == 4"),
    ]
    assert [str(block) for block in blocks(page, "sh")] == ["page.md:18"]
    assert titles(page) == [(2, 1, "A page"), (21, 2, "Its second part")]


def test_a_page_is_read_from_its_top(page: Path, reader: Reader) -> None:
    """A block knows the names and files of those before it; one that fails is named by page and line."""
    *_, kept, wrong = blocks(page, "python")
    reader.read(kept)
    with pytest.raises(AssertionError) as raised:
        reader.read(wrong)
    assert (str(raised.traceback[-1].path), raised.traceback[-1].lineno + 1) == (str(page), 30)


def test_a_mark_without_a_block_is_refused(page: Path) -> None:
    """It would else seem to say something."""
    page.write_text("<!-- run: rain -->\n\nSome words.\n\n```python\npass\n```\n")
    with pytest.raises(ValueError, match="no block follows"):
        list(blocks(page, "python"))


@pytest.mark.parametrize(
    ("text", "makes"),
    [
        ("with DAG('a'):\n    pass", True),
        ("@dag(schedule=None)\ndef a(): ...", True),
        ("MLOpsDag(product, 'training')", True),
        ("print('a DAG')", False),
    ],
)
def test_what_makes_a_dag(text: str, makes: bool) -> None:
    """A call or a decorator does, a word does not."""
    assert Block(Path("page.md"), 1, "python", text).defines_dag is makes


def test_commands_in_a_shells_text() -> None:
    """Continued lines, variables, pipes and comments are the shell's; texts over several lines are left alone."""
    text = dedent(r"""
        export AIRFLOW_HOME=here  # airflow nothing
        A=1 .venv/bin/airflow mlops history rain | head && airflow db migrate
        curl -d '{"rows":
          [1]}' localhost
        airflow connections add a \
            --conn-type mlflow
    """)
    assert list(commands(text)) == [
        (2, ["mlops", "history", "rain"]),
        (2, ["db", "migrate"]),
        (6, ["connections", "add", "a", "--conn-type", "mlflow"]),
    ]


def test_a_field_that_a_form_lacks_is_refused() -> None:
    """A connection of another's type may have any."""
    assert_form("http", {"any": 1}, "page.md:1")
    assert_form("mlops_artifact_store", {"root": "s3://bucket"}, "page.md:1")
    with pytest.raises(AssertionError, match=r"page.md:1"):
        assert_form("mlops_artifact_store", {"rot": "s3://bucket"}, "page.md:1")
