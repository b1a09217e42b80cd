"""A DynamoDB that is short of capacity: it lets through to moto's what it can, and says so in the real protocol."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx

from tests.factories.http_host import HttpHost

_UNDONE = {"BatchGetItem": "UnprocessedKeys", "BatchWriteItem": "UnprocessedItems"}
_REFUSED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "The level of configured provisioned throughput for the table was exceeded, x-amz-security-token:sesame",
}


class ScarceDynamoDB(HttpHost):
    """Listens inside a ``with``.

    :param behind: moto's address.
    :ivar most: how many items it does of a request for many; None for all of them. With 0 it refuses, as the real one.
    :ivar requests: operations and what was requested of them.
    """

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self.most: int | None = None
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def of(self, operation: str) -> list[dict[str, Any]]:
        """Return what was requested by table, for each request of an operation."""
        return [requested["RequestItems"] for name, requested in self.requests if name == operation]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        requested = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        operation = handler.headers["X-Amz-Target"].partition(".")[2]
        self.requests.append((operation, requested))
        undone: dict[str, Any] = {}
        if operation in _UNDONE and self.most is not None:
            if self.most == 0:
                _send(handler, 400, _REFUSED)
                return
            done, undone = _parted(requested["RequestItems"], self.most)
            requested = {**requested, "RequestItems": done}
        headers = {name: handler.headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization")}
        answer = httpx.post(self._behind, content=json.dumps(requested), headers=headers, timeout=60)
        left = {_UNDONE[operation]: undone} if undone else {}
        _send(handler, answer.status_code, answer.json() | left)


def _parted(by_table: dict[str, Any], most: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the first of what is requested of each table, and what is left."""
    items = [(table, item) for table, named in by_table.items() for item in _listed(named)]
    both: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for place, (table, item) in enumerate(items):
        part = both[place >= most]
        if table not in part:
            named = by_table[table]
            part[table] = {**named, "Keys": []} if isinstance(named, dict) else []
        _listed(part[table]).append(item)
    return both


def _listed(named: Any) -> list[Any]:
    return named["Keys"] if isinstance(named, dict) else named


def _send(handler: BaseHTTPRequestHandler, status: int, answer: Any) -> None:
    body = json.dumps(answer).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/x-amz-json-1.0")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
