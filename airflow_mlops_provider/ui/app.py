"""The pages' web application: on every route Airflow says who the user is and what they may read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models import DagModel
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse, Response

from airflow_mlops_provider.exceptions import MLOpsError, UnknownNameError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.storage.records import Records
from airflow_mlops_provider.ui import evidence, files, pages, reading
from airflow_mlops_provider.ui.lineage import page as lineage_page

_COMMON = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "private, no-cache"}
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
_STYLED = f"{_NOTHING}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
# A report's own scripts may draw, but in an origin of their own: no cookie, no call to Airflow, no other address.
_REPORT = f"sandbox allow-scripts; {_STYLED}; script-src 'unsafe-inline'"
_FRAMING = f"{_STYLED}; frame-src 'self'"
_DATA = f"sandbox; {_NOTHING}"

ProductName = Annotated[str, Query(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
VersionNumber = Annotated[int, Query(ge=1, le=10**9)]

# No generated documentation: its routes would be open to everybody.
app = FastAPI(
    title="MLOps",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
)


@app.get("/")
def overview(user: GetUserDep) -> HTMLResponse:
    """List the products of which the user may read at least one result."""
    return _page(pages.index(reading.records(ArtifactStoreHook().store(), reader(user))))


@app.get("/product")
def product(name: ProductName, user: GetUserDep) -> HTMLResponse:
    """Show a product, as far as the user may read the DAGs that made its results."""
    store = ArtifactStoreHook().store()
    record = reading.record(store, name, reader(user)) if name in reading.names(store) else None
    if record is None:
        raise HTTPException(404, "no such product")
    return _page(pages.product(record))


@app.get("/lineage")
def lineage(product: ProductName, version: VersionNumber, user: GetUserDep) -> Response:
    """Show what a model version was made of, as far as the user may read the DAGs that made it."""
    try:
        graph = Records(ArtifactStoreHook().store()).lineage(product, version)
    except UnknownNameError:
        raise HTTPException(404, "no such model version") from None
    except (MLOpsError, ValueError) as error:
        evidence.log.exception("the lineage of %s@%s can't be shown", product, version)
        raise HTTPException(409, f"a record of {product}@{version} can't be read ({type(error).__name__})") from None
    may_read, made = reader(user), graph.items[0].made
    maker = made.run.dag_id if made else ""
    if not reading.readable_entries(graph.moves, lambda _: {maker}, may_read):
        raise HTTPException(404, "no such model version")  # not even that it is there
    return _page(lineage_page(graph.shown_to(may_read)))


@app.get("/report")
def report(uri: str, file: str, user: GetUserDep) -> HTMLResponse:
    """Show a file of a result below a bar that leads back, under the same conditions as the file alone."""
    manifest, _, _ = _file(uri, file, user)
    return _page(evidence.report_page(manifest, uri, file), _FRAMING)


@app.get("/artifact")
def artifact(uri: str, file: str, user: GetUserDep) -> Response:
    """Show a file of a result, if the user may read the DAG that made it."""
    _, shown, data = _file(uri, file, user)
    policy = _REPORT if shown.media_type.startswith("text/html") else _DATA
    return Response(data, headers={**_COMMON, "Content-Security-Policy": policy}, media_type=shown.media_type)


def _file(uri: str, file: str, user: BaseUser) -> tuple[Manifest, files.ResultFile, bytes]:
    store = ArtifactStoreHook().store()
    located = files.locate(store.uri, uri, file)
    manifest = files.manifest_of(store, located)
    if not reader(user)(manifest.spec.run.dag_id):
        raise HTTPException(403, "Forbidden")
    return manifest, located, files.read(store, located)


def _page(html: str, policy: str = _STYLED) -> HTMLResponse:
    return HTMLResponse(html, headers={**_COMMON, "Content-Security-Policy": policy})


def reader(user: BaseUser) -> Callable[[str], bool]:
    """Return a check whether a user may read the XComs of a DAG; each DAG is looked up once."""

    @cache
    def may_read(dag_id: str) -> bool:
        details = DagDetails(id=dag_id or None, team_name=DagModel.get_team_name(dag_id) if dag_id else None)
        return get_auth_manager().is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.XCOM, details=details, user=user
        )

    return may_read
