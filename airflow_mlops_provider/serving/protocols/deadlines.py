"""How long a caller waits for an answer, as its headers say."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping

from airflow_mlops_provider.serving.request_schema import RequestError

#: How Envoy tells the servers behind it, and how gRPC does; and what the units of gRPC are.
TIMEOUTS = {
    "x-envoy-expected-rq-timeout-ms": re.compile(r"(\d{1,9})()"),
    "grpc-timeout": re.compile(r"(\d{1,8})([HMSmun])"),
}
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "": 1e-3, "u": 1e-6, "n": 1e-9}


def deadline(headers: Mapping[str, str]) -> float:
    """Return until when the caller waits, by ``time.monotonic``; for ever if no header says it.

    :raises RequestError: if one of them is no such time.
    """
    until = math.inf
    for name, form in TIMEOUTS.items():
        if (given := headers.get(name)) is not None:
            said = form.fullmatch(given)
            if said is None:
                such = "500" if "envoy" in name else "500m"
                raise RequestError(f"the header {name} must be a time such as {such}, not {given[:80]!r}")
            until = min(until, time.monotonic() + int(said[1]) * _UNITS[said[2]])
    return until
