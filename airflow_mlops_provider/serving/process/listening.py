"""The socket at which a server listens: one that takes over may bind the same address before the other has ended."""

from __future__ import annotations

import socket


def bound(host: str, port: int) -> socket.socket:
    """Return a socket at an address, bound and not yet listening. :raises OSError: if the address is not to be had."""
    kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    one = socket.socket(kind[0], socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(kind[4])
    return one
