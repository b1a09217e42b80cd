"""The HTTP side of the Kubernetes API double: paths, queries, chunks, watches, logs, and its faults."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from tests.factories.kube.node import Life
    from tests.factories.kube.world import KubeWorld

APPLY = "application/apply-patch+yaml"
TOKEN = "the-token-of-the-test"
Line = tuple[datetime, str]


class Refusal(Exception):  # noqa: N818 - an answer of the API, not an error of the double
    """An answer other than 200, as the API's Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }


class _Server(ThreadingHTTPServer):
    """Serves until stopped; then every open connection is cut, as when the machine goes."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, world: KubeWorld, port: int) -> None:
        self.world, self.stopped = world, threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        self.port: int = self.server_address[1]  # type: ignore[assignment]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def stop(self) -> None:
        """Answer nobody any more."""
        self.stopped.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


def serve(world: KubeWorld, port: int = 0) -> _Server:
    """Start the API server; port 0 lets the system choose one."""
    return _Server(world, port)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(lambda path, query, body: self._json(201, self.server.world.create(body)))

    def do_DELETE(self) -> None:
        self._answer(
            lambda path, query, body: self._json(200, self.server.world.delete(path[-1], {**_ints(query), **body}))
        )

    def do_PATCH(self) -> None:
        kind, world = self.headers.get("Content-Type"), self.server.world
        if kind == APPLY:
            self._answer(lambda path, query, body: self._json(200, world.objects.apply(path, query, body)))
        else:
            self._answer(lambda path, query, body: self._json(200, world.patch(path[-1], body)))

    def _answer(self, how: Callable[[list[str], dict[str, str], dict[str, Any]], None]) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = f"{self.command} {self.path}"
        self.server.world.requests.append(asked)
        try:
            if self._fault(asked):
                return
            self._check_token()
            path = url.path.strip("/").split("/")
            self.server.world.objects.check_rights(self.command, path)
            how(path, dict(parse_qsl(url.query)), json.loads(raw or b"{}"))
        except Refusal as refusal:
            self._json(refusal.code, refusal.body)

    def _check_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "Unauthorized", "Unauthorized")

    def _fault(self, asked: str) -> bool:
        fault = next((one for one in self.server.world.faults if one.times > 0 and one.on in asked), None)
        if fault is None:
            return False
        fault.times -= 1
        if fault.reply == "hang":
            self.server.stopped.wait(600)
        elif fault.reply == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            code = int(fault.reply)
            raise Refusal(code, {429: "TooManyRequests"}.get(code, "InternalError"), f"asked to fail with {code}")
        self.close_connection = True
        self.connection.close()
        return True

    def _get(self, path: list[str], query: dict[str, str], _: dict[str, Any]) -> None:
        match path:
            case ["version"]:
                self._json(200, {"major": "1", "minor": "31", "gitVersion": "v1.31.0"})
            case ["apis", "apps", "v1", *_, "deployments", name]:
                self._json(200, self.server.world.objects.find("Deployment", name))
            case ["api", "v1", *_, "pods", name, "log"]:
                life = self.server.world.find(name)
                self._stream(log_of(life, query, self.server.stopped.is_set), "text/plain")
            case ["api", "v1", *_, "pods", name] | ["api", "v1", *_, "pods", name, "status"]:
                self._json(200, self.server.world.find(name).pod)
            case ["api", "v1", *_, "pods" | "events" as kind]:
                self._list("Pod" if kind == "pods" else "Event", query)
            case _:
                raise Refusal(404, "NotFound", "the server could not find the requested resource")

    def _list(self, kind: str, query: dict[str, str]) -> None:
        world = self.server.world
        if query.get("watch") in {"true", "True", "1"}:
            watched = world.watch(kind, query, self.server.stopped.is_set)
            self._stream((json.dumps(one).encode() + b"\n" for one in watched), "application/json")
            return
        with world.changed:
            items, version = world.select(kind, query), str(world.history[-1][0] if world.history else 0)
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or 0) or len(items)
        meta = {"resourceVersion": version}
        if start + limit < len(items):
            meta["continue"] = str(start + limit)
        self._json(
            200, {"kind": f"{kind}List", "apiVersion": "v1", "metadata": meta, "items": items[start : start + limit]}
        )

    def _json(self, code: int, body: dict[str, Any]) -> None:
        with self.server.world.changed:
            data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, chunks: Iterable[bytes], kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.flush()
        if self.server.stopped.is_set():
            self.close_connection = True  # cut off in the middle, as a server that goes does
            return
        self.wfile.write(b"0\r\n\r\n")


def log_of(life: Life, query: dict[str, str], stopped: Callable[[], bool]) -> Iterable[bytes]:
    """Return a container's log in chunks, as the query's parameters cut it."""
    if life.state_of(query.get("container")) == "waiting" and query.get("previous") not in {"true", "True"}:
        where = f'container "{query.get("container")}" in pod "{life.name}"'
        raise Refusal(400, "BadRequest", f"{where} is waiting to start: ContainerCreating")
    return (
        _follow(life, query, stopped) if query.get("follow") in {"true", "True"} else _lines(_cut(life, query), query)
    )


def _cut(life: Life, query: dict[str, str]) -> list[Line]:
    since = datetime.min.replace(tzinfo=UTC)
    if query.get("sinceSeconds"):
        since = datetime.now(UTC) - timedelta(seconds=float(query["sinceSeconds"]))
    elif query.get("sinceTime"):
        since = datetime.fromisoformat(query["sinceTime"])
    lines = [line for line in life.log if line[0] >= since]
    return lines[-int(query["tailLines"]) :] if query.get("tailLines") else lines


def _lines(lines: list[Line], query: dict[str, str]) -> Iterable[bytes]:
    with_time = query.get("timestamps") in {"true", "True"}
    text = "".join(f"{at:%Y-%m-%dT%H:%M:%S.%fZ} {line}\n" if with_time else f"{line}\n" for at, line in lines)
    data = text.encode()[: int(query["limitBytes"]) if query.get("limitBytes") else None]
    return [data] if data else []


def _follow(life: Life, query: dict[str, str], stopped: Callable[[], bool]) -> Iterable[bytes]:
    given = len(life.log) - len(_cut(life, query))
    while not stopped():
        ended = life.ended.is_set()
        lines = life.log[given:]
        given += len(lines)
        yield from _lines(lines, query)
        if ended:
            return
        time.sleep(0.02)


def _ints(query: dict[str, str]) -> dict[str, Any]:
    return {key: int(value) for key, value in query.items() if key == "gracePeriodSeconds"}
