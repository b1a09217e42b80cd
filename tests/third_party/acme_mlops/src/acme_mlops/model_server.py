"""An endpoint that answers with the version that a file names; it takes a version only if its model is there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from airflow_mlops_provider.backends.model_server.base import ModelServer, Replica
from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.backends.model_server.state import LiveRelease, ServerState
from airflow_mlops_provider.exceptions import DeploymentError


class FileEndpoint(ModelServer):
    """``Serving(target="acme_file", options={"folder": …})``."""

    @property
    def file(self):
        return Path(self.served.options["folder"]) / f"{self.served.product}.json"

    def wanted(self):
        return Release.from_file(self.file.read_bytes()) if self.file.exists() else None

    def weight(self, release):
        if release is None:
            self.file.unlink(missing_ok=True)
            return
        part = self.file.with_suffix(".part")
        part.write_bytes(release.to_file())
        part.replace(self.file)

    def prepare(self, release):
        """The endpoint runs any version's code."""

    def deploy(self, release):
        if not Path(urlsplit(release.model_uri).path).is_dir():
            raise DeploymentError(f"version {release.version} could not be loaded: {release.model_uri} is no folder")
        self.weight(release)

    def observe(self):
        release, now = self.wanted(), datetime.now(UTC)
        live = LiveRelease(**dict(release), since=now) if release else None
        state = ServerState(
            product=self.served.product,
            root=self.served.root,
            pid=0,
            started=now,
            live=live,
            desired=release,
            failure=None,
            not_ready=None if live else "no version",
            watermark=None,
            prediction_log="",
        )
        return [Replica("the endpoint", state)]

    def roll_back(self, before):
        self.weight(before)

    def stop(self):
        there = self.file.exists()
        self.weight(None)
        return there
