"""Calls as MLflow's scoring server takes them, at ``/invocations``."""

from __future__ import annotations

import msgspec
from fastapi import HTTPException

from airflow_mlops_provider.serving.protocols.arrow import rows_of_csv
from airflow_mlops_provider.serving.protocols.plain_json import (
    answered_by_row,
    columns_by_name,
    one_of,
    parsed,
    rows_by_name,
    split_rows,
)
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, Rows
from airflow_mlops_provider.serving.responses import JSON, Form, Said

CSV = "text/csv"
_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_CODES = {
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE",
}  # fmt: skip


class Invocations(Form):
    """One call. :param content_type: of its body."""

    unfit = 400

    def __init__(self, content_type: str) -> None:
        self._kind = content_type.partition(";")[0].strip().lower()

    def rows(self, schema: RequestSchema, body: bytes) -> Rows:
        if self._kind == CSV:
            return rows_of_csv(schema, body)
        if self._kind not in {"", JSON}:
            raise HTTPException(415, f"send {JSON} or {CSV}, not {self._kind[:40]!r}")
        given = parsed(body)
        if given.get("params"):
            raise RequestError("params can't be given: the model takes none")
        key = one_of(given, _KEYS)
        if key == "dataframe_split":
            return split_rows(schema, given[key])
        by_name = columns_by_name if key == "inputs" and isinstance(given[key], dict) else rows_by_name
        return by_name(schema, given[key], key)

    def answer(self, said: Said) -> bytes:
        return msgspec.json.encode({"predictions": answered_by_row(said.answers)})

    def refusal(self, status: int, why: str) -> bytes:
        return msgspec.json.encode({"error_code": _CODES.get(status, "BAD_REQUEST"), "message": why})
