"""``python -m benchmarks.serving.pace``: callers who do not wait for each other: so many calls a second, come what may.

Reads from standard input, as JSON: ``port``, ``path``, ``bodies``, ``rate``, ``seconds`` and ``most``, the connections
that it may open. Writes what came of each second's calls: how many got which status (0: none), and quantiles of the
seconds that those answered 200 took since they were due.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections import Counter
from typing import Any

from benchmarks.serving.load import Connection, calls_of


class Callers:
    """Connections, as many as are needed at once."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._port, self._calls, self._most = given["port"], calls_of(given["path"], given["bodies"]), given["most"]
        self._rate, self._seconds, self._sent = given["rate"], given["seconds"], 0
        self._idle: list[Connection] = []
        self._by_file: dict[int, Connection] = {}
        self._poll = select.epoll()
        self.took: list[list[float]] = [[] for _ in range(int(self._seconds) + 1)]
        self.said: list[Counter[int]] = [Counter() for _ in self.took]

    def call(self) -> None:
        """Send calls when they are due, until the time is up."""
        self._begin = time.perf_counter()
        while (now := time.perf_counter() - self._begin) < self._seconds:
            while self._sent < now * self._rate and (connection := self._free()):
                connection.send()
                connection.began = self._begin + self._sent / self._rate
                self._sent += 1
            for file, _ in self._poll.poll(max(0.0005, self._sent / self._rate - now)):
                self._receive(file)

    def _free(self) -> Connection | None:
        if self._idle:
            return self._idle.pop()
        if len(self._by_file) >= self._most:
            return None
        connection = Connection(self._port, self._calls, 37 * len(self._by_file))
        self._by_file[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)
        return connection

    def _receive(self, file: int) -> None:
        connection, now = self._by_file[file], time.perf_counter()
        second = min(int(now - self._begin), len(self.said) - 1)
        try:
            if not connection.receive():
                return
        except OSError:
            self._poll.unregister(file)
            del self._by_file[file]
            if connection in self._idle:  # nothing was asked
                self._idle.remove(connection)
            elif connection.unanswered and (other := self._free()):  # closed for idleness just when it was asked
                other.send()
                other.began = connection.began
            else:
                self.said[second][0] += 1
            return
        self.said[second][connection.status] += 1
        if connection.status == 200:
            self.took[second].append(now - connection.began)
        self._idle.append(connection)


def main() -> None:
    """Call for a while, and say how that went."""
    callers = Callers(json.load(sys.stdin))
    callers.call()
    seconds = []
    for said, took in zip(callers.said, map(sorted, callers.took), strict=True):
        quantiles = {f"p{q}": took[len(took) * q // 100] if took else None for q in (50, 99)}
        seconds.append({"said": dict(said), **quantiles})
    json.dump(seconds[:-1], sys.stdout)


if __name__ == "__main__":
    main()
