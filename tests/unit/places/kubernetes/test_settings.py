"""The settings of a pod: what cannot work is refused when it is written down."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.kubernetes.settings import as_quantity, in_bytes


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image": "x", "gpu": 1}, "KubernetesPod has no field 'gpu'; known: active_deadline_seconds, annotations,"),
        ({"image": "x", "memory": "4 GB"}, "memory"),
        ({"image": "x", "memory": "0"}, "memory"),
        ({"image": "x", "cpu": "two"}, "cpu"),
        ({"image": "x", "gpus": -1}, "gpus"),
        ({"image": ""}, "image"),
        ({"image": "x", "gpu_type": "H100"}, "gpu_type='H100' without gpus"),
        ({"image": "x", "memory": "4Gi", "memory_cap": "2Gi"}, "memory_cap='2Gi' needs a memory"),
        ({"image": "x", "memory_factor": 1}, "memory_factor"),
        ({"image": "x", "namespace": "Ml"}, "namespace"),
        ({"image": "x", "keep": "some"}, "keep"),
        ({"image": "x", "env": {"DB_PASSWORD": "hunter2"}}, "env must not hold 'DB_PASSWORD'; write secrets="),
        ({"image": "x", "env": {"A": "1"}, "secrets": {"A": None}}, "A are in env and in secrets"),
        ({"image": "x", "secrets": {"A": {"name": "s", "kee": "k"}}}, "SecretKey has no field 'kee'; known: key, name"),
        ({"image": "x", "volumes": [{"path": "/a"}]}, "the volume at /a needs one source, not none"),
        ({"image": "x", "volumes": [{"path": "/a", "claim": "a", "secret": "b"}]}, "needs one source, not"),
        ({"image": "x", "volumes": [{"path": "/a", "claim": "a"}, {"path": "/a", "claim": "b"}]}, "share a path"),
        ({"image": "x", "log": {"total": 0}}, "log.total"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], said: str) -> None:
    """A wrong field or value is refused when it is written down, by name, and no value is repeated."""
    with pytest.raises(ValidationError) as caught:
        KubernetesPod(**fields)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_memory_grows_up_to_the_cap() -> None:
    """Each out-of-memory gives more, by the factor, up to the cap, and then no more."""
    place = KubernetesPod(image="x", memory="1500Mi", memory_factor=1.5, memory_cap="4Gi")
    given: list[str | None] = ["1500Mi"]
    while given[-1]:
        given.append(place.more_memory(given[-1]))
    assert given == ["1500Mi", "2250Mi", "3375Mi", "4Gi", None]
    assert KubernetesPod(image="x").more_memory(None) is None
    assert [in_bytes(one) for one in ("1Ki", "1k", "1.5Gi", "7")] == [1024, 1000, 1610612736, 7]
    assert as_quantity(in_bytes("3G")) == "2862Mi"
