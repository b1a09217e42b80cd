"""What the API answers: the form of a call and of its answer, and models for the API's description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel, Field, create_model

from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.render.markup import Html, join, tag
from airflow_mlops_provider.render.parts import card, link, links, report, table
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.prediction_log import row_ids
from airflow_mlops_provider.serving.request_schema import RequestSchema, Rows

JSON = "application/json"
_LINKS = {name: name for name in ("version", "ready", "health", "metrics")} | {"openapi.json": "API description"}


class Live(NamedTuple):
    """A version in service. A request keeps the one that it began with."""

    predictor: Predictor
    release: Release
    since: datetime


class Said(NamedTuple):
    """What a call is answered. :param answers: of each row, the fields that its kind of problem has."""

    product: str
    version: int
    request_id: str
    answers: Sequence[Mapping[str, Any]]


class Form:
    """How a call is written and answered: as JSON, or as another protocol has it.

    :cvar unfit: the status for rows that can't be predicted.
    """

    unfit = 422
    #: The only version that may answer.
    version: int | None = None

    def rows(self, schema: RequestSchema, body: bytes) -> Rows:
        """Return a body's rows. :raises RequestError: naming what is wrong."""
        return Rows(schema.rows(body))

    def answer(self, said: Said) -> bytes:
        """Return the body of the answer."""
        named = zip(row_ids(said.request_id, len(said.answers)), said.answers, strict=True)
        rows = [{"id": row, **fields} for row, fields in named]
        return msgspec.json.encode({"product": said.product, "version": said.version, "predictions": rows})

    def refusal(self, status: int, why: str) -> bytes:  # noqa: ARG002  # some say it in the body, too
        """Return, as JSON, why there is no answer."""
        return msgspec.json.encode({"detail": why})

    def headers(self, answer: bytes) -> dict[str, str]:  # noqa: ARG002  # some say there where it has its parts
        """Return the headers of an answer."""
        return {"content-type": JSON}


AS_JSON = Form()


def predictions_model(answer: Mapping[str, Any]) -> type[BaseModel]:
    """Return the model of what ``/predict`` answers. :param answer: the type of each field of a row's answer."""
    about = "Names this prediction, in the log too: the call's x-request-id and the row's number. Truth may come by it."
    field: dict[str, Any] = {
        "id": (str, Field(description=about)),
        **{name: (kind, ...) for name, kind in answer.items()},
    }
    row: Any = create_model("Prediction", __doc__="The prediction for one row.", **field)
    fields: dict[str, Any] = {"product": (str, ...), "version": (int, ...), "predictions": (list[row], ...)}
    title = "One prediction for each row, in their order, all by one model version."
    return create_model("Predictions", __doc__=title, **fields)


class Refusal(BaseModel):
    """Why there are no predictions, and what to do."""

    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text}
    for status, text in {
        401: "The token is missing or wrong",
        403: "The token's caller lacks the right",
        408: "The body did not arrive in time",
        413: "The body is too large",
        422: "A row cannot be predicted: which, and why",
        500: "The server failed; its log says why",
        429: "Too many calls wait: come again in a moment",
        503: "No model or no features at the moment",
        504: "The caller's deadline passed while the call waited",
    }.items()
}


def index_page(name: str, goal: str, known: Sequence[str], said: ServerState) -> Html:
    """Return what a server says of itself to a person. :param known: the columns that callers send."""
    live, failure, watermark = said.live, said.failure, said.watermark
    columns = ", ".join(f'"{name}": …' for name in known)
    state = (
        ("Live version", f"{live.version}, since {live.since:%Y-%m-%d %H:%M:%S} UTC" if live else "none"),
        ("State", said.not_ready or "ready"),
        ("Features known up to", f"{watermark:%Y-%m-%d %H:%M:%S} UTC" if watermark else "nothing yet"),
        ("Last failure", f"version {failure.version}: {failure.error}" if failure else "none"),
    )
    return report(
        name,
        goal,
        card("Live", table(("what", "now"), state)),
        card(
            join(("Predict with ", tag("code", "POST predict"))),
            tag("pre", f'{{"rows": [{{{columns}}}]}}'),
            tag("p", links(*(link(href, words) for href, words in _LINKS.items()))),
        ),
    )


def error_text(error: Exception) -> str:
    """Return an error's message, bounded, with its class if it is not one of ours."""
    text = str(error)[:500]
    return text if isinstance(error, MLOpsError) else f"{type(error).__name__}: {text}"
