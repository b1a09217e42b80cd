"""What the API answers, for its description."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Prediction(BaseModel):
    """One row's."""

    probability: float


class Predictions(BaseModel):
    """One for each row, in their order, all by one model version."""

    product: str
    version: int
    predictions: list[Prediction]


class Refusal(BaseModel):
    """Why there are none, and what to do."""

    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text}
    for status, text in {
        401: "The token is missing or another",
        408: "The body did not arrive in time",
        413: "The body is too large",
        422: "A row cannot be predicted: which, and why",
        500: "The server failed; its log says why",
        503: "No model or no features at the moment, or too many calls wait",
    }.items()
}
