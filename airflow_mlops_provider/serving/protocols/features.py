"""``POST /features``: what a prediction for some keys would see now. Calls that come together share a look-up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate, chain
from typing import Any

import msgspec
import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.serving.protocols.routes import Respond
from airflow_mlops_provider.serving.request_queue import Answer, Call, Later, together_or_alone
from airflow_mlops_provider.serving.request_schema import RequestSchema
from airflow_mlops_provider.serving.responses import AS_JSON, JSON, REFUSALS
from airflow_mlops_provider.serving.server import ModelServer

PATH = "/features"


class Features(BaseModel):
    """The features of each view by name: a value for each row of keys, in their order; null where there is none.

    :ivar watermark: up to when rows were brought online.
    """

    product: str
    watermark: datetime
    features: dict[str, dict[str, list[Any]]]


class FeatureLookUp:
    """Looks up the features of calls' keys, of all calls that wait at once."""

    def __init__(self, server: ModelServer) -> None:
        shape = server.product.scoring
        keys = {name: shape.row_columns[name] for name in shape.entity_columns}
        self.schema = RequestSchema({**keys, EVENT_TIME: shape.row_columns[EVENT_TIME]}, timed=False)
        self._views = {view.name: [*view.features] for view in shape.views}
        self._product, self._features = server.product.name, server.features

    def answer(self, calls: Sequence[Call]) -> list[Answer | Later | Exception]:
        """Answer some calls, or return for each why not."""
        return together_or_alone(self._together, calls)

    def _together(self, calls: Sequence[Call]) -> list[Answer]:
        parsed = [self.schema.rows(call.body) for call in calls]
        if self._features.problem:
            raise BackendError(self._features.problem)
        found = self._features.look_up(self.schema.columns([*chain.from_iterable(parsed)]))
        columns = {name: _plain(values) for name, values in found.items()}
        said = {"product": self._product, "watermark": self._features.watermark}
        ends = [*accumulate(map(len, parsed))]
        parts = [slice(end - len(rows), end) for end, rows in zip(ends, parsed, strict=True)]
        return [
            msgspec.json.encode({**said, "features": {
                view: {name: columns[name][part] for name in names} for view, names in self._views.items()
            }})
            for part in parts
        ]  # fmt: skip


def add_features(app: FastAPI, look_up: FeatureLookUp, respond: Respond, dependencies: Sequence[Any]) -> None:
    """Add the route. :param respond: answers a call in a form."""
    body = {"required": True, "content": {JSON: {"schema": look_up.schema.json_schema()}}}
    responses: dict[int | str, dict[str, Any]] = {200: {"model": Features}, **REFUSALS}

    @app.post(PATH, openapi_extra={"requestBody": body}, responses=responses, dependencies=dependencies)
    async def features(request: Request) -> Response:
        """Say which features a prediction for each row of keys would see now."""
        return await respond(request, AS_JSON)

    app.state.direct[PATH] = features


def _plain(values: np.ndarray) -> list[Any]:
    """Return values as JSON has them: moments as text in UTC; what is no number it writes as null."""
    if values.dtype.kind != "M":
        plain: list[Any] = values.tolist()
        return plain
    texts = np.datetime_as_string(values, unit="s", timezone="UTC").tolist()
    return [None if missing else text for missing, text in zip(np.isnat(values), texts, strict=True)]
