"""The routes of the protocols that are spoken over HTTP, beside the API's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_mlops_provider import __version__
from airflow_mlops_provider.serving.protocols import open_inference, tensorflow
from airflow_mlops_provider.serving.protocols.invocations import CSV, Invocations
from airflow_mlops_provider.serving.protocols.open_inference import HEADER, OpenInference, error_json
from airflow_mlops_provider.serving.responses import REFUSALS, Form
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.serving.workers.peers import Peers

Respond = Callable[[Request, Form], Awaitable[Response]]
Readiness = Callable[[], Awaitable[JSONResponse]]
_OPEN_INFERENCE, _TENSORFLOW, _ANY = "/v2/models/{name}", "/v1/models/{name}", {"type": "object"}


class Refused(BaseModel):
    """Why there is no answer."""

    error: str


class InvocationError(BaseModel):
    """Why there is no answer, as MLflow has it."""

    error_code: str
    message: str


def described(answer: dict[str, Any], request: dict[str, Any], refusal: type[BaseModel] = Refused) -> dict[str, Any]:
    """Return what the API's description says of a route. :param answer, request: JSON schemas by content type."""
    texts = {status: REFUSALS[status]["description"] for status in REFUSALS if status != 422}
    texts |= {400: REFUSALS[422]["description"], 404: "No such model or version"}
    return {
        "responses": {
            200: {"content": {kind: {"schema": schema} for kind, schema in answer.items()}},
            **{status: {"model": refusal, "description": text} for status, text in texts.items()},
        },
        "openapi_extra": {
            "requestBody": {"required": True, "content": {kind: {"schema": s} for kind, s in request.items()}}
        },
    }


def add_protocols(app: FastAPI, server: ModelServer, respond: Respond, peers: Peers, closed: dict[str, Any]) -> None:
    """Add all of them.

    :param respond: answers a call in a form.
    :param peers: says of all workers what serves.
    :param closed: what routes for callers have.
    """

    @app.exception_handler(StarletteHTTPException)
    async def refuse(request: Request, error: StarletteHTTPException) -> Response:
        if not request.url.path.startswith(("/v1/", "/v2")):
            return await http_exception_handler(request, error)
        return Response(error_json(str(error.detail)), error.status_code, error.headers, "application/json")

    async def readiness() -> JSONResponse:
        ready = await peers.not_ready() is None
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    _add_open_inference(app, server, respond, peers, readiness, closed)
    _add_tensorflow(app, server, respond, peers, closed)
    _add_mlflow(app, respond, readiness, closed)


def _add_open_inference(
    app: FastAPI, server: ModelServer, respond: Respond, peers: Peers, readiness: Readiness, closed: dict[str, Any]
) -> None:
    model = open_inference.model_of(server.product.name, server.problem)

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        """Say that the process is up (Open Inference Protocol)."""
        return {"live": True}

    @app.get("/v2/health/ready", responses={503: {"description": "Nothing can be predicted now"}})
    async def ready() -> JSONResponse:
        """Say whether model and features answer: 200 or 503 (Open Inference Protocol)."""
        return await readiness()

    @app.get("/v2", **_models(closed))
    async def about() -> dict[str, Any]:
        """Say what this server is (Open Inference Protocol)."""
        return server_metadata(server)

    @app.get(f"{_OPEN_INFERENCE}/versions/{{version}}", **_models(closed))
    @app.get(_OPEN_INFERENCE, **_models(closed))
    async def metadata(name: str, version: str = "") -> dict[str, Any]:
        """Say which tensors the model takes and gives (Open Inference Protocol)."""
        return open_inference.metadata(model, await versions(peers, model.name, name, version), server.schema)

    @app.get(f"{_OPEN_INFERENCE}/versions/{{version}}/ready", **_models(closed))
    @app.get(f"{_OPEN_INFERENCE}/ready", **_models(closed))
    async def model_ready(name: str, version: str = "") -> JSONResponse:
        """Say whether the model answers: 200 or 503 (Open Inference Protocol)."""
        await versions(peers, model.name, name, version)
        return await readiness()

    binary = {"type": "string", "format": "binary"}
    kinds = {"application/json": _ANY, "application/octet-stream": binary}
    about_infer = described(kinds, kinds)

    @app.post(f"{_OPEN_INFERENCE}/versions/{{version}}/infer", **about_infer, dependencies=closed["dependencies"][:1])
    @app.post(f"{_OPEN_INFERENCE}/infer", **about_infer, dependencies=closed["dependencies"][:1])
    async def infer(request: Request, name: str, version: str = "") -> Response:
        """Predict the rows of which there is a tensor for each column (Open Inference Protocol)."""
        return await respond(request, OpenInference(model, name, version, request.headers.get(HEADER)))


def _add_tensorflow(app: FastAPI, server: ModelServer, respond: Respond, peers: Peers, closed: dict[str, Any]) -> None:
    name_, about = server.product.name, described({"application/json": _ANY}, {"application/json": _ANY})

    @app.get(f"{_TENSORFLOW}/versions/{{version}}", **_models(closed))
    @app.get(_TENSORFLOW, **_models(closed))
    async def status(name: str, version: str = "") -> dict[str, Any]:
        """Say which version is live (TensorFlow Serving)."""
        if not (known := await versions(peers, name_, name, version)):
            raise HTTPException(503, "no version is live")
        return tensorflow.status_of(known[0])

    @app.post(f"{_TENSORFLOW}/versions/{{version}}:predict", **about, dependencies=closed["dependencies"][:1])
    @app.post(f"{_TENSORFLOW}:predict", **about, dependencies=closed["dependencies"][:1])
    async def predict(request: Request, name: str, version: str = "") -> Response:
        """Predict instances, rows by name, or inputs, columns by name (TensorFlow Serving)."""
        return await respond(request, tensorflow.TensorflowServing(name_, name, version))


def _add_mlflow(app: FastAPI, respond: Respond, readiness: Readiness, closed: dict[str, Any]) -> None:
    kinds = {"application/json": _ANY, CSV: {"type": "string"}}
    about = described({"application/json": _ANY}, kinds, InvocationError)
    about["responses"][415] = {"model": InvocationError, "description": "The body is neither JSON nor CSV"}

    @app.get("/ping", responses={503: {"description": "Nothing can be predicted now"}})
    async def ping() -> JSONResponse:
        """Say whether model and features answer: 200 or 503 (MLflow)."""
        return await readiness()

    @app.post("/invocations", **about, dependencies=closed["dependencies"][:1])
    async def invocations(request: Request) -> Response:
        """Predict dataframe_split, dataframe_records, instances or inputs, or CSV (MLflow's scoring server)."""
        return await respond(request, Invocations(request.headers.get("content-type", "")))


def server_metadata(server: ModelServer) -> dict[str, Any]:
    """Return what the Open Inference Protocol says of a server."""
    return {"name": server.product.name, "version": __version__, "extensions": [*open_inference.EXTENSIONS]}


async def versions(peers: Peers, model: str, name: str, version: str) -> list[str]:
    """Return the live version, if there is one. :raises HTTPException: if a caller names another version, or model."""
    open_inference.check_model(model, name)
    known = await peers.versions()
    if version and version not in known:
        raise HTTPException(404, f"unknown version {version[:20]!r}; live is {', '.join(known) or 'none'}")
    return known


def _models(closed: dict[str, Any]) -> dict[str, Any]:
    further = {404: "No such model or version", 503: "Nothing can be predicted now"}
    said = {status: REFUSALS[status]["description"] for status in closed["responses"]} | further
    return {**closed, "responses": {status: {"model": Refused, "description": text} for status, text in said.items()}}
