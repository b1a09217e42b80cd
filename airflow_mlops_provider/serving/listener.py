"""How the server listens: its socket, and Uvicorn with limits on idle connections and on headers, which it lacks.

From the end of a request's headers on, the application counts the time that the body takes.
"""

from __future__ import annotations

import socket
from asyncio import TimerHandle
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0
MAX_HEADERS = 64 * 1024


class HeaderTimeoutProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, with a timeout for a request's headers, and a limit on their size."""

    seconds = HEADER_SECONDS
    _timer: TimerHandle | None = None
    _size = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on; with the end of the headers the wait is over."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_timer()
        elif cycle is not None and cycle.more_body:  # the rest of a body that nobody reads any more
            self._start_timer()
        else:
            self._size += len(data)
            self._start_timer()
            if self._size > MAX_HEADERS:
                self._close_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._timer = self._timer or self.loop.call_later(self.seconds, self._close_idle)

    def _stop_timer(self) -> None:
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_idle(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def uvicorn_config(app: Any, host: str, port: int) -> uvicorn.Config:
    """Return Uvicorn's configuration: bounded connections, and a log without a line for each caller's mistake."""
    return uvicorn.Config(
        app, host=host, port=port, http=HeaderTimeoutProtocol, ws="none", access_log=False, log_level="error",
        timeout_graceful_shutdown=10,
    )  # fmt: skip


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a socket, bound and not yet listening. :raises OSError: if the address is not available.

    A server that takes over may bind the same address before the one before it has ended.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)
    return bound
