"""The trigger that waits for a pod, as Airflow stores it."""

from __future__ import annotations

import json
from typing import Any

from airflow_mlops_provider.triggers.pods import PodTrigger

WATCH: dict[str, Any] = {
    "access": {"conn_id": "kubernetes_default"}, "namespace": "ml", "name": "pod", "watch": {}, "passed": {},
}  # fmt: skip


def test_a_trigger_is_made_again_from_what_it_tells() -> None:
    """What a trigger stores makes the same trigger, and holds names and numbers only."""
    path, told = PodTrigger(**WATCH).serialize()
    assert path == "airflow_mlops_provider.triggers.pods.PodTrigger"
    assert PodTrigger(**json.loads(json.dumps(told))).serialize() == (path, told)
