"""Servers of streams, whose entries are landed as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.extensions import STREAMS
from airflow_mlops_provider.hooks.base import ServiceHook

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.streams.base import StreamServer


class StreamHook(ServiceHook):
    """A server of streams.

    ``kind`` says which: ``redis``, or another's by import path or entry point. A connection of another type, such as
    Airflow's own ``redis``, serves as well; its type is the kind then. Of the further fields each kind takes its own:
    Redis ``db`` and ``ssl``.
    """

    default_conn_name = "mlops_stream"
    conn_type = "mlops_stream"
    hook_name = "MLOps streams"

    def server(self) -> StreamServer:
        """Return the server, which connects when it is used. :raises MLOpsError: if the connection can't work."""
        from airflow_mlops_provider.backends.streams.base import Address

        conn, options = self.connection, self.extra
        if not conn.host:
            raise self.error("has no host; fill in where its server is" if self.defined else "isn't defined; add it")
        other = conn.conn_type if conn.conn_type in STREAMS.known() else "redis"
        try:
            kind: type[StreamServer] = STREAMS.find(options.pop("kind", other))
        except MLOpsError as error:
            raise self.error(str(error)) from None
        return kind(Address(conn.host, conn.port, conn.login, conn.password, options))

    get_conn = server

    def probe(self) -> str:
        """Have the server answer."""
        return self.server().probe()
