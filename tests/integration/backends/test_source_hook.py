"""The connection to the source repository: where a winner goes, what is refused, and a test button that really asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.hooks.source import SourceHook
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import Repository
from airflow_mlops_provider.runtime.definition import find_job
from tests.factories.forge import ForgeWorld, bare, git, repository
from tests.factories.tiny import TinyWorld

REMOTE = "https://git.example/team/models.git"
Define = Callable[..., None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Define:
    """Define a connection, as a user would in the environment."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))

    def connection(
        conn_id: str = "mlops_source", login: str | None = None, password: str | None = None, **extra: Any
    ) -> None:
        fields = {"conn_type": "mlops_source", "login": login, "password": password, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return connection


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TinyWorld]:
    """A product whose code lies in no repository."""
    one = TinyWorld(tmp_path)
    yield one
    one.close()


def told(product: MLProduct, job: str = "export_settings") -> tuple[Repository | None, dict[str, str]]:
    """Return the repository and the credentials that a job is told."""
    addresses, _, secrets = services(product.name, find_job(job).services)
    return addresses.source, secrets


def test_only_the_job_that_commits_is_told(define: Define, world: TinyWorld) -> None:
    """The repository and its token reach the export alone: no trainer can push."""
    define(login="ann", password="sesame", remote=REMOTE, forge="gitlab", base="main", path="dags/{product}")
    source, secrets = told(world.product)
    assert source == Repository(remote=REMOTE, forge="gitlab", base="main", path=f"dags/{world.name}")
    assert secrets == {"MLOPS_SOURCE_USER": "ann", "MLOPS_SOURCE_TOKEN": "sesame"}
    assert told(world.product, "train") == (None, {})
    assert "sesame" not in source.model_dump_json()


def test_without_a_connection_nothing_leaves_the_machine(world: TinyWorld, define: Define) -> None:
    """The product's own repository is the remote, with an origin too; there are no credentials."""
    git(world.products, "init", "--quiet")
    git(world.products, "remote", "add", "origin", REMOTE)
    git(world.products, "add", ".")
    assert told(world.product) == (Repository(remote=world.products.as_uri(), path=world.name), {})


def test_code_that_is_kept_nowhere_wants_a_connection(world: TinyWorld, tmp_path: Path, define: Define) -> None:
    """A copy that merely lies below some repository, such as an installed one, is not taken for kept by it."""
    git(tmp_path, "init", "--quiet")
    with pytest.raises(ConfigurationError, match=r"lies in no git repository here; say where it is kept.*mlops_source"):
        told(world.product)
    define(remote=REMOTE)
    with pytest.raises(ConfigurationError, match="fill in path"):
        told(world.product)


def test_a_product_may_have_its_own(define: Define, world: TinyWorld) -> None:
    """The connection that bears the product's name goes before the common one."""
    define(remote=REMOTE, path="x")
    define(f"mlops_source_{world.name}", remote="ssh://git@git.example:2222/own.git", path="y")
    source, _ = told(world.product)
    assert source == Repository(remote="ssh://git@git.example:2222/own.git", path="y")


@pytest.mark.parametrize(
    "remote", [REMOTE, "git@git.example:team/models.git", "ssh://git@git.example/x.git", "file:///srv/x.git"]
)
def test_each_way_to_a_remote_is_taken(define: Define, world: TinyWorld, remote: str) -> None:
    """HTTPS, SSH in both spellings, and files are remotes."""
    define(remote=remote, path="x")
    source, _ = told(world.product)
    assert source is not None
    assert source.remote == remote


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"path": "x"}, "has no remote"),
        (
            {"remote": REMOTE, "forge": "bitbucket", "path": "x"},
            "unknown forge 'bitbucket'; known: gitea, github",
        ),
        ({"remote": REMOTE, "forge": "github", "path": "x"}, "wants a token"),
        ({"remote": "https://ann:sesame@git.example/x", "path": "x"}, "no user and password"),
        ({"remote": "https://sesame@git.example/x", "path": "x"}, "no user and password"),
        ({"remote": "ssh://git:sesame@git.example/x", "path": "x"}, "no user and password"),
        ({"remote": "ftp://ann:sesame@git.example/x", "path": "x"}, "is no git remote"),
        ({"remote": "-oProxyCommand=touch", "path": "x"}, "is no git remote"),
        ({"remote": REMOTE, "base": "a b", "path": "x"}, "no branch name"),
        ({"remote": REMOTE, "path": "../x"}, "no folder inside"),
    ],
)
def test_what_cannot_work_is_refused(define: Define, world: TinyWorld, extra: dict[str, Any], said: str) -> None:
    """A connection that cannot work is refused by its field, without showing a password."""
    define(**extra)
    with pytest.raises(ConfigurationError, match=said) as raised:
        told(world.product)
    assert "sesame" not in str(raised.value)


def test_the_button_asks_the_remote(define: Define, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists branches with the token; a wrong token, a missing base and no server are each said to be that."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    remote = bare(repository(tmp_path / "work", {"a": "b"}), tmp_path / "remote.git")
    with ForgeWorld({"team/models": remote}, "sesame") as world:
        define(password="sesame", remote=world.remote())
        assert SourceHook().test_connection() == (True, f"{world.remote()} answers; main is one of its 1 branch(es)")
        define(password="sesame", remote=world.remote(), base="production")
        assert SourceHook().test_connection() == (False, "unknown branch 'production'; known: main")
        define(password="wrong", remote=world.remote())
        works, message = SourceHook().test_connection()
        assert not works
        assert "refuses these credentials" in message
        gone = world.remote()
    define(password="sesame", remote=gone)
    works, message = SourceHook().test_connection()
    assert not works
    assert "does not answer" in message
    assert "sesame" not in message


def test_the_button_without_a_connection_says_what_serves() -> None:
    """The embedded default needs nothing; a connection that was asked for by name must be there."""
    works, message = SourceHook().test_connection()
    assert works
    assert "nothing leaves this machine" in message
    with pytest.raises(AirflowNotFoundException, match="'my_own'"):
        _ = SourceHook("my_own").connection
