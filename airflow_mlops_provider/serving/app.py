"""The REST API around a model server."""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from airflow_mlops_provider.backends.model_server.client import TOKEN_VARIABLE
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.serving.access.callers import Caller, Callers, Right
from airflow_mlops_provider.serving.listener import is_gone
from airflow_mlops_provider.serving.protocols.arrow import ARROW, form_of
from airflow_mlops_provider.serving.protocols.deadlines import deadline
from airflow_mlops_provider.serving.protocols.features import FeatureLookUp, add_features
from airflow_mlops_provider.serving.protocols.routes import Respond, add_protocols
from airflow_mlops_provider.serving.request_queue import BODY_SECONDS, MAX_WAITING, Answer, Call, RequestQueue
from airflow_mlops_provider.serving.request_schema import RequestError
from airflow_mlops_provider.serving.responses import AS_JSON, JSON, REFUSALS, Form, index_page, predictions_model
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.serving.streams.answering import Streams
from airflow_mlops_provider.serving.streams.background import Background
from airflow_mlops_provider.serving.streams.kept import KeptCalls
from airflow_mlops_provider.serving.streams.routes import add_streams
from airflow_mlops_provider.serving.workers.peers import Peers
from airflow_mlops_provider.serving.workers.place import Place

log = logging.getLogger(__name__)
audit = logging.getLogger("mlops.audit")
_SEND_TOKEN = (
    f"send the header 'Authorization: Bearer …' with your own token or the one in the server's {TOKEN_VARIABLE}"
)
_PREDICT = "/predict"
GRACE_SECONDS = 10.0  # for gRPC's calls when the server ends
# A call's own id: no two servers share the first part, no two of a server's calls the second.
_PROCESS, _COUNT = secrets.token_hex(10), count()
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,100}")
_SCHEME = HTTPBearer(auto_error=False, description=f"The caller's token, or the one in the server's {TOKEN_VARIABLE}.")


class Api(FastAPI):
    """FastAPI's application, which answers some paths itself: what routes do first is most of a small call's time."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self.state.direct:
            answer = await self.state.direct[scope["path"]](Request(scope, receive))
            await answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    server: ModelServer,
    token: str | None = None,
    open_metrics: bool = False,
    waiting: int = MAX_WAITING,
    body_seconds: float = BODY_SECONDS,
    callers_file: Path | None = None,
    place: Place | None = None,
    grpc: tuple[str, int, Path | None, Path | None] | None = None,
) -> FastAPI:
    """Return the API; the server starts and ends with it.

    :param token: bearer token with every right; from ``MLOPS_SERVING_TOKEN`` by default, none if that is empty. With it
        or a file of callers, all but /health and /ready require a token.
    :param callers_file: see :mod:`~.access.callers`.
    :param open_metrics: let /metrics be read without it.
    :param waiting, body_seconds: see :class:`~.request_queue.RequestQueue`.
    :param place: which of several workers this is.
    :param grpc: host, port, certificate and key of :class:`~.protocols.grpc.server.Address`; None for no gRPC.
    """
    callers = Callers(os.environ.get(TOKEN_VARIABLE, "") if token is None else token, callers_file)
    queue = RequestQueue(
        server.predictions.answer,
        server.prediction_log.after,
        waiting,
        body_seconds,
        timed=server.metrics.phases.observe,
    )

    queues, peers = [queue], Peers(server, place)
    streams = Streams(queue, callers, _allowed, _refused_stream, server.metrics.request, body_seconds)
    kept = KeptCalls(place.predictions() if place else None)
    background = Background(streams, kept, lambda: server.follower.live, server.metrics.background)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(server.start)
        async with peers.joined(), background.running():
            rpc = await _serve_grpc(server, respond, callers, peers, grpc) if grpc else None
            yield
            if rpc:
                await rpc.stop(GRACE_SECONDS)
        for each in queues:
            each.close()
        await run_in_threadpool(server.close)

    # The interactive documentation would load its scripts from elsewhere; the schema itself is served.
    title, goal = f"{server.product.name} predictions", server.product.goal
    app = Api(title=title, description=goal, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.queue, app.state.direct = queue, {}
    respond = _responding(callers, queue, Right.PREDICT, server.metrics.request)
    _add_predict(app, server, respond)
    if server.product.scoring.views:
        look_up = FeatureLookUp(server)
        queues.append(RequestQueue(look_up.answer, lambda settle: settle(), waiting, body_seconds))
        add_features(app, look_up, _responding(callers, queues[-1], Right.READ), [Depends(_SCHEME)])
    add_protocols(app, server, respond, peers, _closed(callers, *Right))
    add_streams(app, streams, background, _request_id, Depends(_SCHEME))
    _add_probes(app, server, callers, peers)
    _add_state(app, server, callers, peers, open_metrics)
    return app


async def _serve_grpc(
    server: ModelServer, respond: Respond, callers: Callers, peers: Peers, address: tuple[Any, ...]
) -> Any:
    from airflow_mlops_provider.serving.protocols.grpc.server import Address, Service, serve

    def allow(request: Request, *rights: Right) -> None:
        _allowed(request, callers, *rights)

    return await serve(Service(server, respond, allow, peers), Address(*address))


def _responding(
    callers: Callers, queue: RequestQueue, right: Right, count: Callable[[int, float], None] = lambda *_: None
) -> Respond:
    async def respond(request: Request, form: Form) -> Response:
        begun, request_id = time.perf_counter(), _request_id(request)
        status, answer = await _answer(request, request_id, form, callers, queue, right)
        count(status, time.perf_counter() - begun)
        own = form.headers(answer) if status == 200 else {"content-type": JSON}
        return Response(answer, status, {"x-request-id": request_id, **own, **_HEADERS.get(status, {})})

    return respond


def _add_predict(app: Api, server: ModelServer, respond: Respond) -> None:
    stream = {"schema": {"type": "string", "format": "binary"}}
    body = {"required": True, "content": {JSON: {"schema": server.schema.json_schema()}, ARROW: stream}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": predictions_model(server.problem.answer_fields), "content": {ARROW: stream}},
        **REFUSALS,
    }

    @app.post(_PREDICT, openapi_extra={"requestBody": body}, responses=responses, dependencies=[Depends(_SCHEME)])
    async def predict(request: Request) -> Response:
        """Predict each row: request columns and ``event_time``; features come from the online store."""
        return await respond(
            request, form_of(request.headers.get("content-type", ""), request.headers.get("accept", ""))
        )

    app.state.direct[_PREDICT] = predict


def _add_probes(app: FastAPI, server: ModelServer, callers: Callers, peers: Peers) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process is up."""
        return {"status": "up"} if callers.closed else {"status": "up", "product": server.product.name}

    @app.get("/ready", responses={503: {"description": "Nothing can be predicted now"}})
    async def ready(request: Request) -> JSONResponse:
        """Say whether model and features answer: 200, or 503; with the reason for callers who may read."""
        reason, caller = await peers.not_ready(), _caller(request, callers)
        details = {"reason": reason} if caller and caller.may(Right.READ, Right.OPERATE) else {}
        return JSONResponse({"ready": reason is None, **details}, 503 if reason else 200)


def _add_state(app: FastAPI, server: ModelServer, callers: Callers, peers: Peers, open_metrics: bool) -> None:
    closed = partial(_closed, callers)
    text = "text/plain; version=0.0.4; charset=utf-8"

    @app.get("/", response_class=HTMLResponse, **closed(Right.READ, Right.OPERATE))
    async def index() -> str:
        """Say what this server serves, for a person."""
        product = server.product
        return index_page(product.name, product.goal, server.schema.known, await peers.state())

    @app.get("/openapi.json", include_in_schema=False, **closed(*Right))
    async def schema() -> JSONResponse:
        """Describe the API."""
        return JSONResponse(app.openapi())

    @app.get("/version", **closed(Right.READ, Right.OPERATE))
    async def version() -> ServerState:
        """Say which version is live since when, which is wanted, and why they differ if they do."""
        return await peers.state()

    @app.get("/metrics", response_class=PlainTextResponse, **({} if open_metrics else closed(Right.OPERATE)))
    async def metrics() -> Response:
        """Return the metrics for Prometheus."""
        return PlainTextResponse(await peers.metrics(), media_type=text)


def _closed(callers: Callers, *rights: Right) -> dict[str, Any]:
    """Return what a route has that is for callers with one of some rights."""

    async def check(request: Request) -> None:
        _allowed(request, callers, *rights)

    # As JSON, whatever the route itself answers with; the schema is the one of /predict.
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    responses = {why: {"description": REFUSALS[why]["description"], "content": content} for why in (401, 403)}
    return {"dependencies": [Depends(_SCHEME), Depends(check)], "responses": responses}


# Where the body was not read to its end, the connection can't carry another call.
_CLOSE = {"connection": "close"}
_HEADERS = {
    401: {"www-authenticate": "Bearer", **_CLOSE}, 403: _CLOSE, 408: _CLOSE, 413: _CLOSE,
    429: {"retry-after": "1"}, 503: {"retry-after": "1"},
}  # fmt: skip


async def _answer(
    request: Request, request_id: str, form: Form, callers: Callers, queue: RequestQueue, right: Right
) -> tuple[int, Answer]:
    try:
        caller, until = _allowed(request, callers, right), deadline(request.headers)
        async with queue.body(request) as body:
            gone = partial(is_gone, request.receive)
            return 200, await queue.answer(Call(body, request_id, caller.name, form, until, gone))
    except Exception as error:  # noqa: BLE001  # it is told the caller
        return _refused(error, request_id, form)


def _refused(error: Exception, request_id: str, form: Form) -> tuple[int, Answer]:
    """Return status and body for a call that can't be answered; the log has those that are our fault."""
    if isinstance(error, HTTPException):
        return error.status_code, form.refusal(error.status_code, error.detail)
    if isinstance(error, ClientDisconnect):
        return 499, form.refusal(499, "the caller went away")
    if isinstance(error, RequestError):
        return form.unfit, form.refusal(form.unfit, str(error))
    if isinstance(error, BackendError):
        return 503, form.refusal(503, str(error))
    log.error("request %s failed", request_id, exc_info=error)
    why = f"the call failed; the server's log has the reason under request id {request_id}"
    return 500, form.refusal(500, why)


def _refused_stream(error: Exception, request_id: str) -> Response:
    status, why = _refused(error, request_id, AS_JSON)
    headers = {"x-request-id": request_id, "content-type": JSON, **_HEADERS.get(status, {}), **_CLOSE}
    return Response(why, status, headers)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"{_PROCESS}{next(_COUNT):012x}"


def _caller(request: Request, callers: Callers) -> Caller | None:
    return callers.of(request.headers.get("authorization", ""))


def _allowed(request: Request, callers: Callers, *rights: Right) -> Caller:
    """Return a caller who has one of some rights, and keep what was wanted; of predictions their own log tells.

    :raises HTTPException: if nobody is known by that token (401), or the caller lacks the right (403).
    """
    caller, wanted = _caller(request, callers), f"{request.method} {request.scope['path']!r}"
    if caller is None:
        raise HTTPException(401, _SEND_TOKEN, headers=_HEADERS[401])
    if not caller.may(*rights):
        audit.info("%s may not %s", caller.name, wanted)
        has, needs = ", ".join(sorted(caller.rights)), " or ".join(rights)
        raise HTTPException(403, f"caller {caller.name!r} may {has}; this needs the right to {needs}")
    if caller.name and Right.PREDICT not in rights:
        audit.info("%s: %s", caller.name, wanted)
    return caller
