"""The CI of the team, which builds, tests and delivers what a product's repository holds."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.ci.base import CISystem
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.extensions import CI_SYSTEMS
from airflow_mlops_provider.hooks.base import ServiceHook


class CIHook(ServiceHook):
    """GitHub Actions, GitLab CI or Jenkins, for one repository or job.

    ``kind`` says which, ``project`` the repository's path, or the job's. The password is a token that may start and
    stop runs and read what they made; Jenkins wants the user to whom it belongs as well. Without a host it is GitHub's,
    or GitLab's, own.
    """

    default_conn_name = "mlops_ci"
    conn_type = "mlops_ci"
    hook_name = "MLOps CI"

    def settings(self) -> dict[str, Any]:
        """Return everything but who asks. :raises ConfigurationError: if a field is missing."""
        kind, project = self.extra.get("kind"), str(self.extra.get("project", "")).strip("/")
        if not kind or not project:
            raise self.error("fill in kind, such as github, and project, the path of the repository or job")
        try:
            system: type[CISystem] = CI_SYSTEMS.find(kind)
        except UnknownNameError as error:
            raise self.error(str(error)) from None
        url = self.url or system.default_url
        if not url:
            raise self.error(f"{kind} needs a host")
        if not self.connection.password:
            raise self.error("has no token; put it in the password")
        return {"kind": kind, "url": url, "project": project}

    def system(self, workflow: str = "") -> CISystem:
        """Return the CI, which uses this connection's token. :param workflow: which of several is meant."""
        settings, conn = self.settings(), self.connection
        system: type[CISystem] = CI_SYSTEMS.find(settings["kind"])
        credentials = Credentials(conn.login or "", conn.password or "")
        return system(settings["url"], settings["project"], credentials, workflow)

    def get_conn(self) -> CISystem:
        """Return the CI."""
        return self.system()

    def probe(self) -> str:
        """Ask for the repository, or job."""
        return self.system().probe()
