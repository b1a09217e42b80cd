"""When a model server counts as ready."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server.state import LiveRelease, ServerState
from airflow_mlops_provider.triggers.serving import readiness

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def state(version: int | None = 3, not_ready: str | None = None) -> ServerState:
    """Return what a server of product ``eta`` says."""
    live = LiveRelease.model_construct(version=version, since=NOW) if version else None
    return ServerState.model_construct(product="eta", live=live, not_ready=not_ready)


@pytest.mark.parametrize(
    ("said", "product", "version", "ready", "text"),
    [
        (state(), None, None, True, "serves version 3 of eta"),
        (state(), "eta", 3, True, "serves version 3 of eta"),
        (state(), "eta", 4, False, "serves version 3, not 4"),
        (state(), "other", None, False, "serves eta, not other"),
        (state(not_ready="no features"), None, None, False, "can't predict: no features"),
        (state(version=None), None, None, False, "can't predict: it has no version"),
        (None, None, None, False, "no model server answers at url"),
    ],
)
def test_readiness(said: Any, product: str | None, version: int | None, ready: bool, text: str) -> None:
    """It answers, can predict, serves the product, and with the version if one is named."""
    seen = readiness("url", said, product, version)
    assert (seen.state is not None) is ready
    assert text in seen.text
