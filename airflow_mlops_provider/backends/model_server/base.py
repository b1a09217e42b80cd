"""The contract of a model server, wherever it runs: how a version gets there, beside which other, and who answers.

Deployments know no other way to a server. One that is no process of this package (a cloud's endpoint, another serving
system) fulfils the same contract with the same few verbs; :class:`.FollowingServer` is what servers of ours share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from airflow_mlops_provider.backends.model_server.releases import Release, Wanted
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.lifecycle.release.replicas import together
from airflow_mlops_provider.lifecycle.serving.target import Serving
from airflow_mlops_provider.storage.artifacts import ArtifactStore


class ServerCode(NamedTuple):
    """What a server of ours runs. :param code: the fingerprint of the product's code. :param options: command line."""

    code: str
    options: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a server is made with: what it serves, and what was said of where.

    :param store: the artifact root, opened; ``root`` is its address.
    :param connected: the address that the Airflow connection names.
    :param port: in place of the declared one.
    :param log: the file for the output of a server on this machine.
    :param code_of: what a server must run that is to predict with a version.
    """

    product: str
    root: str
    store: ArtifactStore
    serving: Serving
    connected: str | None
    port: int | None
    log: Path
    code_of: Callable[[Wanted], ServerCode]

    @property
    def address(self) -> str:
        return self.serving.address(self.product, self.connected, self.port)

    @property
    def options(self) -> dict[str, Any]:
        return self.serving.options


class Replica(NamedTuple):
    """One of the processes that answer for a product.

    :param state: what it says of itself; None if it is silent.
    :param address: its own, where it has one beside the server's.
    """

    name: str
    state: ServerState | None
    address: str | None = None


class ModelServer(ABC):
    """One product's model server somewhere. Made without a look at anything; nothing is kept in it between two runs.

    :cvar managed: whether deployments start it; one that others start is only told and asked.
    """

    managed: ClassVar[bool] = True

    def __init__(self, served: Served) -> None:
        self.served = served

    @property
    def address(self) -> str:
        """Where callers reach it, running or not."""
        return self.served.address

    @abstractmethod
    def wanted(self) -> Release | None:
        """Return what it was last told; None for nothing. :raises IntegrityError: if that can't be read."""

    @abstractmethod
    def weight(self, release: Release | None) -> None:
        """Tell it which version answers, and which candidate beside it gets how many calls; None for none at all.

        It need not have happened on return. A version that can't be loaded leaves the one before in service.
        """

    @abstractmethod
    def prepare(self, release: Release) -> None:
        """Have servers there that can run a version's code, all of them, without changing which version answers.

        :raises DeploymentError: if they can't be had; what served before still serves.
        """

    @abstractmethod
    def deploy(self, release: Release) -> None:
        """Have every replica answer with a version: prepared, told, and waited for.

        :raises DeploymentError: if one does not in time, by name, with its reason. :meth:`roll_back` follows.
        """

    @abstractmethod
    def observe(self) -> list[Replica]:
        """Ask every replica now; empty if there is none."""

    @abstractmethod
    def roll_back(self, before: Release | None) -> None:
        """Take a deployment back that failed: whatever it changed goes back to what it was, ``before`` answers."""

    @abstractmethod
    def stop(self) -> bool:
        """End it, since nothing may be served; False if there was nothing to end, or it is not ours to end."""

    def state(self) -> ServerState | None:
        """Return what all replicas say as if they were one; None if one is silent, or there is none."""
        return combined(self.observe())


def combined(replicas: Sequence[Replica]) -> ServerState | None:
    """Return several replicas as one: it serves what one does that is behind, and a candidate's counts are added up."""
    states = [replica.state for replica in replicas]
    if not states or None in states:
        return None
    known = [state for state in states if state]
    newest = max(known, key=lambda state: state.desired.requested_at.timestamp() if state.desired else 0.0)
    wanted = newest.desired  # one that has not read of it yet serves what it believes is wanted
    behind = min(known, key=lambda state: (bool(wanted and wanted.same_model(state.live)), not state.not_ready))
    return behind.model_copy(
        update={
            "desired": newest.desired,
            "started": max(state.started for state in known),
            "candidate": together([state.candidate for state in known]),
        }
    )
