"""Waits for a rollout until there is something to decide; what that is, the deployment's job looks at itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_mlops_provider.backends.model_server.base import Replica, combined
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.lifecycle.release.deployment import Rollout
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.release.rollout import Action, Phase, judge
from airflow_mlops_provider.triggers.base import NOTHING, Seen, StateTrigger

#: Looks at which the server may be silent, or not know of the candidate.
PATIENCE = 3


@dataclass(eq=False, repr=False, kw_only=True)
class RolloutTrigger(StateTrigger):
    """Fires when a candidate is to go on or to be taken back, its server is silent, or labels are to be looked at.

    :param product: whose server it is, and whose connection serves if ``conn_id`` names none.
    :param address: where it listens, if no connection says so.
    :param replicas: the addresses of its replicas, by name: each is asked, and their counts are added. Where none of
        them can be reached from here, the one address is asked, and the job adds up.
    :param version: the candidate's number.
    :param plan: the rollout, as JSON.
    :param status: the phase.
    :param began, first: when that began and when the first one did, in ISO 8601.
    :param wake: when to fire in any case, in ISO 8601; None for never.
    """

    product: str
    address: str
    version: int
    plan: dict[str, Any]
    status: str
    began: str
    first: str
    wake: str | None = None
    replicas: dict[str, str] = field(default_factory=dict)
    since: str | None = NOTHING
    seconds: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._missed = 0

    def look(self) -> Seen:
        from airflow_mlops_provider.backends.model_server.client import server_state
        from airflow_mlops_provider.hooks.model_server import ModelServerHook

        hook = ModelServerHook.named(self.conn_id, self.product)
        token = hook.connection.password or ""
        states = [Replica(name, server_state(url, token)) for name, url in self.replicas.items()]
        if not any(replica.state for replica in states):
            states = [Replica("the server", server_state(hook.url or self.address, token))]
        return self.seen(states, datetime.now(UTC))

    def seen(self, replicas: Sequence[Replica], now: datetime) -> Seen:
        """Return whether there is something to decide, by what the replicas say."""
        facts: dict[str, Any] = {"version": self.version}
        began, state = datetime.fromisoformat(self.began), combined(replicas)
        behind = [replica.name for replica in replicas if not self._is_known(replica.state, began)]
        known = state.candidate if state else None
        if state is None or known is None or behind:
            self._missed += 1
            text = f"{', '.join(behind) or 'the server'}: no word of version {self.version}"
            return Seen("missing" if self._missed >= PATIENCE else None, text, facts)
        self._missed = 0
        phase = Phase(Status(self.status), state.waits_since(began), datetime.fromisoformat(self.first))
        verdict = judge(Rollout.model_validate(self.plan), phase, now, known)
        if verdict.action is not Action.WAIT:
            return Seen(verdict.action.value, f"version {self.version}: {verdict.action}: {verdict.reason}", facts)
        is_time = self.wake is not None and now >= datetime.fromisoformat(self.wake)
        text = f"version {self.version} in {self.status}: {verdict.reason}"
        return Seen("labels" if is_time else None, text, facts, verdict.due)

    def _is_known(self, state: ServerState | None, began: datetime) -> bool:
        known = state.candidate if state else None
        return bool(known and (known.version, known.requested_at) == (self.version, began))
