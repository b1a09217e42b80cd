"""GitHub, GitLab and Gitea keep what every forge keeps, against servers that speak their APIs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.extensions import FORGES
from airflow_mlops_provider.lifecycle.records.spec import Repository
from airflow_mlops_provider.testing import ForgeContract
from tests.factories.forge import ForgeWorld, bare, git
from tests.factories.forge import repository as begun


class TestForges(ForgeContract):
    """Each of ours."""

    @pytest.fixture(params=FORGES.builtin)
    def repository(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Repository]:
        """A repository with a branch that is ahead, on a host of that kind."""
        folder = begun(tmp_path / "work", {"settings.json": "{}"})
        git(folder, "branch", "--move", "main")
        git(folder, "checkout", "--quiet", "-b", "mlops/x")
        (folder / "settings.json").write_text('{"better": true}')
        git(folder, "commit", "--quiet", "--all", "--message", "Better")
        with ForgeWorld({"team/models": bare(folder, tmp_path / "remote.git")}, "sesame", request.param) as host:
            yield Repository(remote=host.remote(), forge=request.param, path="shop")

    @pytest.fixture
    def credentials(self) -> Credentials:
        """The host's own token."""
        return Credentials("ann", "sesame")
