"""``airflow mlops init``: looks at data, proposes a product for it, asks a few things, and writes that down."""

from __future__ import annotations

import getpass
import json
import re
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError, UnknownNameError
from airflow_mlops_provider.hooks.tables import Files, fetched
from airflow_mlops_provider.jobs.initiation.page import proposed
from airflow_mlops_provider.jobs.initiation.profile import PAGE, write
from airflow_mlops_provider.lifecycle.initiation.problem import Problem
from airflow_mlops_provider.lifecycle.initiation.profile import Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.initiation.propose import Answers, name_of, propose
from airflow_mlops_provider.lifecycle.sections import Kpi
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.storage.atomic import atomic_write
from airflow_mlops_provider.storage.layout import NAME

_BUCKETS = ("s3://", "gs://", "abfs://", "file://")
_KPI = re.compile(r"(.*\S)\s+(-?\d+(?:\.\d+)?)\s*(.*)")


def run(args: Namespace) -> None:
    """Look, ask, and write report, profile and proposal into the product's folder."""
    try:
        _run(args)
    except UnknownNameError as error:  # of a column, or a kind of problem: there is no other place to look for it
        raise ConfigurationError(str(error)) from None


def _run(args: Namespace) -> None:
    from airflow_mlops_provider.backends.profiles.whole import Look

    looked = Look(*_read(args.data, args.query))
    seen, problem = looked.profile(args.label, args.time, args.problem)
    name = name_of(seen.reading.source)
    if Path(name).exists() and Path(name).resolve() == Path(args.data).resolve():  # the data are called so themselves
        name = f"{name}_product"
    proposal = propose(seen, problem, Answers(name=name), getpass.getuser())
    if not args.json:
        _show(seen, proposal)
    if not (args.yes or args.json) and sys.stdin.isatty():
        seen, proposal = _agreed(looked, args, seen, problem, proposal)
    folder = _written(seen, proposal, args.report)
    if args.json:
        print(json.dumps(proposal.to_json(), indent=1))
    else:
        print(f"report: {args.report or folder / PAGE}\nproposal: {folder / 'proposal.json'}")


# --- the data ---------------------------------------------------------------------------------------------------------


def _read(data: str, query: str | None) -> Any:
    """Return the rows, or a sample of them, and how they are written: of files, or of what a query gives."""
    from airflow_mlops_provider.backends.tables.undeclared import look, look_at_rows

    if query is not None or ("://" in data and not data.startswith(_BUCKETS)):
        connection, shown = _connected(data)
        with closing(connection):
            statement = _statement(query, shown, data)
            what = f"{query} of {shown}"
            return look_at_rows(_rows(connection, statement, what), what)
    path = f"{data}/" if Path(data).is_dir() and not data.endswith("/") else data
    if not data.startswith(_BUCKETS) and not re.search(r"[*?\[]", data) and not Path(data).exists():
        raise ConfigurationError(f"there is no file or folder {data}; a table of a database needs --query, too")
    with tempfile.TemporaryDirectory(prefix="mlops-init-") as scratch:
        return look(Files(path).copies(Path(scratch)), data)


def _rows(connection: Any, statement: str, what: str) -> Any:
    try:
        yield from fetched(connection, statement, what)
    except MLOpsError:
        raise
    except Exception as error:  # noqa: BLE001  # each driver has its own
        raise ConfigurationError(f"{what} can't be read: {_line(error)}") from None


def _connected(data: str) -> tuple[Any, str]:
    """Return a driver's connection, by a SQLAlchemy URL or an Airflow connection, and what to call it."""
    try:
        if "://" in data:
            from sqlalchemy import create_engine, make_url

            url = make_url(data)
            if url.get_backend_name() == "sqlite":
                Path(url.database or "").stat()  # the driver would make an empty file
            return create_engine(url).raw_connection(), url.render_as_string(hide_password=True)
        from airflow.sdk import BaseHook

        return BaseHook.get_connection(data).get_hook().get_conn(), data
    except Exception as error:  # noqa: BLE001  # each driver has its own
        shown = re.sub("//[^/]*@", "//***@", data)
        why = f"{_line(error)}"
        raise ConfigurationError(
            f"{shown} can't be reached: {why}; give a SQLAlchemy URL or the id of an Airflow connection"
        ) from None


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _statement(query: str | None, shown: str, data: str) -> str:
    """Return the statement: of a table's name, all of it. :raises ConfigurationError: without one; lists the tables."""
    if query is None:
        from sqlalchemy import create_engine, inspect

        tables = ", ".join(inspect(create_engine(data)).get_table_names()) or "none"
        raise ConfigurationError(f"say what to read of {shown}, with --query: a statement, or a table, of {tables}")
    return f"select * from {query}" if re.fullmatch(r"[\w.\"`]+", query) else query  # noqa: S608  # the user's own


# --- the terminal -----------------------------------------------------------------------------------------------------


def _show(seen: Profile, proposal: Proposal) -> None:
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


def _agreed(
    looked: Any, args: Namespace, seen: Profile, problem: Problem, proposal: Proposal
) -> tuple[Profile, Proposal]:
    """Return profile and proposal as a person wants them."""
    print("\nFive questions; Enter takes what is proposed.")
    columns = [column.name for column in seen.columns]
    label = _answer("label", proposal.label or "none", lambda text: text in (*columns, "none"), ", ".join(columns))
    if label != (proposal.label or "none"):
        seen, problem = looked.profile(label, args.time, args.problem)
        proposal = propose(seen, problem, Answers(name=proposal.name), proposal.owner)
        _show(seen, proposal)
    name = _answer("name", proposal.name, _is_free, "small letters, digits and _, and no folder of that name")
    goal = _answer("goal", proposal.goal)
    kpi = proposal.kpi
    line = f"{kpi.name} {kpi.target:g} {kpi.unit}"
    given = _answer("KPI and target", line, _KPI.fullmatch, "a name, a number, a unit: late calls 12 a day")
    words = _KPI.fullmatch(given)
    own = Kpi(name=words[1], target=float(words[2]), unit=words[3] or words[1]) if words and given != line else None
    owner = _answer("owner", proposal.owner)
    return seen, propose(seen, problem, Answers(name=name, goal=goal, kpi=own, owner=owner), owner)


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


def _is_free(name: str) -> bool:
    return re.fullmatch(NAME, name) is not None and not Path(name).exists()


def _written(seen: Profile, proposal: Proposal, report: Path | None) -> Path:
    """Write the folder of the product, whole or not at all."""
    folder = Path(proposal.name)
    if folder.exists():
        raise ConfigurationError(f"{folder.resolve()} is there already; give another name, or go to another folder")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=".") as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        write(made, seen, proposal)
        if report:
            atomic_write(report, (made / PAGE).read_bytes())
            (made / PAGE).unlink()
        made.rename(folder)
    return folder
