"""Answers large calls: the body is received to a file, and its rows are predicted and answered piece by piece.

Received to its end first: most clients read no answer while they send. Other callers' calls are answered between two
pieces; memory holds one piece of a call, and of its answer what is about to leave.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import IO

from fastapi import HTTPException, Request, Response
from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.serving.access.callers import Caller, Callers, Right
from airflow_mlops_provider.serving.listener import is_gone
from airflow_mlops_provider.serving.protocols.arrow import ARROW
from airflow_mlops_provider.serving.protocols.deadlines import deadline
from airflow_mlops_provider.serving.request_queue import MAX_BODY, Answer, Call, RequestQueue
from airflow_mlops_provider.serving.request_schema import RequestError
from airflow_mlops_provider.serving.responses import error_text
from airflow_mlops_provider.serving.streams.pieces import LINES, Kind, Piece

#: How many large calls are answered at once, what one may have, and how long a piece lets others' calls go before.
#: Together they take half of what a pod has for temporary files: one that has more is evicted.
MAX_STREAMS, MAX_BYTES, PATIENCE = 4, 128 * 1024**2, 60.0
_PAUSE, _CHUNK = 0.1, 1024 * 1024
log = logging.getLogger(__name__)


def kind_of(request: Request) -> Kind:
    """Return how a call is written, and is to be answered, by its headers. :raises HTTPException: if by neither."""
    given, accept = (request.headers.get(name, "").strip().lower() for name in ("content-type", "accept"))
    own = next((kind for kind in (ARROW, LINES) if given.startswith(kind)), None)
    if own is None:
        raise HTTPException(415, f"send {ARROW} or {LINES}, not {given[:60]!r}")
    return Kind(own, next((kind for kind in (ARROW, LINES) if kind in accept), own))


class Streams:
    """Answers large calls.

    :param allowed: returns a request's caller, who has a right.
    :param refused: returns the answer to a call that can't be predicted, by its id.
    :param counted: is told status and seconds of each piece.
    :param seconds: how long as much of a body may take as an ordinary call may have; and a part of an answer to leave.
    """

    def __init__(
        self,
        queue: RequestQueue,
        callers: Callers,
        allowed: Callable[[Request, Callers, Right], Caller],
        refused: Callable[[Exception, str], Response],
        counted: Callable[[int, float], None],
        seconds: float,
    ) -> None:
        self._queue, self._callers, self._allowed = queue, callers, allowed
        self.refused, self.counted = refused, counted
        self._seconds, self._free = seconds, MAX_STREAMS

    def caller(self, request: Request) -> Caller:
        """Return who calls. :raises HTTPException: if nobody who may predict."""
        return self._allowed(request, self._callers, Right.PREDICT)

    def answer(self, request: Request, request_id: str) -> Response:
        """Return the answer to a call, of which no more than its headers is read yet."""
        return _Streamed(partial(self._send, request, request_id))

    async def _send(self, request: Request, request_id: str, send: Send) -> None:
        begun, started = time.perf_counter(), asyncio.Event()
        try:
            caller = self.caller(request)
            kind, until = kind_of(request), deadline(request.headers)
            call = Call(b"", request_id, caller.name, kind, until, partial(is_gone, request.receive))
            async with self.place():
                with tempfile.TemporaryFile() as file:
                    await self.receive(request, file)
                    async with aclosing(self.answers(kind.pieces(file), call, kind)) as answers:
                        await self._send_all(answers, call, kind, send, started)
        except Exception as error:  # noqa: BLE001  # it is told the caller, as far as that can be
            response = self.refused(error, request_id)
            self.counted(response.status_code, time.perf_counter() - begun)
            if not started.is_set():
                await response(request.scope, request.receive, send)
            elif not isinstance(error, ClientDisconnect):
                log.warning("the answer to %s ends half way: %s", request_id, error_text(error))
                with suppress(ClientDisconnect):
                    await self._part(send, kind.broken(error_text(error)))

    async def _send_all(
        self, answers: AsyncIterator[Answer], call: Call, kind: Kind, send: Send, started: asyncio.Event
    ) -> None:
        """Send an answer. One that breaks ends without what says that it is whole."""
        first = await anext(answers)
        headers = {"x-request-id": call.request_id, **kind.headers(first)}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        started.set()
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await self._part(send, first)
        async for answer in answers:
            await self._part(send, answer)
        await self._part(send, kind.end, more=False)

    async def _part(self, send: Send, body: bytes, *, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self._seconds):  # a caller who reads nothing must not keep others' place
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            raise ClientDisconnect from None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Give one of few places. :raises HTTPException: if none is free (429)."""
        if not self._free:
            raise HTTPException(429, f"{MAX_STREAMS} large calls are answered already; call again later")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def receive(self, request: Request, file: IO[bytes], check: Callable[[], None] = lambda: None) -> None:
        """Write a body into a file. :param check: raises what ends that.

        :raises HTTPException: if it is too large (413), or too slow (408).
        """
        size, parts, held, began = 0, list[bytes](), 0, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._seconds) as limit:
                async for part in request.stream():
                    size, held = size + len(part), held + len(part)
                    parts.append(part)
                    if size > MAX_BYTES:
                        raise HTTPException(413, f"a body may have {MAX_BYTES:,} bytes; send the rows in several calls")
                    limit.reschedule(began + self._seconds * (1 + size / MAX_BODY))
                    if held > _CHUNK:
                        await written(file, parts, check)
                        parts, held = [], 0
        except TimeoutError:
            raise HTTPException(408, f"{MAX_BODY:,} bytes did not arrive within {self._seconds:g} s") from None
        await written(file, parts, check)

    async def answers(self, pieces: Iterator[Piece], call: Call, kind: Kind) -> AsyncGenerator[Answer]:
        """Return the answers to a call's pieces, each of which is a call of its own."""
        number = 0
        async for piece in iterate_in_threadpool(pieces):
            form = kind if number == 0 else kind.further
            own = call._replace(body=piece.body, request_id=f"{call.request_id}.{number}", form=form)
            try:
                yield await self._answered(own)
            except RequestError as error:
                raise RequestError(f"of rows {piece.first} to {piece.first + piece.rows - 1}: {error}") from None
            number += 1

    async def _answered(self, call: Call) -> Answer:
        until = time.monotonic() + PATIENCE
        while True:
            begun = time.perf_counter()
            try:
                answer = await self._queue.answer(call)
            except HTTPException as error:
                if error.status_code != 429 or time.monotonic() > until:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                self.counted(200, time.perf_counter() - begun)
                return answer


class _Streamed(Response):
    """A response that sends itself."""

    def __init__(self, run: Callable[[Send], Awaitable[None]]) -> None:
        super().__init__()
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as ASGI has it
        await self._run(send)


async def written(file: IO[bytes], parts: list[bytes], check: Callable[[], None] = lambda: None) -> None:
    """Write to a file that is read again. :raises BackendError: where the disk is full."""

    def write() -> None:
        check()
        file.write(b"".join(parts))
        file.flush()

    try:
        await run_in_threadpool(write)
    except OSError as error:
        raise BackendError(f"the call can't be kept: {error.strerror}") from error
