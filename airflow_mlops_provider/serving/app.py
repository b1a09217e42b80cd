"""The REST API around a model server."""

from __future__ import annotations

import hmac
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.serving.page import index_page
from airflow_mlops_provider.serving.request_schema import RequestError
from airflow_mlops_provider.serving.server import ModelServer

log = logging.getLogger(__name__)
TOKEN_VARIABLE = "MLOPS_SERVING_TOKEN"  # noqa: S105 - the variable's name, not a token
MAX_BODY = 16 * 1024 * 1024


def create_app(server: ModelServer, token: str | None = None) -> FastAPI:
    """Return the API; the server starts and ends with it.

    :param token: bearer token that /predict asks for; from ``MLOPS_SERVING_TOKEN`` by default, none if that is empty.
    """
    expected = os.environ.get(TOKEN_VARIABLE, "") if token is None else token

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(server.start)
        yield
        await run_in_threadpool(server.close)

    # The interactive documentation would load its scripts from elsewhere; the schema itself is served.
    title = f"{server.product.name} predictions"
    app = FastAPI(title=title, description=server.product.goal, lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_predict(app, server, expected)
    _add_state(app, server)
    return app


def _add_predict(app: FastAPI, server: ModelServer, expected: str) -> None:
    body = {"required": True, "content": {"application/json": {"schema": _inline(server.schema.json_schema())}}}

    @app.post("/predict", openapi_extra={"requestBody": body})
    async def predict(request: Request) -> Response:
        """Predict each row: request columns and ``event_time``; features come from the online store."""
        begun, request_id = time.perf_counter(), request.headers.get("x-request-id", "")[:100] or uuid.uuid4().hex
        status, answer = await _answer(server, request, request_id, expected)
        server.metrics.request(status, time.perf_counter() - begun)
        return JSONResponse(answer, status, headers={"x-request-id": request_id})


def _add_state(app: FastAPI, server: ModelServer) -> None:
    @app.get("/", response_class=HTMLResponse)
    async def index() -> str:
        """Say what this server serves, for a person."""
        return index_page(server)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process is up."""
        return {"status": "up", "product": server.product.name}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Say whether model and features answer: 200, or 503 with the reason."""
        reason = server.not_ready()
        return JSONResponse({"ready": reason is None, "reason": reason}, 503 if reason else 200)

    @app.get("/version")
    async def version() -> dict[str, Any]:
        """Tell which version is live since when, which is wanted, and why they differ if they do."""
        return server.describe()

    @app.get("/metrics")
    async def metrics() -> Response:
        """Tell Prometheus."""
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _answer(server: ModelServer, request: Request, request_id: str, expected: str) -> tuple[int, dict[str, Any]]:
    if not _allowed(request, expected):
        return 401, {
            "detail": f"send the header 'Authorization: Bearer …' with the token in the server's {TOKEN_VARIABLE}"
        }
    body = await _body(request)
    if body is None:
        return 413, {"detail": f"a body may have {MAX_BODY:,} bytes; send the rows in several calls"}
    try:
        return 200, await run_in_threadpool(server.predict, body, request_id)
    except RequestError as error:
        return 422, {"detail": str(error)}
    except BackendError as error:
        return 503, {"detail": str(error)}
    except Exception:
        log.exception("request %s failed", request_id)
        return 500, {"detail": f"the prediction failed; the server's log has the reason under request id {request_id}"}


async def _body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


def _allowed(request: Request, expected: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return not expected or (
        scheme.lower() == "bearer" and hmac.compare_digest(given.encode("latin-1"), expected.encode())
    )


def _inline(schema: Any, definitions: Any = None) -> Any:
    """Return a JSON schema without ``$defs``, which an OpenAPI description could not refer to."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    if isinstance(schema, list):
        return [_inline(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inline(part, definitions) for name, part in schema.items() if name != "$defs"}
