"""Vendors' libraries, kept from phoning home unless the user asked for it, and from idle work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_OFF = {
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
}


def disable_telemetry() -> None:
    """Turn the telemetry of feast, mlflow, great-expectations and evidently off, where the user set nothing himself."""
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)


@contextmanager
def without_typeguard() -> Iterator[None]:
    """Import Feast in a third of the time: its classes are compiled anew at each import, to check arguments' types.

    Typeguard leaves that out by itself under ``python -O``, which would also silence the asserts in users' code.
    """
    import typeguard

    def untouched(target: Any = None, **_: Any) -> Any:
        return target if target is not None else untouched

    checking, typeguard.typechecked = typeguard.typechecked, untouched
    try:
        yield
    finally:
        typeguard.typechecked = checking
