"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.factories.tiny import TinyWorld


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., TinyWorld]]:
    """Return a function that makes a product with the rules that a test needs."""
    worlds: list[TinyWorld] = []

    def world(rules: str | None = None) -> TinyWorld:
        worlds.append(TinyWorld(tmp_path, rules) if rules else TinyWorld(tmp_path))
        return worlds[-1]

    yield world
    for one in worlds:
        one.close()
