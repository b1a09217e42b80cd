"""Calls as TensorFlow Serving's REST API takes them: ``instances``, rows by name, or ``inputs``, columns by name."""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_mlops_provider.serving.protocols.open_inference import check_model, error_json, version_of
from airflow_mlops_provider.serving.protocols.plain_json import (
    answered_by_column,
    answered_by_row,
    columns_by_name,
    one_of,
    parsed,
    rows_by_name,
)
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, Rows
from airflow_mlops_provider.serving.responses import Form, Said

SIGNATURE = "serving_default"


class TensorflowServing(Form):
    """One call. :param model: what this server has. :param name, version: what the caller names."""

    unfit = 400

    def __init__(self, model: str, name: str, version: str = "") -> None:
        self._model, self._name, self._by_row = model, name, True
        self.version = version_of(version)

    def rows(self, schema: RequestSchema, body: bytes) -> Rows:
        check_model(self._model, self._name)
        given = parsed(body)
        if given.get("signature_name", SIGNATURE) != SIGNATURE:
            raise RequestError(f"the only signature_name is {SIGNATURE!r}")
        self._by_row = (key := one_of(given, ("instances", "inputs"))) == "instances"
        return (rows_by_name if self._by_row else columns_by_name)(schema, given[key], key)

    def answer(self, said: Said) -> bytes:
        if self._by_row:
            return msgspec.json.encode({"predictions": answered_by_row(said.answers)})
        return msgspec.json.encode({"outputs": answered_by_column(said.answers)})

    def refusal(self, status: int, why: str) -> bytes:  # noqa: ARG002  # as for every form
        return error_json(why)


def status_of(version: str) -> dict[str, Any]:
    """Return what TensorFlow Serving says of a version that is live."""
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": version, "state": "AVAILABLE", "status": status}]}
