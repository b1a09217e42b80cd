"""The routes of large calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from airflow_mlops_provider.serving.protocols.arrow import ARROW
from airflow_mlops_provider.serving.responses import JSON, REFUSALS, Refusal
from airflow_mlops_provider.serving.streams.answering import Streams
from airflow_mlops_provider.serving.streams.background import Background, is_preferred
from airflow_mlops_provider.serving.streams.kept import BackgroundCall
from airflow_mlops_provider.serving.streams.pieces import LINES

Responses = dict[int | str, dict[str, Any]]
_FULL: Responses = {507: {"model": Refusal, "description": "Background calls take too many bytes: delete some"}}
_UNKNOWN: Responses = {404: {"model": Refusal, "description": "No such call of this caller is kept"}}
_PREFER = {
    "name": "prefer", "in": "header", "schema": {"type": "string"}, "example": "respond-async",
    "description": "`respond-async`: answer 202 at once, and predict in the background (RFC 7240)",
}  # fmt: skip


def add_streams(
    app: FastAPI, streams: Streams, background: Background, request_id: Callable[[Request], str], scheme: Any
) -> None:
    """Add them. :param scheme: what says in the API's description how callers are known."""
    content = {LINES: {"schema": {"type": "string"}}, ARROW: {"schema": {"type": "string", "format": "binary"}}}
    unfit = {**REFUSALS[422], "description": f"The body is neither {LINES} nor {ARROW}"}
    taken = {"model": BackgroundCall, "description": "Taken; the header `location` says where to ask for it"}
    later: dict[str, Any] = {"dependencies": [scheme]}
    known: Responses = {**{status: REFUSALS[status] for status in (401, 403)}, **_UNKNOWN}
    not_yet = {"model": Refusal, "description": "It is not done yet: come again in a moment"}

    @app.post(
        "/predict/stream",
        openapi_extra={"requestBody": {"required": True, "content": content}, "parameters": [_PREFER]},
        responses={**REFUSALS, **_FULL, 415: unfit, 200: {"content": content}, 202: taken}, dependencies=[scheme],
    )  # fmt: skip
    async def predict_stream(request: Request) -> Response:
        """Predict any number of rows, JSON lines or Arrow's record batches, and answer while they are predicted.

        Or in the background, for callers who prefer that: see ``/predictions/{call_id}``.
        """
        if is_preferred(request):
            return await background.take(request, request_id(request))
        return streams.answer(request, request_id(request))

    @app.get("/predictions/{call_id}", responses={**known, 200: {"model": BackgroundCall}}, **later)
    def prediction(request: Request, call_id: str) -> Response:
        """Say what became of a call that is answered in the background."""
        kept = background.find(request, call_id)
        headers = {"location": kept.result} if kept.result else {"retry-after": "1"} if kept.is_open else {}
        return Response(kept.public(), 200, headers, JSON)

    @app.get(
        "/predictions/{call_id}/result",
        responses={**REFUSALS, **_FULL, **_UNKNOWN, 409: not_yet, 200: {"content": content}}, **later,
    )  # fmt: skip
    def result(request: Request, call_id: str) -> Response:
        """Return the answer, as ``/predict/stream`` would have given it; of a call that failed its refusal."""
        return background.result(request, call_id)

    @app.delete("/predictions/{call_id}", status_code=204, responses=known, **later)
    def delete(request: Request, call_id: str) -> None:
        """End a call if it runs, and remove its answer."""
        background.remove(request, call_id)
