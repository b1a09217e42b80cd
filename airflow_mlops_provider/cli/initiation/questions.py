"""The questions that ``init`` has at a terminal, and what it shows there."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.jobs.initiation.page import proposed
from airflow_mlops_provider.lifecycle.initiation.problem import Problem
from airflow_mlops_provider.lifecycle.initiation.profile import Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.initiation.propose import Answers, propose
from airflow_mlops_provider.lifecycle.sections import Kpi
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.storage.layout import NAME

_KPI = re.compile(r"(.*\S)\s+(-?\d+(?:\.\d+)?)\s*(.*)")


def show(seen: Profile, proposal: Proposal) -> None:
    """Print what was seen and what is proposed."""
    reading, terminal = seen.reading, console()
    sample = "" if reading.sampled == reading.rows else f" ({reading.sampled:,} looked at)"
    terminal.print(f"\n{proposal.goal}\n", markup=False)
    terminal.print(f"{reading.source}: {reading.rows:,} rows{sample}, {len(seen.columns)} columns", markup=False)
    terminal.print(table(("", "proposed", "because"), proposed(seen, proposal)))
    if seen.suspects:
        rows = [(each.column, each.pattern, each.evidence, each.advice) for each in seen.suspects]
        terminal.print(table(("column", "pattern", "evidence", "do"), rows, "\nMay give the label away"))
    terminal.print("\nLeft to decide", markup=False)
    for line in proposal.decide:
        terminal.print(f"- {line}", markup=False)


def agreed(
    looked: Any, args: Namespace, seen: Profile, problem: Problem, proposal: Proposal, now: datetime
) -> tuple[Profile, Proposal]:
    """Return profile and proposal as a person wants them."""
    print("\nFive questions; Enter takes what is proposed.")
    columns = [column.name for column in seen.columns]
    label = _answer("label", proposal.label or "none", lambda text: text in (*columns, "none"), ", ".join(columns))
    if label != (proposal.label or "none"):
        seen, problem = looked.profile(label, args.time, args.problem)
        proposal = propose(seen, problem, Answers(name=proposal.name), proposal.owner, now)
        show(seen, proposal)
    name = _answer("name", proposal.name, is_free(args.to), "small letters, digits and _, and no folder of that name")
    goal = _answer("goal", proposal.goal)
    kpi = proposal.kpi
    line = f"{kpi.name} {kpi.target:g} {kpi.unit}"
    given = _answer("KPI and target", line, _KPI.fullmatch, "a name, a number, a unit: late calls 12 a day")
    words = _KPI.fullmatch(given)
    own = Kpi(name=words[1], target=float(words[2]), unit=words[3] or words[1]) if words and given != line else None
    owner = _answer("owner", proposal.owner)
    return seen, propose(seen, problem, Answers(name=name, goal=goal, kpi=own, owner=owner), owner, now)


def _answer(what: str, default: str, fits: Callable[[str], object] = bool, wanted: str = "some text") -> str:
    while True:
        try:
            text = input(f"{what} [{default}]: ").strip() or default
        except EOFError:
            text = default
            if not fits(text):
                raise ConfigurationError(f"{what}: {text!r} won't do; give {wanted}") from None
        if fits(text):
            return text
        print(f"{text!r} won't do; give {wanted}")


def is_free(folder: Path) -> Callable[[str], bool]:
    """Return what says of a name whether a product in a folder may have it."""
    return lambda name: re.fullmatch(NAME, name) is not None and not (folder / name).exists()
