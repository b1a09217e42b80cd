"""The pages inside a real Airflow: found by its plugin loader, closed to strangers, open to readers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops_provider.demo.local_airflow.settings import USER, password
from airflow_mlops_provider.lifecycle.records.manifest import Failure
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from flight_delay.product import product
from tests.factories.ui import HTML, World, replayed

pytestmark = pytest.mark.system
REPO = Path(__file__).parents[3]
LINEAGE = f"/mlops/lineage?product={product.name}&version=2"
PRODUCT = f"/mlops/product?name={product.name}"
HIDDEN, UNSEEN, BROKEN = 9, "unseen_product", "broken_product"
SECRET = Failure(error="TopSecret", message="", retryable=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return an artifact root in which a replay, and a DAG that not everybody may read, have left their results."""
    world = replayed(tmp_path_factory.mktemp("artifacts"), product)
    world.job("drift", "secret", dag_id="secret", failure=SECRET)
    model = world.job("train", "secret", dag_id="secret", kind=Model)
    hidden = ModelVersion(uri=model.uri, hash=model.hash, name=product.name, version=HIDDEN)
    world.move(hidden, Status.REGISTERED, "trained because: nobody is to know")
    whole = World(world.store.root, product.model_copy(update={"name": UNSEEN, "goal": "nobody is to know"}))
    whole.job("drift", 6, dag_id="secret", failure=SECRET)
    moved = whole.job("train", 1, dag_id="secret", kind=Model)
    whole.move(ModelVersion(uri=moved.uri, hash=moved.hash, name=UNSEEN, version=1), Status.REGISTERED, "secret reason")
    World(world.store.root, product.model_copy(update={"name": BROKEN})).job("extract", 1)
    world.store.write(f"{BROKEN}/ledger/00000000.json", b"{")
    return world


@pytest.fixture(scope="module")
def stack(stack_factory: Callable[..., Any], world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a real Airflow on that artifact root."""
    env = {
        "AIRFLOW__MLOPS__ARTIFACT_ROOT": str(world.store.root),
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.factories.per_dag_auth.PerDagAuthManager",
        "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "dags")]),
    }
    return stack_factory(tmp_path_factory.mktemp("dags"), env=env)


@pytest.fixture(scope="module")
def stranger(stack: Any) -> Iterator[httpx.Client]:
    """Return a client that has not logged in."""
    with httpx.Client(base_url=stack.api.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def reader(stack: Any, stranger: httpx.Client) -> Iterator[httpx.Client]:
    """Return a client that bears a session's cookie, as a browser does."""
    login = stranger.post("/auth/token", json={"username": USER, "password": password(stack.home)})
    cookies = {"_token": login.json()["access_token"]}
    with httpx.Client(base_url=stack.api.url, trust_env=False, timeout=60, cookies=cookies) as client:
        yield client


def drift_page(world: World) -> dict[str, str]:
    (folder,) = world.store.path(f"{product.name}/drift/{world.folder('drift', 6)[-32:]}").glob("*/drift.html")
    return {"uri": folder.parent.as_uri(), "file": "drift.html"}


def test_airflow_loads_the_plugin(stack: Any) -> None:
    """The entry point works: Airflow lists the pages, with an entry in its navigation, and reports no error."""
    (found,) = [one for one in stack.api.get("plugins")["plugins"] if one["name"] == "mlops_pages"]
    assert [(view["href"], view["destination"]) for view in found["external_views"]] == [("/mlops/", "nav")]
    assert stack.api.get("plugins/importErrors")["import_errors"] == []


@pytest.mark.parametrize(
    "path", ["/mlops/", "/mlops/?dag_id=any", "/mlops/artifact", "/mlops/report", LINEAGE, PRODUCT]
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer made-up"}, {"Cookie": "_token=made-up"}])
def test_stranger_is_refused(stranger: httpx.Client, world: World, path: str, headers: dict[str, str]) -> None:
    """Without a login of Airflow's, or with a forged one, neither page nor file is shown."""
    answer = stranger.get(path, params=drift_page(world) if path.endswith("t") else None, headers=headers)
    assert answer.status_code in {401, 403}
    assert product.goal not in answer.text and "<p" not in answer.text


@pytest.mark.parametrize("path", ["/mlops/docs", "/mlops/redoc", "/mlops/openapi.json"])
def test_there_is_no_open_documentation(stranger: httpx.Client, path: str) -> None:
    """FastAPI's own pages, which ask nobody's permission, are off."""
    assert stranger.get(path).status_code == 404


def test_reader_sees_the_product(reader: httpx.Client) -> None:
    """With a login index and page show the product, under a policy that lets no script run."""
    listed, answer = reader.get("/mlops/"), reader.get(PRODUCT)
    assert listed.status_code == answer.status_code == 200
    assert product.goal in listed.text and "<b>v2</b>" in listed.text and f"product?name={product.name}" in listed.text
    assert product.goal in answer.text and "v2 <small>since" in answer.text
    for one in (listed, answer):
        assert "TopSecret" not in one.text and "nobody is to know" not in one.text
        policy = one.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy


def test_a_product_of_forbidden_dags_is_not_there(reader: httpx.Client, world: World) -> None:
    """Whoever may read none of its DAGs meets neither its name nor its ledger nor its files, and can't guess it."""
    assert UNSEEN not in reader.get("/mlops/").text
    for path in (f"/mlops/product?name={UNSEEN}", f"/mlops/lineage?product={UNSEEN}&version=1"):
        unknown = reader.get(path.replace(UNSEEN, "no_such_product"))
        answer = reader.get(path)
        assert (answer.status_code, answer.text) == (unknown.status_code, unknown.text) == (404, unknown.text)
    (key,) = (key for key in world.store.list(f"{UNSEEN}/drift"))
    uri = f"{world.store.uri}/{key.rpartition('/')[0]}"
    for path in ("/mlops/artifact", "/mlops/report"):
        answer = reader.get(path, params={"uri": uri, "file": "manifest.json"})
        assert answer.status_code == 403 and "TopSecret" not in answer.text and "<" not in answer.text


def test_a_ledger_that_cannot_be_read_leaves_the_pages(reader: httpx.Client) -> None:
    """One product's broken file is named on its own page and takes nothing from the index."""
    assert f"product?name={BROKEN}" in reader.get("/mlops/").text
    answer = reader.get(f"/mlops/product?name={BROKEN}")
    assert answer.status_code == 200 and f"{BROKEN}/ledger" in answer.text
    assert reader.get(f"/mlops/lineage?product={BROKEN}&version=1").status_code in {404, 409}


def test_report_has_a_bar_that_leads_back(reader: httpx.Client, world: World) -> None:
    """A task's link to its report opens it below the way to its product, in a frame that may hold nothing else."""
    answer = reader.get("/mlops/report", params=drift_page(world))
    assert answer.status_code == 200 and f"product?name={product.name}" in answer.text and "<iframe" in answer.text
    assert "frame-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("artifact", {"file": "x" * 5000 + ".html"}),
        ("artifact", {"file": "a/" * 200 + "x.html"}),
        ("report", {"file": "\udcff.html".encode("utf-8", "surrogateescape").decode("latin-1")}),
        ("report", {"file": "drift.html", "uri": "s3://" + "x" * 3000}),
        ("artifact", {"uri": "a", "file": ["a", "b"]}),
        ("product", {"name": "x" * 300}),
        ("product", {"name": "<script>"}),
        ("product", {}),
        ("lineage", {"product": product.name, "version": "9" * 4000}),
        ("lineage", {"product": product.name, "version": "-1"}),
        ("lineage", {"product": product.name, "version": "1e3"}),
    ],
)
def test_odd_queries_are_refused(reader: httpx.Client, world: World, path: str, query: dict[str, Any]) -> None:
    """Names too long for a file system, halves of characters and numbers out of range are the asker's fault."""
    answer = reader.get(
        f"/mlops/{path}", params={**({"uri": drift_page(world)["uri"]} if "file" in query else {}), **query}
    )
    assert 400 <= answer.status_code < 500


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
        ({"version": HIDDEN}, 404),
        ({"version": 99}, 404),
        ({"product": "nothing", "version": 2}, 404),
        ({"product": "../etc", "version": 2}, 422),
        ({"version": "two"}, 422),
        ({}, 422),
    ],
)
def test_a_lineage_that_is_not_there_or_not_theirs(reader: httpx.Client, asked: dict[str, Any], status: int) -> None:
    """Unknown versions are not found, and so is one of a DAG that the user may not read."""
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
