"""What model servers have to keep, as tests."""

from __future__ import annotations

import time

import pytest

from airflow_mlops_provider.backends.model_server.base import ModelServer
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.exceptions import DeploymentError


class ModelServerContract:
    """What a kind of model server keeps. Override :meth:`server`, :meth:`releases` and :meth:`broken`."""

    patience = 60.0

    @pytest.fixture
    def server(self) -> ModelServer:
        """A server of one product that serves nothing yet."""
        raise NotImplementedError

    @pytest.fixture
    def releases(self) -> tuple[Release, Release]:
        """Two versions of the product that may be live."""
        raise NotImplementedError

    @pytest.fixture
    def broken(self) -> Release:
        """A version that may be live, and can't be loaded."""
        raise NotImplementedError

    def answers(self, server: ModelServer) -> set[int | None]:
        """Return which versions the replicas answer with; of a silent one None."""
        return {replica.state.version if replica.state else None for replica in server.observe()}

    def test_a_version_is_deployed_everywhere(self, server: ModelServer, releases: tuple[Release, Release]) -> None:
        """On return every replica answers with it, and says so; another, and again the same, follow."""
        assert self.answers(server) <= {None}
        for release in (*releases, releases[1]):
            server.deploy(release)
            assert self.answers(server) == {release.version}
            state = server.state()
            assert release.same_model(server.wanted())
            assert state is not None
            assert release.same_model(state.live)
            assert (state.product, state.not_ready) == (server.served.product, None)
        assert server.address.startswith("http")

    def test_it_follows_what_it_is_told(self, server: ModelServer, releases: tuple[Release, Release]) -> None:
        """Told without being waited for it changes by itself, and one that is made anew knows what was told."""
        first, second = releases
        server.deploy(first)
        server.weight(second)
        end = time.monotonic() + self.patience
        while self.answers(server) != {second.version} and time.monotonic() < end:
            time.sleep(0.2)
        again = type(server)(server.served)
        assert self.answers(again) == {second.version}
        assert second.same_model(again.wanted())

    def test_what_fails_is_taken_back(
        self, server: ModelServer, releases: tuple[Release, Release], broken: Release
    ) -> None:
        """A version that can't be loaded is an error that names it, and the one before answers."""
        server.deploy(releases[0])
        with pytest.raises(DeploymentError, match=str(broken.version)):
            server.deploy(broken)
        assert self.answers(server) == {releases[0].version}
        server.roll_back(releases[0])
        assert releases[0].same_model(server.wanted())
        assert self.answers(server) == {releases[0].version}

    def test_it_is_ended_by_whom_it_belongs_to(self, server: ModelServer, releases: tuple[Release, Release]) -> None:
        """One that deployments start ends and comes back; one that others keep goes on."""
        server.deploy(releases[0])
        assert server.stop() == server.managed
        assert self.answers(server) <= ({None} if server.managed else {releases[0].version})
        server.deploy(releases[1])
        assert self.answers(server) == {releases[1].version}
