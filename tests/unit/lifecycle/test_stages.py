"""One ordered list of stages: operators' files and the README follow it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import airflow_mlops_provider
from airflow_mlops_provider.lifecycle.stages import LOOP, Stage

PACKAGE = Path(airflow_mlops_provider.__file__).parent
README = PACKAGE.parent / "README.md"
SHARED = {"__init__", "base", "events", "lineage", "links"}  # of every stage: the shell itself, and what it tells

BESIDE = {"functions", "maintenance"}  # no stage: what runs any function, and what keeps the house


def test_stages_in_the_order_of_the_data() -> None:
    """The enumeration is the list, from the first look at data to the feedback; the loop begins with the features."""
    first, *loop, last = Stage
    assert (first, last) == ("initiation", "feedback")
    assert (*loop, last) == LOOP and LOOP[0] == "features"


def test_one_operator_file_a_stage() -> None:
    """Each stage has its operators' file, and no other file hides operators."""
    assert {file.stem for file in (PACKAGE / "operators").glob("*.py")} - SHARED - BESIDE == set(Stage)


def test_the_readme_tells_the_stages_in_order() -> None:
    """Some table of the README has one row a stage, in their order."""
    text = README.read_text() if README.exists() else ""
    if not text.strip():
        pytest.skip("the README is still empty")
    tables = [[]]  # type: list[list[str]]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].append(re.sub(r"[`*]", "", line.split("|")[1]).strip().lower())
        elif tables[-1]:
            tables.append([])
    assert any([cell for cell in table if cell in list(Stage)] == list(Stage) for table in tables)
