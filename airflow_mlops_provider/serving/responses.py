"""What the API answers: models for its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, create_model

from airflow_mlops_provider.exceptions import MLOpsError


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


def error_text(error: Exception) -> str:
    """Return an error's message, bounded, with its class if it is not one of ours."""
    text = str(error)[:500]
    return text if isinstance(error, MLOpsError) else f"{type(error).__name__}: {text}"
