"""Looks at data, proposes a product for it, asks a few things, writes its folder, and lays the history for it."""

from __future__ import annotations

import getpass
import json
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from airflow_mlops_provider.cli.initiation import questions
from airflow_mlops_provider.cli.initiation.data import Data
from airflow_mlops_provider.cli.initiation.writing import Target, write
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.initiation.propose import Answers, name_of, propose
from airflow_mlops_provider.lifecycle.initiation.writing.declared import Declared


def run(args: Namespace) -> None:
    """Look, ask, and write."""
    try:
        _run(args)
    except UnknownNameError as error:  # of a column, or a kind of problem: there is no other place to look for it
        raise ConfigurationError(str(error)) from None


def _run(args: Namespace) -> None:
    from airflow_mlops_provider.backends.profiles.whole import Look

    data, now = Data(args.data, args.query), datetime.now(UTC)
    looked = Look(*data.look())
    seen, problem = looked.profile(args.label, args.time, args.problem)
    name = name_of(seen.reading.source)
    if (args.to / name).exists() and (args.to / name).resolve() == Path(args.data).resolve():  # the data's own name
        name = f"{name}_product"
    proposal = propose(seen, problem, Answers(name=name), getpass.getuser(), now)
    if not args.json:
        questions.show(seen, proposal)
    agreed = not (args.yes or args.json) and sys.stdin.isatty()
    if agreed:
        seen, proposal = questions.agreed(looked, args, seen, problem, proposal, now)
    target = Target.of(args)
    lines = write(seen, Declared(proposal, data.query), data, target, decide=not agreed)
    if args.json:
        print(json.dumps(proposal.to_json(), indent=1))
    else:
        print("\n".join(lines))
