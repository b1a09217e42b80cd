"""What the hooks share: a connection that may be missing where an embedded default serves in its place."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MLOpsError


class ServiceHook(BaseHook):
    """One service of the loop, as an Airflow connection describes it.

    :param conn_id: the connection. Where the default one is not defined, the embedded default serves; any other must
        be there.
    """

    conn_name_attr = "conn_id"
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    def __init__(self, conn_id: str | None = None) -> None:
        super().__init__()
        self.conn_id = conn_id or self.default_conn_name

    def settings(self) -> dict[str, Any]:
        """Return what a job may know and a manifest may show: addresses, never a secret."""
        raise NotImplementedError

    def secrets(self) -> dict[str, str]:
        """Return the environment variables through which credentials reach a job; none without a connection."""
        return {}

    def test_connection(self) -> tuple[bool, str]:
        """Try the service for real, and say in a sentence how that went."""
        try:
            return True, self.probe()
        except (MLOpsError, AirflowNotFoundException, ImportError) as error:
            return False, str(missing_extra(error) or error)

    def probe(self) -> str:
        """Use the service once, and return what answered.

        :raises BackendError: if it cannot be used.
        """
        raise NotImplementedError

    @cached_property
    def connection(self) -> Connection | None:
        """The connection; None where the default one is not defined.

        :raises AirflowNotFoundException: if one that was asked for by name is not defined.
        """
        try:
            return self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            if self.conn_id == self.default_conn_name:
                return None
            raise AirflowNotFoundException(
                f"Airflow connection {self.conn_id!r} (type {self.conn_type!r}) isn't defined; add it, or name another"
            ) from None

    @property
    def extra(self) -> dict[str, Any]:
        """The connection's further fields that were filled in."""
        fields = self.connection.extra_dejson if self.connection else {}
        return {name: value for name, value in fields.items() if value not in (None, "")}

    @property
    def url(self) -> str | None:
        """The connection's address as a URL without credentials; None if it has no host.

        :raises ConfigurationError: if user name or password stand inside the host.
        """
        conn = self.connection
        if conn is None or not conn.host:
            return None
        parts = urlsplit(conn.host if "://" in conn.host else f"{conn.schema or 'http'}://{conn.host}")
        if "@" in parts.netloc:
            raise ConfigurationError(f"connection {self.conn_id!r}: put user name and password in their own fields")
        if conn.port and parts.port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{conn.port}")
        return urlunsplit(parts).rstrip("/")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """The connection's user name and password; None if it has no user name."""
        conn = self.connection
        return (conn.login, conn.password or "") if conn and conn.login else None

    @property
    def token(self) -> str | None:
        """The connection's password where it has no user name: a token."""
        conn = self.connection
        return conn.password if conn and conn.password and not conn.login else None

    def required_url(self) -> str:
        """Return the address. :raises BackendError: if there is none to try."""
        if self.url is None:
            raise BackendError(f"connection {self.conn_id!r} has no host to try; fill it in")
        return self.url
