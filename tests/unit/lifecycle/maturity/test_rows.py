"""The rows are those of the checklist, and each is red while a component that it speaks of is off."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.maturity import rows
from airflow_mlops_provider.lifecycle.maturity.rows import CHECKS, ROWS, judge
from airflow_mlops_provider.lifecycle.maturity.seen import Seen
from airflow_mlops_provider.lifecycle.maturity.verdict import Light, green, red

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "doctor.md"
COMPONENTS = [f"C{number}" for number in range(1, 10)]
OTHERS = (
    "prometheus",
    "pages",
    "latency",
    "alike",
    "review",
    "typed",
    "by hand",
    "loaded",
    "chain",
    "stack",
    "decision",
)
PROBES = {name: green(f"{name} was looked at") for name in (*COMPONENTS, *OTHERS)}
#: What the documentation says of each component.
ABOUT = {
    "C1": "P1 C1 17",
    "C2": "P1 P3 P5 C2 R3 6 7 17",
    "C3": "P2 P6 P9 C3 R7 28 O6",
    "C4": "C4 C8 R4 12 13 18 25",
    "C5": "P6 C5 15 20 21 O5",
    "C6": "C6 23 24 O7",
    "C7": "P3 P4 P7 C7 23 O7",
    "C8": "C8 R6 24 25",
    "C9": "P8 P9 C9 R1 26 27 O1",
}


def test_every_row_of_the_checklist_is_there() -> None:
    """Nine principles, nine components, seven roles, twenty-eight stages, eight challenges; each once, with a check."""
    counts = {"P": 9, "C": 9, "R": 7, "": 28, "O": 8}
    wanted = [f"{letter}{number}" for letter, count in counts.items() for number in range(1, count + 1)]
    assert [row.id for row in ROWS] == wanted
    assert set(CHECKS) == set(wanted)
    assert all(row.title and row.works for row in ROWS)
    assert {component for row in ROWS for component in row.about} == set(COMPONENTS)


def test_the_page_says_the_same() -> None:
    """It lists each component's rows, and for every row where its evidence is from."""
    evidence = PAGE.read_text("utf-8").partition("## What turns red")[2]
    off, _, evidence = evidence.partition("## Where the evidence")
    listed = {line.split()[1]: line.split("|")[-2].strip() for line in off.splitlines() if line.startswith("| C")}
    assert listed == ABOUT
    sources = [line.split("|")[1].split() for line in evidence.splitlines() if line.startswith("| ")][1:]
    assert sorted(name for names in sources for name in names) == sorted(row.id for row in ROWS)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_that_is_off_turns_exactly_its_rows_red(component: str) -> None:
    """Each says what is off, and what to do about it."""
    seen = Seen({**PROBES, component: red("it does not answer")})
    verdicts = {row.id: judge(row, seen) for row in ROWS}
    assert {name for name, verdict in verdicts.items() if verdict.off} == set(ABOUT[component].split())
    assert {v.evidence for v in verdicts.values() if v.off} == {"it does not answer"}
    assert {v.next for v in verdicts.values() if v.off} == {CHECKS[component][1]}


def test_without_a_product_no_row_of_one_is_green() -> None:
    """Nothing was seen: yellow, with the next step, and not red."""
    verdicts = [judge(row, Seen(PROBES)) for row in ROWS]
    assert not any(verdict.off for verdict in verdicts)
    assert all(verdict.next for verdict in verdicts if verdict.light is Light.YELLOW)
    assert judge(ROWS[3], Seen(PROBES)).light is Light.YELLOW


def test_a_check_that_breaks_is_red_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has shown nothing; the error is what was seen."""
    monkeypatch.setitem(rows.CHECKS, "8", (lambda _: 1 / 0, "nothing"))  # type: ignore[arg-type, return-value]
    verdicts = {row.id: judge(row, Seen(PROBES)) for row in ROWS}
    assert verdicts["8"].off
    assert "ZeroDivisionError" in verdicts["8"].evidence
    assert not verdicts["9"].off
