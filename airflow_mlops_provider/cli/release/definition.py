"""The commands of this room; their work is imported when they are called."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import date

from airflow.cli.cli_config import Arg

from airflow_mlops_provider.cli.arguments import ARG_JSON, ARG_PRODUCT, HOME, described, integer, moment


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-11-27") from None


COMMANDS = (
    described(
        "history",
        "Show a product's model versions: each status that they had, and why",
        ARG_PRODUCT,
        Arg(
            ("--at",),
            help="what was live then, and where the others were: a time, or a date's end; UTC",
            type=moment,
        ),
        ARG_JSON,
        more="Read from the ledger in the artifact root of the Airflow that AIRFLOW_HOME names, and checked whole.",
        examples=(
            f"AIRFLOW_HOME={HOME} airflow mlops history flight_delay",
            "airflow mlops history flight_delay --at 2026-11-27T12:30",
        ),
    ),
    described(
        "rollback",
        "Bring a model version back that was live before",
        ARG_PRODUCT,
        Arg(
            ("--to",),
            metavar="VERSION",
            help="its number (default: the last that was live)",
            type=integer(1, 10**9),
        ),
        Arg(("--reason",), help="why, for the ledger", required=True),
        more="The server loads the version first, and goes on with what it has if that fails. Who did it, when and "
        "why is an entry of the ledger. In Airflow's UI the form of the deployment DAG does the same.",
        examples=("airflow mlops rollback flight_delay --reason 'alarms doubled since noon'",),
    ),
    described(
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
