"""``python -m benchmarks.serving.load``: a client of its own process, over kept connections, on one epoll.

Reads from standard input, as JSON: ``port``, ``path``, ``bodies`` (texts), ``clients`` and ``seconds``. Writes how many
calls a second there were, and quantiles of their seconds. A connection sends its next call when it has its answer.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
WARM = 0.5  # seconds before it counts


class Connection:
    """A connection with one call under way."""

    def __init__(self, port: int, calls: list[bytes], at: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._calls, self._at, self._held = calls, at, b""
        self.began, self.status = 0.0, 0

    def send(self) -> None:
        """Send the next call."""
        self._at, self._held, self.began = self._at + 1, b"", time.perf_counter()
        self.socket.sendall(self._calls[self._at % len(self._calls)])

    @property
    def unanswered(self) -> bool:
        """Whether nothing has come of an answer."""
        return not self._held

    def receive(self) -> bool:
        """Take in what has come. :return: whether that is the answer's end."""
        got = self.socket.recv(1 << 18)
        if not got:
            raise ConnectionError("the server closed a connection")
        self._held += got
        head = self._held.find(b"\r\n\r\n")
        if head < 0:
            return False
        length = _LENGTH.search(self._held, 0, head)
        if length is None:
            raise SystemExit("an answer without content-length")
        if len(self._held) < head + 4 + int(length[1]):
            return False
        self.status = int(self._held[9:12])
        return True


def main() -> None:
    """Call for a while, and say how that went."""
    given = json.load(sys.stdin)
    calls = calls_of(given["path"], given["bodies"])
    made = [Connection(given["port"], calls, 37 * number) for number in range(given["clients"])]
    poll, by_file = select.epoll(), {connection.socket.fileno(): connection for connection in made}
    for file in by_file:
        poll.register(file, select.EPOLLIN)
    begin = time.perf_counter()
    for connection in made:
        connection.send()
    taken, begin = [], begin + WARM
    while (now := time.perf_counter()) < begin + given["seconds"]:
        for file, _ in poll.poll(1):
            connection = by_file[file]
            if connection.receive():
                if connection.status != 200:
                    raise SystemExit(f"the server answered {connection.status}")
                done = time.perf_counter()
                if done >= begin:
                    taken.append(done - connection.began)
                connection.send()
    taken.sort()
    said = {"rate": len(taken) / (now - begin), **{f"p{q}": taken[len(taken) * q // 100] for q in (50, 99)}}
    json.dump(said, sys.stdout)


def calls_of(path: str, bodies: list[str]) -> list[bytes]:
    """Return calls with some bodies, as they are sent."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    return [head.encode() + b"%d\r\n\r\n" % len(body) + body for body in map(str.encode, bodies)]


if __name__ == "__main__":
    main()
