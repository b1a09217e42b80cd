"""What a model server says of itself at ``/version``."""

from __future__ import annotations

from datetime import datetime

from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.release.rollout import Candidate


class LiveRelease(Release):
    """The release in service."""

    since: datetime


class Failure(Frozen):
    """Why a wanted version does not serve; its number is None if the release pointer itself could not be read."""

    version: int | None
    error: str
    at: datetime
    requested_at: datetime | None = None


class ServerState(Frozen):
    """What a model server says of itself at ``/version``.

    :param desired: the release that the pointer names.
    :param failure: why the last wanted version does not serve.
    :param not_ready: why it cannot predict; None if it can.
    :param watermark: up to when the online store has features.
    :param candidate: what it says of the version beside the live one; None if it wants none.
    """

    product: str
    root: str
    pid: int
    started: datetime
    live: LiveRelease | None
    desired: Release | None
    failure: Failure | None
    not_ready: str | None
    watermark: datetime | None
    prediction_log: str
    candidate: Candidate | None = None

    def __str__(self) -> str:
        return f"the model server of product {self.product!r} with root {self.root} (process {self.pid})"

    @property
    def version(self) -> int | None:
        return self.live.version if self.live else None

    @property
    def candidate_version(self) -> int | None:
        return self.candidate.version if self.candidate else None

    def waits_since(self, began: datetime) -> datetime:
        """Return since when it can have known of a candidate: it may have begun later, or been pointed at it again."""
        return max(began, self.started, self.desired.requested_at if self.desired else began)
