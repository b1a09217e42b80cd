"""What a run of the team's CI has built and pushed: the image by its digest, and where it comes from."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.serving.target import ImageByDigest

#: The files of a build's record: what is known of it, and the image's bill of materials if the run has left one.
BUILD_FILE, BILL_FILE = "build.json", "sbom.cdx.json"


class Build(Frozen):
    """One image that was built. :param run: its page. :param commit: of what; None if the CI doesn't say."""

    image: ImageByDigest
    run: str
    commit: str | None = None

    @property
    def repository(self) -> str:
        """The image without its digest."""
        return self.image.partition("@")[0]
