"""``python -m airflow_mlops_provider.serving.access NAME``: a new token for a caller of the model server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.serving.access.callers import Right, new_token


def main(arguments: list[str] | None = None) -> None:
    """Print a new token, this once, and put its hash into a file, or print that too."""
    command = argparse.ArgumentParser(
        prog="python -m airflow_mlops_provider.serving.access",
        description="Make a token for a caller of the model server. It is printed once; the server keeps its hash.",
    )
    command.add_argument("name", help="the caller's; the prediction log and the server's log name it")
    command.add_argument("--rights", default=Right.PREDICT, help=f"of {','.join(Right)} (%(default)s)")
    command.add_argument("--file", type=Path, help="add the line there; by default it is printed to standard error")
    given = command.parse_args(arguments)
    try:
        token, line = new_token(given.name, given.rights.split(","))
    except ConfigurationError as error:
        command.error(str(error))
    if given.file:
        with given.file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    else:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"{token}\n")


if __name__ == "__main__":
    main()
