"""Who is silent while a candidate is judged."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server.base import Replica
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.jobs.deployment import candidate, rollout
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.release.rollout import Candidate, Observed
from tests.factories.ledger import version

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def state() -> ServerState:
    """Return what a pod says that has loaded the candidate."""
    own = Candidate(
        version=2, observed=Observed(calls=3), mode=Status.CANARY, share=0.1, requested_at=NOW, since=NOW
    )  # fmt: skip
    return ServerState.model_construct(
        started=NOW, desired=None, live=SimpleNamespace(version=1), candidate=own, not_ready=None
    )


@pytest.mark.parametrize(
    ("replicas", "says"),
    [
        ([Replica("pod a", state()), Replica("pod b", None)], "pod b does not answer for 1 s"),
        ([Replica("pod a", None), Replica("pod b", None)], "pod a, pod b do not answer for 0 s"),
        ([], "the model server does not answer for 0 s"),
        ([Replica("pod a", state()), Replica("pod b", state())], ""),
    ],
)
def test_who_is_silent_is_named(replicas: list[Replica], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of several has longer than all of them: it may begin anew. What all say is added up."""
    monkeypatch.setattr(candidate, "SILENT", 0.0)
    monkeypatch.setattr(candidate, "ONE_SILENT", 1.0)
    monkeypatch.setattr(rollout, "model_server", lambda context: SimpleNamespace(observe=lambda: replicas))
    entry: Any = SimpleNamespace(version=version(2), at=NOW)
    context: Any = None
    found, silent = candidate._state(context, entry, version(1))
    assert silent == says
    assert (found is None) == bool(says)
    if found and found.candidate:
        assert found.candidate.observed.calls == 6
