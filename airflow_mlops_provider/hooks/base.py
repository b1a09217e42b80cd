"""What the hooks share: a connection, which may be missing where an embedded default serves in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit, urlunsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MLOpsError

EMBEDDED = "embedded default"
#: What was looked up by connection, None for one that is not defined; no dict where nothing is kept.
_LOOKED_UP: ContextVar[dict[str, Connection | None] | None] = ContextVar("looked_up", default=None)


@contextmanager
def looked_up_once(known: dict[str, Connection | None] | None = None) -> Iterator[None]:
    """Ask Airflow for each connection once in this block.

    :param known: connections by their ids, to which others are added; by default none is kept beyond the block.
    """
    token = _LOOKED_UP.set({} if known is None else known)
    try:
        yield
    finally:
        _LOOKED_UP.reset(token)


class ServiceHook(BaseHook):
    """One service of the loop, as an Airflow connection describes it. Nothing is read before it is used.

    :param conn_id: the connection; where the default one is not defined, the embedded default serves.
    :cvar login_variable, password_variable: environment variables through which a job gets user name and password.
    :cvar token_variable: that for a password without a user name, if it is another one.
    """

    conn_name_attr = "conn_id"
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]
    login_variable: ClassVar[str | None] = None
    password_variable: ClassVar[str | None] = None
    token_variable: ClassVar[str | None] = None

    def __init__(self, conn_id: str | None = None) -> None:
        super().__init__()
        self.conn_id = conn_id or self.default_conn_name

    @classmethod
    def of_product(cls, product: str) -> Self:
        """Return the hook of a product's own connection, ``<default>_<product>``, if there is one, else the default."""
        own = cls(f"{cls.default_conn_name}_{product}")
        with suppress(AirflowNotFoundException):
            if own.defined:
                return own
        return cls()

    @classmethod
    def named(cls, conn_id: str | None, product: str | None) -> Self:
        """Return the hook of a connection; without its id that of a product's own or of all."""
        return cls(conn_id) if conn_id or not product else cls.of_product(product)

    def get_conn(self) -> Any:
        """Return the service's client, which uses the connection's credentials and no others."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return what a job may know and a manifest may show. :raises ConfigurationError: if that cannot work."""
        return {"url": self.url}

    def secrets(self) -> dict[str, str]:
        """Return the environment variables through which credentials reach a job; none without a connection."""
        conn = self.connection
        only_token = self.token_variable and not conn.login
        password_variable = self.token_variable if only_token else self.password_variable
        named = {self.login_variable: conn.login, password_variable: conn.password}
        return {name: value for name, value in named.items() if name and value}

    def test_connection(self) -> tuple[bool, str]:
        """Try the service, and say in a sentence how that went."""
        try:
            return True, self.probe()
        except (MLOpsError, AirflowNotFoundException, ImportError) as error:
            return False, str(missing_extra(error) or error)

    def probe(self) -> str:
        """Use the service once, and return what answered. :raises BackendError: if it cannot be used."""
        raise NotImplementedError

    @cached_property
    def connection(self) -> Connection:
        """The connection, with nothing filled in where the default one is not defined; any other must be."""
        kept = _LOOKED_UP.get()
        known = {} if kept is None else kept
        if self.conn_id not in known:
            try:
                known[self.conn_id] = self.get_connection(self.conn_id)
            except AirflowNotFoundException:
                known[self.conn_id] = None
        if connection := known[self.conn_id]:
            return connection
        if self.conn_id == self.default_conn_name:
            return Connection(conn_id=self.conn_id, conn_type=EMBEDDED)
        raise AirflowNotFoundException(
            f"Airflow connection {self.conn_id!r} (type {self.conn_type!r}) isn't defined; add it, or name another"
        )

    @property
    def defined(self) -> bool:
        """Whether there is a connection, or the embedded default serves."""
        return self.connection.conn_type != EMBEDDED

    @property
    def extra(self) -> dict[str, Any]:
        """The connection's further fields that were filled in."""
        return {name: value for name, value in self.connection.extra_dejson.items() if value not in (None, "")}

    @property
    def url(self) -> str | None:
        """The connection's address as a URL; None if it has no host. One with user name or password is refused."""
        conn = self.connection
        if not conn.host:
            return None
        url = conn.host if "://" in conn.host else f"{conn.schema or 'http'}://{conn.host}"
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise self.error("put user name and password in their own fields")
        if conn.port and parts.port is None:
            url = urlunsplit(parts._replace(netloc=f"{parts.netloc}:{conn.port}"))
        return url.rstrip("/")  # as it was given: put together again, sqlite:////file would lose two slashes

    @property
    def credentials(self) -> tuple[str, str] | None:
        """The connection's user name and password; None if it has no user name."""
        conn = self.connection
        return (conn.login, conn.password or "") if conn.login else None

    @property
    def token(self) -> str | None:
        """The connection's password where it has no user name: a token."""
        conn = self.connection
        return None if conn.login else conn.password

    def required_url(self) -> str:
        """Return the address. :raises BackendError: if there is none to try."""
        if self.url is None:
            raise BackendError(f"connection {self.conn_id!r} has no host to try; fill it in")
        return self.url

    def error(self, why: str) -> ConfigurationError:
        """Return the error that names the connection."""
        return ConfigurationError(f"connection {self.conn_id!r}: {why}")
