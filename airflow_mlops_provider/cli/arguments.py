"""The arguments of ``airflow mlops``, and how a command is described."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

from airflow_mlops_provider.demo import AIRFLOW_PORT

COMMANDS = "airflow_mlops_provider.cli.commands"
HOME = Path("var/demo")
MAX_MONTHS = 12  # the reference product's data is one year's
HERE, RECORDED = "here", "recorded"


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number within bounds."""

    def number(text: str) -> int:
        if not (text.isdecimal() and text.isascii() and least <= int(text[:9]) <= most):
            raise ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return number


def moment(text: str) -> datetime:
    """Return a moment, of a date the last: what was so at the end of that day."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date or time such as 2026-11-27 or 2026-11-27T12:30") from None
    then = given if given.tzinfo else given.replace(tzinfo=UTC)
    return then + timedelta(days=1) if len(text) <= len("2026-11-27") else then


port = integer(1, 65535)

ARG_HOME = Arg(("--home",), help=f"folder for everything it writes (default: {HOME})", default=HOME, type=Path)
ARG_DAGS = Arg(("--dags",), help="folder of DAG files (default: the reference bundle)", type=Path)
ARG_OWN_DAGS = Arg(
    ("--dags",), help="folder of products (default: the configured DAG folders and products folders)", type=Path
)
ARG_PORT = Arg(
    ("--port",),
    help="port of Airflow's API and pages, on 127.0.0.1 (default: %(default)s)",
    default=AIRFLOW_PORT,
    type=port,
)
ARG_SERVING_PORT = Arg(("--serving-port",), help="port of the model server (default: the product's)", type=port)
ARG_PRODUCT = Arg(("product",), help="the product's name")
ARG_ROOT = Arg(("--root",), help="artifact root with the records (default: the configured one)")
ARG_JSON = Arg(("--json",), help="print JSON instead of a table", action="store_true")


def described(
    name: str, summary: str, *args: Arg, more: str = "", examples: tuple[str, ...], group: str = ""
) -> ActionCommand:
    """Return a command whose help ends with examples to copy."""
    lines = "\n".join(f"  {example}" for example in examples)
    return ActionCommand(
        name=name,
        help=summary,
        description=f"{summary}. {more}",
        epilog=f"Examples:\n{lines}",
        func=lazy_load_command(f"{COMMANDS}.{group}{name}"),
        args=args,
    )
