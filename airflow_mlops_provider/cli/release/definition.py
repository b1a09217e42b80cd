"""The commands of this room; their work is imported when they are called."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from airflow.cli.cli_config import ActionCommand, Arg


def _moment(text: str) -> datetime:
    """Return a moment, of a date the last: what was so at the end of that day."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date or time such as 2026-11-27 or 2026-11-27T12:30") from None
    moment = given if given.tzinfo else given.replace(tzinfo=UTC)
    return moment + timedelta(days=1) if len(text) <= len("2026-11-27") else moment


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-11-27") from None


def commands(
    command: Callable[..., ActionCommand], product: Arg, as_json: Arg, number: Callable[[str], int]
) -> tuple[ActionCommand, ...]:
    """Return the commands. :param command: makes one. :param number: reads a version's number."""
    return (
        command(
            "history",
            "Show a product's model versions: each status that they had, and why",
            product,
            Arg(
                ("--at",),
                help="what was live then, and where the others were: a time, or a date's end; UTC",
                type=_moment,
            ),
            as_json,
            more="Read from the ledger in the artifact root of the Airflow that AIRFLOW_HOME names, and checked whole.",
            examples=(
                "AIRFLOW_HOME=var/demo airflow mlops history flight_delay",
                "airflow mlops history flight_delay --at 2026-11-27T12:30",
            ),
        ),
        command(
            "rollback",
            "Bring a model version back that was live before",
            product,
            Arg(
                ("--to",),
                metavar="VERSION",
                help="its number (default: the last that was live)",
                type=number,
            ),
            Arg(("--reason",), help="why, for the ledger", required=True),
            more="The server loads the version first, and goes on with what it has if that fails. Who did it, when and "
            "why is an entry of the ledger. In Airflow's UI the form of the deployment DAG does the same.",
            examples=("airflow mlops rollback flight_delay --reason 'alarms doubled since noon'",),
        ),
        command(
            "waive",
            "Waive a gate that a model version failed: in your name, for a reason, and until a day",
            Arg(("version",), metavar="PRODUCT@VERSION", help="a model version, such as flight_delay@2"),
            Arg(("gate",), help="the gate's name, such as slices; `airflow mlops history` shows which were not passed"),
            Arg(("--reason",), help="why, for the ledger", required=True),
            Arg(("--until",), metavar="DATE", help="the last day on which it holds, UTC", type=_day, required=True),
            more="It is an entry of the ledger, of which MLflow is told first. The version moves by its next promotion "
            "only: clear the task that promotes it. Once the day is over no deployment takes it any more; what serves "
            "goes on. Whether a model loads can't be waived, nor figures that are none, nor a hash that differs.",
            examples=("airflow mlops waive flight_delay@2 slices --reason 'LGA was closed in May' --until 2026-12-31",),
        ),
    )
