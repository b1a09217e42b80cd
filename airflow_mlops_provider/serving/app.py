"""The REST API around a model server."""

from __future__ import annotations

import hmac
import logging
import os
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.render.markup import Html, join, tag
from airflow_mlops_provider.render.parts import card, link, links, report, table
from airflow_mlops_provider.serving.process.client import TOKEN_VARIABLE
from airflow_mlops_provider.serving.request_queue import BODY_SECONDS, MAX_WAITING, Answer, RequestQueue
from airflow_mlops_provider.serving.request_schema import RequestError
from airflow_mlops_provider.serving.responses import REFUSALS, ServerState, predictions_model
from airflow_mlops_provider.serving.server import ModelServer

log = logging.getLogger(__name__)
_SEND_TOKEN = f"send the header 'Authorization: Bearer …' with the token in the server's {TOKEN_VARIABLE}"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,100}")
_LINKS = {name: name for name in ("version", "ready", "health", "metrics")} | {"openapi.json": "API description"}
_SCHEME = HTTPBearer(auto_error=False, description=f"The token in the server's {TOKEN_VARIABLE}, if it has one.")


def create_app(
    server: ModelServer,
    token: str | None = None,
    open_metrics: bool = False,
    waiting: int = MAX_WAITING,
    body_seconds: float = BODY_SECONDS,
) -> FastAPI:
    """Return the API; the server starts and ends with it.

    :param token: bearer token that all but /health and /ready require; from ``MLOPS_SERVING_TOKEN`` by default, none
        if that is empty.
    :param open_metrics: let /metrics be read without it.
    :param waiting, body_seconds: see :class:`~.request_queue.RequestQueue`.
    """
    expected = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
    queue = RequestQueue(server.predictions.answer, server.prediction_log.written, waiting, body_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(server.start)
        yield
        queue.close()
        await run_in_threadpool(server.close)

    # The interactive documentation would load its scripts from elsewhere; the schema itself is served.
    title, goal = f"{server.product.name} predictions", server.product.goal
    app = FastAPI(title=title, description=goal, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.queue = queue
    _add_predict(app, server, expected, queue)
    _add_probes(app, server, expected)
    _add_state(app, server, expected, open_metrics)
    return app


def _add_predict(app: FastAPI, server: ModelServer, expected: str, queue: RequestQueue) -> None:
    body = {"required": True, "content": {"application/json": {"schema": server.schema.json_schema()}}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": predictions_model(server.problem.answer_fields)},
        **REFUSALS,
    }

    @app.post("/predict", openapi_extra={"requestBody": body}, responses=responses, dependencies=[Depends(_SCHEME)])
    async def predict(request: Request) -> Response:
        """Predict each row: request columns and ``event_time``; features come from the online store."""
        begun, request_id = time.perf_counter(), _request_id(request)
        status, answer = await _answer(request, request_id, expected, queue)
        server.metrics.request(status, time.perf_counter() - begun)
        return JSONResponse(answer, status, headers={"x-request-id": request_id, **_HEADERS.get(status, {})})


def _add_probes(app: FastAPI, server: ModelServer, expected: str) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process is up."""
        return {"status": "up"} if expected else {"status": "up", "product": server.product.name}

    @app.get("/ready")
    async def ready(request: Request) -> JSONResponse:
        """Say whether model and features answer: 200, or 503; with the reason for callers who have the token."""
        reason = server.predictions.not_ready()
        details = {"reason": reason} if _allowed(request, expected) else {}
        return JSONResponse({"ready": reason is None, **details}, 503 if reason else 200)


def _add_state(app: FastAPI, server: ModelServer, expected: str, open_metrics: bool) -> None:
    async def check(request: Request) -> None:
        if not _allowed(request, expected):
            raise HTTPException(401, _SEND_TOKEN, headers=_HEADERS[401])

    closed = {"dependencies": [Depends(_SCHEME), Depends(check)], "responses": {401: REFUSALS[401]}}
    text = "text/plain; version=0.0.4; charset=utf-8"

    @app.get("/", response_class=HTMLResponse, **closed)  # type: ignore[arg-type]
    async def index() -> str:
        """Say what this server serves, for a person."""
        return _index_page(server)

    @app.get("/openapi.json", include_in_schema=False, **closed)  # type: ignore[arg-type]
    async def schema() -> JSONResponse:
        """Describe the API."""
        return JSONResponse(app.openapi())

    @app.get("/version", **closed)  # type: ignore[arg-type]
    async def version() -> ServerState:
        """Say which version is live since when, which is wanted, and why they differ if they do."""
        return server.state()

    @app.get("/metrics", **({} if open_metrics else closed))  # type: ignore[arg-type]
    async def metrics() -> Response:
        """Return the metrics for Prometheus."""
        return Response(server.metrics.text(), media_type=text)


def _index_page(server: ModelServer) -> Html:
    live, failure, watermark = server.follower.live, server.follower.failure, server.features.watermark
    columns = ", ".join(f'"{name}": …' for name in server.schema.known)
    state = (
        ("Live version", f"{live.release.version}, since {live.since:%Y-%m-%d %H:%M:%S} UTC" if live else "none"),
        ("State", server.predictions.not_ready() or "ready"),
        ("Features known up to", f"{watermark:%Y-%m-%d %H:%M:%S} UTC" if watermark else "nothing yet"),
        ("Last failure", f"version {failure.version}: {failure.error}" if failure else "none"),
    )
    return report(
        server.product.name,
        server.product.goal,
        card("Live", table(("what", "now"), state)),
        card(
            join(("Predict with ", tag("code", "POST predict"))),
            tag("pre", f'{{"rows": [{{{columns}}}]}}'),
            tag("p", links(*(link(href, words) for href, words in _LINKS.items()))),
        ),
    )


# Where the body was not read to its end, the connection can't carry another call.
_CLOSE = {"connection": "close"}
_HEADERS = {
    401: {"www-authenticate": "Bearer", **_CLOSE}, 408: _CLOSE, 413: _CLOSE, 503: {"retry-after": "1"},
}  # fmt: skip


async def _answer(request: Request, request_id: str, expected: str, queue: RequestQueue) -> tuple[int, Answer]:
    if not _allowed(request, expected):
        return 401, {"detail": _SEND_TOKEN}
    try:
        async with queue.body(request) as body:
            return 200, await queue.answer(body, request_id)
    except HTTPException as error:
        return error.status_code, {"detail": error.detail}
    except ClientDisconnect:
        return 499, {"detail": "the caller went away"}
    except RequestError as error:
        return 422, {"detail": str(error)}
    except BackendError as error:
        return 503, {"detail": str(error)}
    except Exception:
        log.exception("request %s failed", request_id)
        return 500, {"detail": f"the prediction failed; the server's log has the reason under request id {request_id}"}


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _allowed(request: Request, expected: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return not expected or (
        scheme.lower() == "bearer" and hmac.compare_digest(given.encode("latin-1"), expected.encode())
    )
