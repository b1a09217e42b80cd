"""The pages inside a real Airflow: found by its plugin loader, closed to strangers, open to readers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops_provider.cli.settings import USER, password
from airflow_mlops_provider.lifecycle.manifest import Failure
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion
from airflow_mlops_provider.lifecycle.registry import Status
from flight_delay.product import product
from tests.ui_world import HTML, World, replayed

pytestmark = pytest.mark.system
REPO = Path(__file__).parents[2]
LINEAGE = f"/mlops/lineage?product={product.name}&version=2"
HIDDEN = 9
SECRET = Failure(error="TopSecret", message="", retryable=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return an artifact root in which a replay, and a DAG that not everybody may read, have left their results."""
    world = replayed(tmp_path_factory.mktemp("artifacts"), product)
    world.job("drift", "secret", dag_id="secret", failure=SECRET)
    model = world.job("train", "secret", dag_id="secret", kind=Model)
    hidden = ModelVersion(uri=model.uri, hash=model.hash, name=product.name, version=HIDDEN)
    world.move(hidden, Status.REGISTERED, "trained because: nobody is to know")
    return world


@pytest.fixture(scope="module")
def stack(stack_factory: Callable[..., Any], world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a real Airflow on that artifact root."""
    env = {
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str(world.store.root),
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.per_dag_auth.PerDagAuthManager",
        "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "dags")]),
    }
    return stack_factory(tmp_path_factory.mktemp("dags"), env=env, triggerer=False)


@pytest.fixture(scope="module")
def stranger(stack: Any) -> Iterator[httpx.Client]:
    """Return a client that has not logged in."""
    with httpx.Client(base_url=stack.config.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def reader(stack: Any, stranger: httpx.Client) -> Iterator[httpx.Client]:
    """Return a client that bears a session's cookie, as a browser does."""
    login = stranger.post("/auth/token", json={"username": USER, "password": password(stack.home)})
    cookies = {"_token": login.json()["access_token"]}
    with httpx.Client(base_url=stack.config.url, trust_env=False, timeout=60, cookies=cookies) as client:
        yield client


def drift_page(world: World) -> dict[str, str]:
    (folder,) = world.store.path(f"{product.name}/drift/{world.folder('drift', 6)[-32:]}").glob("*/drift.html")
    return {"uri": folder.parent.as_uri(), "file": "drift.html"}


def test_airflow_loads_the_plugin(stack: Any) -> None:
    """The entry point works: Airflow lists the pages, with an entry in its navigation, and reports no error."""
    (found,) = [one for one in stack.get("plugins")["plugins"] if one["name"] == "mlops_pages"]
    assert [(view["href"], view["destination"]) for view in found["external_views"]] == [("/mlops/", "nav")]
    assert stack.get("plugins/importErrors")["import_errors"] == []


@pytest.mark.parametrize("path", ["/mlops/", "/mlops/?dag_id=any", "/mlops/artifact", LINEAGE])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer made-up"}, {"Cookie": "_token=made-up"}])
def test_stranger_is_refused(stranger: httpx.Client, world: World, path: str, headers: dict[str, str]) -> None:
    """Without a login of Airflow's, or with a forged one, neither page nor file is shown."""
    answer = stranger.get(path, params=drift_page(world) if "artifact" in path else None, headers=headers)
    assert answer.status_code in {401, 403}
    assert product.goal not in answer.text and "<p" not in answer.text


@pytest.mark.parametrize("path", ["/mlops/docs", "/mlops/redoc", "/mlops/openapi.json"])
def test_there_is_no_open_documentation(stranger: httpx.Client, path: str) -> None:
    """FastAPI's own pages, which ask nobody's permission, are off."""
    assert stranger.get(path).status_code == 404


def test_reader_sees_the_product(reader: httpx.Client) -> None:
    """With a login the overview shows the product, under a policy that lets no script run."""
    answer = reader.get("/mlops/")
    assert answer.status_code == 200
    assert product.goal in answer.text and "v2 <small>since" in answer.text
    assert "TopSecret" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy


def test_report_is_shown_in_an_origin_of_its_own(reader: httpx.Client, world: World) -> None:
    """A report arrives whole, may run its own script, but not as part of Airflow's origin."""
    answer = reader.get("/mlops/artifact", params=drift_page(world))
    assert (answer.status_code, answer.content) == (200, HTML)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    directives = [one.strip() for one in answer.headers["content-security-policy"].split(";")]
    assert "sandbox allow-scripts" in directives and "default-src 'none'" in directives


def test_manifest_is_shown_as_data(reader: httpx.Client, world: World) -> None:
    """The manifest is found from the folder of the outputs, as task links name it, and is JSON to the browser."""
    answer = reader.get("/mlops/artifact", params={**drift_page(world), "file": "manifest.json"})
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["spec"]["job"] == "drift"


def test_a_versions_lineage_is_drawn(reader: httpx.Client, world: World) -> None:
    """The page that a version's row leads to names its model, under a policy that lets no script run."""
    answer = reader.get(LINEAGE)
    assert answer.status_code == 200
    made = next(entry.version for entry in world.ledger.entries() if entry.version.version == 2)
    assert made.hash[:12] in answer.text and "<svg" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"version": HIDDEN}, 403),
        ({"version": 99}, 404),
        ({"product": "nothing", "version": 2}, 404),
        ({"product": "../etc", "version": 2}, 422),
        ({"version": "two"}, 422),
        ({}, 422),
    ],
)
def test_a_lineage_that_is_not_there_or_not_theirs(reader: httpx.Client, asked: dict[str, Any], status: int) -> None:
    """Unknown versions are not found; one of a DAG that the user may not read is forbidden, without a word of it."""
    answer = reader.get("/mlops/lineage", params={"product": product.name, **asked})
    assert answer.status_code == status and "nobody is to know" not in answer.text


@pytest.mark.parametrize("role", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(reader: httpx.Client, role: str) -> None:
    """The pages only answer GET."""
    assert reader.request(role, "/mlops/").status_code == (200 if role == "GET" else 405)


def test_results_of_a_forbidden_dag_are_refused(reader: httpx.Client, world: World) -> None:
    """Who may not read a DAG does not read what it made, whichever DAG the query claims."""
    asked = {"uri": world.folder("drift", "secret"), "file": "manifest.json"}
    for claimed in ({}, {"dag_id": "made_here"}):
        answer = reader.get("/mlops/artifact", params={**asked, **claimed})
        assert answer.status_code == 403 and "TopSecret" not in answer.text


@pytest.mark.parametrize(
    ("uri", "file", "status"),
    [
        ("{root}/{result}", "../../../../../etc/passwd", 404),
        ("{root}/../{result}", "manifest.json", 404),
        ("{root}/%2e%2e/{result}", "manifest.json", 404),
        ("file:///etc", "passwd", 404),
        ("http://127.0.0.1:1/{result}", "manifest.json", 404),
        ("{root}/flight_delay/ledger", "00000000.json", 404),
        ("{root}/flight_delay/drift/" + "0" * 32, "manifest.json", 404),
        ("{root}/{result}", "model.txt.parquet", 415),
    ],
)
def test_ways_out_of_the_artifact_root_are_refused(
    reader: httpx.Client, world: World, uri: str, file: str, status: int
) -> None:
    """Traversal, other schemes, other folders and other kinds of files are refused to a logged-in user too."""
    result = world.folder("drift", 6).removeprefix(f"{world.store.uri}/")
    asked = {"uri": uri.format(root=world.store.uri, result=result), "file": file}
    assert reader.get("/mlops/artifact", params=asked).status_code == status
