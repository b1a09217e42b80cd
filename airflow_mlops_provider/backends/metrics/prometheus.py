"""Prometheus: what a query's value is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError

if TYPE_CHECKING:
    import httpx

#: Of what is wrong with the query itself, Prometheus says so with one of these.
REFUSED = {400, 422}


def query(client: httpx.Client, expression: str) -> list[float]:
    """Return the value of each series that an expression gives now; one for a scalar, none where there is no data.

    :param client: speaks to the server's root.
    :raises ConfigurationError: if Prometheus can't evaluate it, or it gives no numbers.
    :raises BackendError: if Prometheus does not answer.
    """
    import httpx

    try:
        answer = client.post("/api/v1/query", data={"query": expression})
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise BackendError(f"Prometheus at {client.base_url} does not answer: {error}") from None
    if answer.status_code in REFUSED:
        raise ConfigurationError(f"Prometheus can't evaluate {expression!r}: {str(body.get('error'))[:500]}")
    if not answer.is_success or body.get("status") != "success":
        raise BackendError(f"Prometheus at {client.base_url} answers with status {answer.status_code}")
    return _values(expression, body["data"])


def _values(expression: str, data: dict[str, Any]) -> list[float]:
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar" and result:
        return [float(result[1])]
    if kind == "vector":
        return [float(series["value"][1]) for series in result or () if "value" in series]
    raise ConfigurationError(f"{expression!r} gives a {kind}; ask for a number, or a vector of them, at one moment")
