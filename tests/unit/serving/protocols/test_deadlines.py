"""Deadlines that callers send in their headers."""

from __future__ import annotations

import math
import time

import pytest

from airflow_mlops_provider.serving.protocols.deadlines import deadline
from airflow_mlops_provider.serving.request_schema import RequestError


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, math.inf),
        ({"x-envoy-expected-rq-timeout-ms": "1500"}, 1.5),
        ({"grpc-timeout": "2S"}, 2),
        ({"grpc-timeout": "3M", "x-envoy-expected-rq-timeout-ms": "250"}, 0.25),
        ({"grpc-timeout": "100u"}, 0.0001),
    ],
)
def test_a_deadline_is_what_the_headers_say(headers: dict[str, str], seconds: float) -> None:
    """Envoy's or gRPC's, the shorter of both; none without."""
    assert deadline(headers) == pytest.approx(time.monotonic() + seconds, abs=0.05)


@pytest.mark.parametrize("said", ["", "-1", "1.5", "soon", "9" * 30, "2S"])
def test_a_timeout_that_is_none_is_refused(said: str) -> None:
    """By name, with what fits."""
    with pytest.raises(RequestError, match="x-envoy-expected-rq-timeout-ms must be a time such as 500"):
        deadline({"x-envoy-expected-rq-timeout-ms": said})
