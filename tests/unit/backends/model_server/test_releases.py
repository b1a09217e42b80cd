"""The release pointer as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.storage.artifacts import open_store
from tests.factories.serving import NAME, make_release, request_release


def test_pointer_round_trip_and_damage(tmp_path: Path) -> None:
    """A pointer gives back what was written; an empty place is None; a damaged or foreign one is an error."""
    store = open_store(str(tmp_path))
    assert releases.read_desired(store, NAME) is None
    asked = request_release(tmp_path, make_release(tmp_path, 4))
    assert releases.read_desired(store, NAME) == asked
    releases.request(store, NAME, None)
    assert releases.read_desired(store, NAME) is None
    releases.request(store, NAME, asked)
    store.write("other/serving/desired.json", store.read(f"{NAME}/serving/desired.json"))
    with pytest.raises(IntegrityError, match="names product 'tiny_shop', not 'other'"):
        releases.read_desired(store, "other")
    store.write("other/serving/desired.json", b"{")
    with pytest.raises(IntegrityError, match="is no Release"):
        releases.read_desired(store, "other")
