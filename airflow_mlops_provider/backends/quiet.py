"""No library of ours phones home unless the user asked for it."""

from __future__ import annotations

import os

_OFF = {
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
}


def silence() -> None:
    """Turn the telemetry of feast, mlflow, great-expectations and evidently off, where the user set nothing himself."""
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)
