"""How long a connection may say nothing, and how much it may say without a request: Uvicorn itself would wait for ever.

From the end of a request's headers on, the application counts the time that the body takes.
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0
MAX_HEADERS = 64 * 1024


class PatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, with an end to the wait for a request's headers, and to their size."""

    seconds = HEADER_SECONDS
    _timer: TimerHandle | None = None
    _size = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came; with the end of the headers the wait is over."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._rest()
        elif cycle is not None and cycle.more_body:  # the rest of a body that nobody reads any more
            self._wait()
        else:
            self._size += len(data)
            self._wait()
            if self._size > MAX_HEADERS:
                self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the wait."""
        self._rest()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self._timer or self.loop.call_later(self.seconds, self._end)

    def _rest(self) -> None:
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def config(app: Any, host: str, port: int) -> uvicorn.Config:
    """Return what Uvicorn is told: bounded connections, and a log without a line for each caller's mistake."""
    return uvicorn.Config(
        app, host=host, port=port, http=PatientProtocol, ws="none", access_log=False, log_level="error",
        timeout_graceful_shutdown=10,
    )  # fmt: skip
