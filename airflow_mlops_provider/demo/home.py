"""The folder that ``airflow mlops demo`` and ``up`` work in: what is where, whose it is, how tasks find it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from airflow_mlops_provider.backends.modules import source_file
from airflow_mlops_provider.demo.local_airflow.settings import CONFIG, PASSWORDS, USER
from airflow_mlops_provider.demo.local_airflow.stack import stop_running
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct

#: Its presence says that a demo made the folder, and may empty it.
MARKER = ".mlops-demo"
ARTIFACTS = "mlops"
LANDING = "landing"
SOURCE = "source.git"


def make_anew(home: Path) -> None:
    """Stop what runs from a demo's home, and empty it. :raises ConfigurationError: if no demo made what it holds."""
    if home.exists() and any(home.iterdir()) and not (home / MARKER).exists():
        raise ConfigurationError(
            f"{home} is not empty and no demo has made it, so it is left as it is; name another folder with --home"
        )
    stop_running(home)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / MARKER).write_text("Made by `airflow mlops demo`, which empties this folder when it runs again.\n")


def check(home: Path) -> None:
    """Refuse a folder of somebody else's (:class:`ConfigurationError`): its ``airflow.cfg`` would be replaced."""
    if home.exists() and not home.is_dir():
        raise ConfigurationError(f"{home} is no folder; name another one with --home")
    ours = any((home / name).exists() for name in (MARKER, PASSWORDS))
    # The airflow command itself leaves the first two in its home as soon as it is called, and `init` lays a history.
    theirs = {file.name for file in home.glob("*")} - {CONFIG, "logs", LANDING}
    if theirs and not ours:
        raise ConfigurationError(
            f"{home} is not empty and `airflow mlops` has not made it, so it is left as it is; name a new folder with "
            "--home"
        )


def environment(home: Path, products: Sequence[MLProduct], serving_port: int | None = None) -> dict[str, str]:
    """Return the settings by which Airflow's tasks find the home's folders, and people can log in who are asked."""
    users = [f"{USER}:admin", *(f"{person}:user" for person in people(products) if person != USER)]
    env = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(users),
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str((home / ARTIFACTS).resolve()),
        "AIRFLOW__MLOPS__LANDING_ROOT": str((home / LANDING).resolve()),
        "AIRFLOW__MLOPS__POKE_SECONDS": "1",
        "AIRFLOW__MLOPS__RETRY_SECONDS": "5",
    }
    return {**env, "AIRFLOW__MLOPS__SERVING_PORT": str(serving_port)} if serving_port else env


def people(products: Sequence[MLProduct]) -> list[str]:
    """Return who is asked whether a product's versions may go live, if Airflow can have a user of that name."""
    deciding = dict.fromkeys(
        person
        for product in products
        if product.deployment.approval and product.business
        for person in product.deployment.approval.people_of(product.business.owners)
    )
    return [person for person in deciding if not set(person) & set(",: ")]


def own_repository(home: Path, product: MLProduct) -> dict[str, str]:
    """Make a repository that keeps the product's code, and return the connection that has experiments commit there."""
    from airflow_mlops_provider.backends.source.access import Credentials
    from airflow_mlops_provider.backends.source.git import GitRemote

    bare, code = (home / SOURCE).resolve(), source_file(f"{product.name}.product").parent
    bare.mkdir(parents=True)
    GitRemote(bare.as_uri(), bare, Credentials()).begin(code, product.owner("ml_engineer"))
    connection = {"conn_type": "mlops_source", "extra": {"remote": bare.as_uri(), "path": code.name}}
    return {f"AIRFLOW_CONN_MLOPS_SOURCE_{product.name.upper()}": json.dumps(connection)}


def mlflow_uri(home: Path) -> str:
    """Return where MLflow keeps the home's runs."""
    return f"sqlite:///{(home / ARTIFACTS).resolve()}/mlflow.db"


def prepare_mlflow(home: Path) -> None:
    """Make MLflow's tables while Airflow starts: the first training need not wait for them."""
    from airflow_mlops_provider.backends.tracking.mlflow.server import MlflowServer

    (home / ARTIFACTS).mkdir(parents=True, exist_ok=True)
    MlflowServer(mlflow_uri(home)).prepare()
