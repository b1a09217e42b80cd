"""What the API answers: models for its description, and for the client that reads ``/version``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, create_model

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.release.rollout import Candidate
from airflow_mlops_provider.serving.releases import Release


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
    }.items()
}


class LiveRelease(Release):
    """The release in service."""

    since: datetime


class Failure(Frozen):
    """Why a wanted version does not serve; its number is None if the release pointer itself could not be read."""

    version: int | None
    error: str
    at: datetime
    requested_at: datetime | None = None


class ServerState(Frozen):
    """What a model server says of itself at ``/version``.

    :param desired: the release that the pointer names.
    :param failure: why the last wanted version does not serve.
    :param not_ready: why it cannot predict; None if it can.
    :param watermark: up to when the online store has features.
    :param candidate: what it says of the version beside the live one; None if it wants none.
    """

    product: str
    root: str
    pid: int
    started: datetime
    live: LiveRelease | None
    desired: Release | None
    failure: Failure | None
    not_ready: str | None
    watermark: datetime | None
    prediction_log: str
    candidate: Candidate | None = None

    def __str__(self) -> str:
        return f"the model server of product {self.product!r} with root {self.root} (process {self.pid})"

    @property
    def version(self) -> int | None:
        return self.live.version if self.live else None

    def waits_since(self, began: datetime) -> datetime:
        """Return since when it can have known of a candidate: it may have begun later, or been pointed at it again."""
        return max(began, self.started, self.desired.requested_at if self.desired else began)


def error_text(error: Exception) -> str:
    """Return an error's message, bounded, with its class if it is not one of ours."""
    text = str(error)[:500]
    return text if isinstance(error, MLOpsError) else f"{type(error).__name__}: {text}"
