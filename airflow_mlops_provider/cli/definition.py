"""What ``airflow mlops`` offers; the work is imported when a command is called."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command

from airflow_mlops_provider.demo import AIRFLOW_PORT, MLFLOW_PORT

COMMANDS = "airflow_mlops_provider.cli.commands"
HOME = Path("var/demo")
MOST_MONTHS = 12  # the reference product's data is one year's


def _whole(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and text.isascii() and least <= int(text[:9]) <= most):
            raise ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return number


_port = _whole(1, 65535)

ARG_HOME = Arg(("--home",), help=f"folder for everything it writes (default: {HOME})", default=HOME, type=Path)
ARG_RUNNING_HOME = Arg(
    ("--home",), help=f"the --home that `up` was given (default: $AIRFLOW_HOME or {HOME})", default=None, type=Path
)
ARG_DAGS = Arg(("--dags",), help="folder of DAG files (default: the reference bundle)", default=None, type=Path)
ARG_OWN_DAGS = Arg(
    ("--dags",), help="folder of products (default: the configured DAG folders and products folders)", type=Path
)
ARG_PORT = Arg(
    ("--port",),
    help=f"port of Airflow's API and pages, on 127.0.0.1 (default: {AIRFLOW_PORT})",
    default=AIRFLOW_PORT,
    type=_port,
)
ARG_SERVING_PORT = Arg(
    ("--serving-port",), help="port of the model server (default: the product's)", default=None, type=_port
)
ARG_MLFLOW_PORT = Arg(
    ("--mlflow-port",), help=f"port of MLflow's pages (default: {MLFLOW_PORT})", default=MLFLOW_PORT, type=_port
)
ARG_MONTHS = Arg(("--months",), help="data intervals to replay (default: 7)", default=7, type=_whole(1, MOST_MONTHS))
ARG_PRODUCT = Arg(("product",), help="the product's name")
REPRODUCE = (
    "First it compares what stands here and now with the record: delivered files, code and settings of each step, "
    "packages, kept results. If all is the same, it makes raw tables, features, training set, model and evaluation "
    "again: with the code of the recorded commit, in a clean environment, in a new artifact "
    "root with a feature store and an MLflow of its own, and each job at the configured place. It stops at the first "
    "thing that differs. The last line is `identical` (exit status 0) or `differs: ...` with that thing (1)."
)
ARG_VERSION = Arg(("version",), metavar="PRODUCT@VERSION", help="a model version, such as flight_delay@1")
ARG_ROOT = Arg(("--root",), help="artifact root with the records (default: the configured one)", default=None)
ARG_LANDING = Arg(("--landing",), help="where deliveries lie (default: where they lay then)", default=None)
ARG_REPOSITORY = Arg(
    ("--repository",), help="path or URL of a repository with the recorded commit (default: the one on record)"
)
ARG_AT = Arg(
    ("--at",),
    choices=("here", "recorded"),
    default="here",
    help="here: code and settings that stand here and differ from the record end it; "
    "recorded: they are left aside, and only the record's own count (default: here)",
)
ARG_WORK = Arg(
    ("--work",),
    help="folder below which everything is made; every place that runs jobs must reach it (default: temporary)",
    default=None,
    type=Path,
)
ARG_KEEP = Arg(("--keep",), help="keep what was made, and the jobs' log", action="store_true")
ARG_MODEL = Arg(("model",), nargs="?", metavar="PRODUCT@VERSION", help="a model version, such as flight_delay@1")
ARG_DATASET = Arg(
    ("--dataset",),
    metavar="HASH",
    help="instead, any dataset (raw, clean, features, training), by the start of its hash",
)
ARG_FILE = Arg(
    ("--file",),
    metavar="FILE",
    help="instead, a delivered file: the file itself, its name, or the start of its SHA-256",
)
ARG_GRAPH = Arg(("--graph",), metavar="FILE", help="draw it into this SVG file", default=None, type=Path)
ARG_CLOSE = Arg(("--close",), metavar="REQUEST", help="answer this request, so that it is not listed any more")
ARG_ANSWER = Arg(("--answer",), help="with --close: what became of it, such as a commit (default: done)")
ARG_JSON = Arg(("--json",), help="print JSON instead of a table", action="store_true")


def get_mlops_cli_commands() -> list[CLICommand]:
    """Return the commands that the provider adds to Airflow's own."""
    return [
        GroupCommand(name="mlops", help="The whole MLOps loop: products, models, and a local demo", subcommands=_ALL)
    ]


def _command(name: str, says: str, *args: Arg, more: str = "", such_as: tuple[str, ...]) -> ActionCommand:
    """Return a command; its examples stand at the end of its help, where they can be copied from."""
    lines = "\n".join(f"  {example}" for example in such_as)
    return ActionCommand(
        name=name,
        help=says,
        description=f"{says}. {more}",
        epilog=f"Examples:\n{lines}",
        func=lazy_load_command(f"{COMMANDS}.{name}"),
        args=args,
    )


_ALL = (
    _command(
        "products",
        "List the products in reach, with goal and owner",
        ARG_OWN_DAGS,
        ARG_JSON,
        more="They lie in the DAG folders of the Airflow in AIRFLOW_HOME, or in AIRFLOW__MLOPS__PRODUCTS_FOLDERS.",
        such_as=("airflow mlops products", "airflow mlops products --dags my/dags --json"),
    ),
    _command(
        "versions",
        "Show a product's model versions, where each stands and why",
        ARG_PRODUCT,
        ARG_JSON,
        more="Read from the artifact root of the Airflow that AIRFLOW_HOME names.",
        such_as=(f"AIRFLOW_HOME={HOME} airflow mlops versions flight_delay",),
    ),
    _command(
        "feedback",
        "Show what is asked of a product's data engineer and waits for an answer",
        ARG_PRODUCT,
        ARG_CLOSE,
        ARG_ANSWER,
        ARG_JSON,
        such_as=(
            "airflow mlops feedback flight_delay",
            "airflow mlops feedback flight_delay --close REQUEST --answer 'wind is delivered since June'",
        ),
    ),
    _command(
        "lineage",
        "Show all that a model version was made of; or, for some data, the versions that were made of it",
        ARG_MODEL,
        ARG_DATASET,
        ARG_FILE,
        ARG_ROOT,
        ARG_GRAPH,
        ARG_JSON,
        such_as=(
            f"AIRFLOW_HOME={HOME} airflow mlops lineage flight_delay@2 --graph lineage.svg",
            f"AIRFLOW_HOME={HOME} airflow mlops lineage --file flights/2013-03.csv",
        ),
    ),
    _command(
        "reproduce",
        "Make a model version again from its record, and say whether it is identical or what differs first",
        ARG_VERSION,
        ARG_AT,
        ARG_ROOT,
        ARG_LANDING,
        ARG_REPOSITORY,
        ARG_OWN_DAGS,
        ARG_WORK,
        ARG_KEEP,
        ARG_JSON,
        more=REPRODUCE,
        such_as=(f"AIRFLOW_HOME={HOME} airflow mlops reproduce flight_delay@2 --at recorded",),
    ),
    _command(
        "demo",
        "Replay the reference product's months through the whole loop and show what happened",
        ARG_HOME,
        ARG_DAGS,
        ARG_PORT,
        ARG_SERVING_PORT,
        ARG_MONTHS,
        such_as=("airflow mlops demo", "airflow mlops demo --home /tmp/demo --port 8081 --months 5"),
    ),
    _command(
        "up",
        "Start a local Airflow and MLflow and leave them running",
        ARG_HOME,
        ARG_DAGS,
        ARG_PORT,
        ARG_MLFLOW_PORT,
        ARG_SERVING_PORT,
        more="It takes any folder of DAG files and products; others may lie in AIRFLOW__MLOPS__PRODUCTS_FOLDERS.",
        such_as=("airflow mlops up", "airflow mlops up --dags my/dags --home my/home --port 8081 --mlflow-port 5001"),
    ),
    _command(
        "down",
        "Stop what `up` started, and everything its tasks started",
        ARG_RUNNING_HOME,
        such_as=("airflow mlops down", "airflow mlops down --home my/home"),
    ),
)
