"""What a caller may send: the product's request columns, typed, bounded, and refused with a message that helps."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import typing_extensions
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.product import DataType, MLProduct
from airflow_mlops_provider.serving.frames import EVENT_TIME

MAX_ROWS = 10_000
MAX_MESSAGES = 5

_TYPES: dict[DataType, Any] = {
    "string": str | None,
    "int64": Annotated[int, Field(ge=-(2**63), lt=2**63)],
    "float64": Annotated[float, Field(allow_inf_nan=False)] | None,
    "bool": bool,
    "timestamp": AwareDatetime | None,
}


class RequestError(MLOpsError):
    """A caller's rows that cannot be predicted; the message says which and why. A retry does not help."""

    retryable = False


class RequestSchema:
    """The rows that a product's callers may send.

    :param max_rows: the most rows a call may hold.
    """

    def __init__(self, product: MLProduct, max_rows: int = MAX_ROWS) -> None:
        self.known = [*product.request, EVENT_TIME]
        columns = {name: _TYPES[kind] for name, kind in product.request.items()}
        typed_dict: Any = typing_extensions.TypedDict  # made at run time, which type checkers do not follow
        strict = ConfigDict(extra="forbid", strict=True)
        row: Any = typed_dict(f"{product.name}_row", {**columns, EVENT_TIME: AwareDatetime})
        row.__pydantic_config__ = strict
        rows = Annotated[list[row], Field(min_length=1, max_length=max_rows)]
        request = typed_dict(f"{product.name}_request", {"rows": rows})
        request.__pydantic_config__ = strict
        self._adapter: TypeAdapter[dict[str, list[dict[str, Any]]]] = TypeAdapter(request)

    def json_schema(self) -> dict[str, Any]:
        """Return the request as JSON schema, for the API's description."""
        return self._adapter.json_schema()

    def parse(self, body: bytes) -> pd.DataFrame:
        """Return the rows of a JSON body, one column each for the request columns and ``event_time``.

        :raises RequestError: naming row, column, value and what is allowed, at most five of them.
        """
        try:
            rows = self._adapter.validate_json(body)["rows"]
        except ValidationError as error:
            raise RequestError(self._explain(error)) from None
        frame = pd.DataFrame(rows, columns=self.known)
        return frame.assign(**{EVENT_TIME: pd.to_datetime(frame[EVENT_TIME], utc=True)})

    def _explain(self, error: ValidationError) -> str:
        found = error.errors(include_url=False, include_context=False)
        lines = [self._line(one) for one in found[:MAX_MESSAGES]]
        more = [f"and {len(found) - MAX_MESSAGES} more"] if len(found) > MAX_MESSAGES else []
        return "; ".join(lines + more)

    def _line(self, error: Any) -> str:
        place, kind, message = error["loc"], error["type"], str(error["msg"])
        if len(place) < 3:
            where = f"row {place[1]}" if len(place) == 2 else ".".join(map(str, place)) or "the body"
            return f'{where}: {message}; send {{"rows": [{{{", ".join(self.known)}}}, …]}}'
        where, column = f"row {place[1]}", place[2]
        if kind == "extra_forbidden":
            return f"{where}: unknown column {column!r}; known: {', '.join(self.known)}"
        if kind == "missing":
            return f"{where}: column {column!r} is missing; known: {', '.join(self.known)}"
        if kind == "timezone_aware":
            message += ", such as 2013-07-01T12:00:00Z"
        return f"{where}: column {column!r}: {message}, not {error['input']!r:.80}"


def check_times(times: pd.Series, watermark: Any) -> None:
    """Refuse rows older than what the online store knows: it would answer them with their future.

    :raises RequestError: naming the first such row.
    """
    late = times[times < watermark]
    if len(late):
        raise RequestError(
            f"row {late.index[0]}: event_time {late.iloc[0].isoformat()} is before {watermark.isoformat()}, up to "
            f"where the online store already knows later features; ask batch prediction for the past "
            f"({len(late)} such rows)"
        )
