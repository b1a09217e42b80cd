"""Parses the DAG files of a folder as Airflow does, in a process of its own, which a file may end or spoil.

As a program it takes the folder, and prints as its last line how many DAGs there are, and what each broken file says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigurationError

SECONDS = 600


def parsed(folder: Path) -> int:
    """Return how many DAGs a folder's files make. :raises ConfigurationError: naming each file that is broken."""
    settings = {"AIRFLOW__CORE__DAGS_FOLDER": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(folder)],
        env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise ConfigurationError(f"{folder} can't be parsed: {last(done.stderr)}")
    count, errors = json.loads(done.stdout.splitlines()[-1])
    if errors:
        raise ConfigurationError("; ".join(f"{file}: {last(why)}" for file, why in sorted(errors.items())))
    return int(count)


def last(text: str) -> str:
    """Return the last line that says something: of a traceback, the error."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it does not say why")


def main() -> None:
    """Print what the folder has."""
    from airflow.dag_processing.dagbag import DagBag

    sys.path.append(sys.argv[1])
    bag = DagBag(sys.argv[1])
    print(f"\n{json.dumps([len(bag.dags), bag.import_errors])}")


if __name__ == "__main__":
    main()
