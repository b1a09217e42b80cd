"""How the server listens: its socket, Uvicorn with limits on idle connections and on headers, and how one takes over.

From the end of a request's headers on, the application counts the time that the body takes. Servers that take over from
each other share an address, and so that no call is lost in between: the new one has all further connections led to it,
the old one takes in what still waits at its own socket, and closes no connection before a moment without a request.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import ssl
import struct
from asyncio import TimerHandle
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0
MAX_HEADERS = 64 * 1024
#: How long an ending server still takes in what waits, and leaves a connection without a request open.
LAST_SECONDS = 0.5
#: Tenths of a second between two looks at the certificate.
RENEWAL_TICKS = 100
#: How many connections may wait to be taken in, and how long one who has some leaves the next to others: for each of
#: them, and at most.
BACKLOG, EACH_SECONDS, MOST_SECONDS = 2048, 0.0003, 0.001
#: What is set in the ``state`` of requests that come while the server ends.
ENDING = "ending"
_ATTACH_REUSEPORT_CBPF = 51  # of Linux's asm-generic/socket.h; Python has no name for it
_RETURN_CONSTANT = 0x06  # BPF_RET | BPF_K
log = logging.getLogger(__name__)


class HeaderTimeoutProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, with a timeout for a request's headers, and a limit on their size."""

    seconds = HEADER_SECONDS
    _timer: TimerHandle | None = None
    _size = 0
    _ending = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on; with the end of the headers the wait is over."""
        super().data_received(data)
        cycle = self.cycle
        if self._ending and cycle is not None:
            cycle.keep_alive = False
        if cycle is not None and not cycle.response_complete:
            self._stop_timer()
        elif cycle is not None and cycle.more_body:  # the rest of a body that nobody reads any more
            self._start_timer()
        else:
            self._size += len(data)
            self._start_timer()
            if self._size > MAX_HEADERS:
                self._close_idle()

    def shutdown(self) -> None:
        """End the connection with the next response that can say so: closed without, it would be reset under a call."""
        if self.cycle is None or self.cycle.response_started:
            self._ending = True
            self.loop.call_later(LAST_SECONDS, self._close_idle)
        else:
            super().shutdown()

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


class Accepting:
    """Takes in connections at a socket that others listen at, too: who has many leaves them the next for a moment.

    Whoever is first to see that some wait would take them all, and callers keep theirs.

    :param connect: makes a connection of an accepted socket.
    :param held: returns how many connections there are.
    """

    def __init__(
        self, listening: socket.socket, connect: Callable[[socket.socket], Awaitable[Any]], held: Callable[[], int]
    ) -> None:
        self._listening, self._connect, self._held = listening, connect, held
        self._connecting: set[asyncio.Task[None]] = set()
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._task = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listening)
            except OSError as error:  # no file is left for it, or its caller has gone
                log.warning("a connection can't be taken in: %s", error)
                await asyncio.sleep(1)
                continue
            self._connecting.add(task := asyncio.create_task(self._connected(accepted)))
            task.add_done_callback(self._connecting.discard)
            await asyncio.sleep(min(self._held() * EACH_SECONDS, MOST_SECONDS))

    async def _connected(self, accepted: socket.socket) -> None:
        try:
            await self._connect(accepted)
        except OSError as error:  # it spoke no TLS, or has gone
            log.debug("a connection was not made: %s", error)

    async def end(self) -> None:
        """Take in no more."""
        self._task.cancel()
        await asyncio.wait([self._task])


def is_gone(receive: Any) -> bool:
    """Say whether the caller of a request went away, by what its body is received with.

    By ASGI one would wait for a message that says so: a task for each call, where this reads one field.
    """
    return bool(getattr(getattr(receive, "__self__", None), "disconnected", False))


class Server(uvicorn.Server):
    """Uvicorn's server, which takes over an address from another, and leaves it to the next, without losing a call.

    :param shared: other workers listen at the same socket.
    """

    _certificate = 0.0

    def __init__(self, config: uvicorn.Config, *, shared: bool = False) -> None:
        super().__init__(config)
        self._shared, self._accepting = shared, list[Accepting]()

    async def on_tick(self, counter: int) -> bool:
        """Do what Uvicorn does ten times a second; now and then take a renewed certificate, for new connections."""
        if self.config.ssl is not None and counter % RENEWAL_TICKS == 0:
            try:
                self._renew(self.config.ssl)
            except OSError as error:  # a key of another certificate is one, too: halfway replaced
                log.warning("the certificate stays as it was: %s", error)
        return await super().on_tick(counter)

    def _renew(self, context: ssl.SSLContext) -> None:
        files = [Path(file) for file in (self.config.ssl_certfile, self.config.ssl_keyfile) if file]
        written = max(file.stat().st_mtime for file in files)
        if self._certificate not in {0.0, written}:
            context.load_cert_chain(files[0], self.config.ssl_keyfile)
            log.info("%s is a renewed certificate", files[0])
        self._certificate = written

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; where another server does so at the same address, have all further connections come here."""
        await super().startup([] if self._shared else sockets)
        if self._shared:
            held = self.server_state.connections.__len__
            self._accepting = [Accepting(listening, self._connect, held) for listening in sockets or ()]
        for listening in sockets or ():
            lead_here(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in the connections that wait at the socket, which would be reset with it; then end."""
        self.lifespan.state[ENDING] = True
        await asyncio.sleep(LAST_SECONDS)
        for accepting in self._accepting:
            await accepting.end()
        await super().shutdown(sockets)

    async def _connect(self, accepted: socket.socket) -> None:
        protocol: Any = self.config.http_protocol_class
        made = partial(protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        await asyncio.get_running_loop().connect_accepted_socket(made, accepted, ssl=self.config.ssl)


def lead_here(listening: socket.socket) -> None:
    """Lead all new connections to the last of the sockets that listen at an address, which is this one.

    The kernel spreads them over the sockets otherwise. The program says which one takes a connection, by its place in
    the order in which they began to listen; one that names none that is there, as when the others have ended, is passed
    over (``socket(7)``, ``SO_ATTACH_REUSEPORT_CBPF``).
    """
    address = listening.getsockname()[:2]
    try:
        listeners = [known for known in psutil.net_connections("tcp") if known.status == psutil.CONN_LISTEN]
        place = sum(known.laddr[:2] == address for known in listeners) - 1
        if place > 0:
            program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN_CONSTANT, 0, 0, place))
            filled = struct.pack("HL", 1, ctypes.addressof(program))
            listening.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, filled)
    except (OSError, psutil.Error) as error:  # a hardened container: the server starts all the same
        log.warning("calls may be reset while another server ends: new ones can't be led here: %s", error)


def uvicorn_config(
    app: Any, host: str, port: int, certificate: Path | None = None, key: Path | None = None
) -> uvicorn.Config:
    """Return Uvicorn's configuration: bounded connections, and a log without a line for each caller's mistake.

    :param certificate, key: files in PEM, for TLS; a certificate's file may hold the key as well.
    """
    return uvicorn.Config(
        app, host=host, port=port, http=HeaderTimeoutProtocol, ws="none", proxy_headers=False,
        access_log=False, log_level="error",
        timeout_graceful_shutdown=10, ssl_certfile=certificate, ssl_keyfile=key,
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
