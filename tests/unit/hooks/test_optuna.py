"""Where searches keep their trials: a file by default, a database by connection or setting; no password is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.search.optuna.database import PASSWORD_VARIABLE, USER_VARIABLE
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.optuna import OptunaHook
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.runtime.definition import find_job

PRODUCT = MLProduct.model_construct(name="flights")
PASSWORD = "open-sesame"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Airflow home of its own, with no connection and no setting."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to a database server."""
    fields: dict[str, Any] = {"conn_type": "optuna", "host": "db", "port": 5432, "schema": "searches"}
    conn = {**fields, "login": "optuna", "password": PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_OPTUNA", json.dumps(conn))


def test_a_file_by_default(home: Path) -> None:
    """Without a connection the trials lie beside MLflow's file."""
    assert OptunaHook().settings() == {"url": f"sqlite:///{home}/mlops/optuna.db"}
    assert OptunaHook().secrets() == {}
    assert OptunaHook().test_connection()[0]


@pytest.mark.usefixtures("server")
def test_a_server_by_connection() -> None:
    """The URL has no credentials in it; they travel in the environment."""
    assert OptunaHook().settings() == {"url": "postgresql+psycopg2://db:5432/searches"}
    assert OptunaHook().secrets() == {USER_VARIABLE: "optuna", PASSWORD_VARIABLE: PASSWORD}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("job", "told"), [("trial", True), ("conclude", True), ("train", False), (None, False)])
def test_only_those_that_search_are_told(job: str | None, told: bool) -> None:
    """Other jobs get neither the database's address nor its password; no spec shows the password."""
    addresses, _, secrets = services(PRODUCT.name, find_job(job).services if job else ())
    assert (addresses.search is not None, PASSWORD in secrets.values()) == (told, told)
    assert PASSWORD not in addresses.model_dump_json()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://optuna:{PASSWORD}@db/x", "has credentials in it"),
        ("somewhere", "is no database URL"),
    ],
)
def test_a_setting_that_cannot_be_shown_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    """Credentials in the URL, or no URL at all: refused, and a password is not repeated."""
    monkeypatch.setenv("AIRFLOW__MLOPS__SEARCH_STORAGE", url)
    with pytest.raises(ConfigurationError, match=words) as raised:
        OptunaHook().settings()
    assert PASSWORD not in str(raised.value)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test button names the database that does not answer; a connection without a name is refused."""
    monkeypatch.setenv("AIRFLOW__MLOPS__SEARCH_STORAGE", "postgresql+psycopg2://127.0.0.1:1/x")
    works, message = OptunaHook().test_connection()
    assert not works
    assert "postgresql+psycopg2://127.0.0.1:1/x does not answer" in message
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_OPTUNA", json.dumps({"conn_type": "optuna", "host": "db"}))
    with pytest.raises(ConfigurationError, match="database's name as schema"):
        OptunaHook().settings()
