"""What servers of this package share, wherever they run: they follow the release pointer."""

from __future__ import annotations

from airflow_mlops_provider.backends.model_server import client, releases
from airflow_mlops_provider.backends.model_server.base import ModelServer, Replica
from airflow_mlops_provider.backends.model_server.releases import Release

READY_SECONDS = 120


class FollowingServer(ModelServer):
    """One or several servers that follow the release pointer of one artifact root."""

    def wanted(self) -> Release | None:
        """Return what the release pointer names."""
        return releases.read_desired(self.served.store, self.served.product)

    def weight(self, release: Release | None) -> None:
        """Write the release pointer, which servers look at each second."""
        releases.request(self.served.store, self.served.product, release)

    def prepare(self, release: Release) -> None:
        """Do nothing: it runs already."""

    def deploy(self, release: Release) -> None:
        """Write the pointer first: a new server is ready only once it can predict with what that names."""
        self.weight(release)
        self.prepare(release)
        self.wait(release)

    def wait(self, release: Release) -> None:
        """Wait until the server answers with a version. :raises DeploymentError: if it does not."""
        client.wait_for_version(self.address, release.version, READY_SECONDS, requested_at=release.requested_at)

    def observe(self) -> list[Replica]:
        """Ask at the one address."""
        return [Replica("the model server", client.server_state(self.address))]

    def roll_back(self, before: Release | None) -> None:
        """Write the pointer back."""
        self.weight(before)

    def stop(self) -> bool:
        """Leave it: it is others'."""
        return False
