"""Answers large calls in the background: the body is taken, and the answer is fetched later (RFC 7240).

One at a time for each worker, through the queue of all others, as a stream's pieces go. All of a call is answered by
the release that is live when it begins.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import IO

from fastapi import HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from airflow_mlops_provider.serving.listener import ENDING
from airflow_mlops_provider.serving.protocols.deadlines import deadline
from airflow_mlops_provider.serving.request_queue import Call, late
from airflow_mlops_provider.serving.responses import AS_JSON, JSON, Live
from airflow_mlops_provider.serving.streams.answering import Streams, kind_of, written
from airflow_mlops_provider.serving.streams.kept import (
    BODY,
    MAX_BYTES,
    MAX_TAKEN,
    RESULT,
    UNFINISHED,
    KeptCall,
    KeptCalls,
)
from airflow_mlops_provider.serving.streams.pieces import Kind, Piece

#: Seconds between two looks at what has expired, and after which others see how far a call is.
LOOK_SECONDS, PROGRESS_SECONDS = 30.0, 1.0
_PREFERENCE, _AGAIN = "respond-async", {"retry-after": "1"}
log = logging.getLogger(__name__)


def is_preferred(request: Request) -> bool:
    """Say whether a caller would rather fetch the answer later."""
    given = ",".join(request.headers.getlist("prefer")).split(",")
    return any(part.partition(";")[0].partition("=")[0].strip().lower() == _PREFERENCE for part in given)


class Background:
    """Answers calls in the background.

    :param live: returns the release that is live now.
    :param counted: is told how many calls wait, and how many are being answered.
    """

    def __init__(
        self, streams: Streams, kept: KeptCalls, live: Callable[[], Live | None], counted: Callable[[int, int], None]
    ) -> None:
        self._streams, self._kept, self._live, self._counted = streams, kept, live, counted
        self._waiting: asyncio.Queue[KeptCall] = asyncio.Queue()
        self._running = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer calls until this is left, and no further piece from then on."""
        with self._kept.opened():
            task = asyncio.create_task(self._run_all())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def take(self, request: Request, request_id: str) -> Response:
        """Take a call, and return where its answer will be."""
        begun, streams = time.perf_counter(), self._streams
        try:
            kept = await self._taken(request, request_id)
        except Exception as error:  # noqa: BLE001  # it is told the caller
            response = streams.refused(error, request_id)
        else:
            headers = {"location": f"/predictions/{kept.id}", "preference-applied": _PREFERENCE, **_AGAIN}
            response = Response(kept.public(), 202, {"x-request-id": request_id, "content-type": JSON, **headers})
        streams.counted(response.status_code, time.perf_counter() - begun)
        return response

    def find(self, request: Request, call_id: str) -> KeptCall:
        """Return a call of whoever asks for it. :raises HTTPException: if there is none."""
        return self._kept.find(call_id, self._streams.caller(request).name)

    def result(self, request: Request, call_id: str) -> Response:
        """Return the answer to a call, or its refusal. :raises HTTPException: if there is neither yet."""
        kept = self.find(request, call_id)
        headers = {"x-request-id": kept.request_id}
        if kept.status is not None:
            return Response(AS_JSON.refusal(kept.status, kept.detail or ""), kept.status, headers, JSON)
        if kept.is_open:
            raise HTTPException(409, f"the call is {kept.state}; ask again until it is done", headers=_AGAIN)
        return FileResponse(self._kept.path(kept, RESULT), headers=headers, media_type=kept.wanted)

    def remove(self, request: Request, call_id: str) -> None:
        """Remove a call, whatever its state."""
        self._kept.remove(self.find(request, call_id))

    async def _taken(self, request: Request, request_id: str) -> KeptCall:
        caller, kind, until = self._streams.caller(request), kind_of(request), deadline(request.headers)
        if request.scope.get("state", {}).get(ENDING):
            raise HTTPException(503, "the server is about to end; send the call again")
        async with self._streams.place():
            kept = await run_in_threadpool(self._kept.add, caller.name, request_id, kind.given, kind.wanted)

            def check() -> None:
                self._kept.check_room(MAX_TAKEN)
                if until < time.monotonic():
                    raise late()

            try:
                with self._kept.path(kept, BODY).open("xb") as file:
                    await self._streams.receive(request, file, check)
            except BaseException:
                self._kept.remove(kept)
                raise
        self._waiting.put_nowait(kept)
        self._counted(self._waiting.qsize(), self._running)
        return kept

    async def _run_all(self) -> None:
        while True:
            self._running = 0
            self._counted(self._waiting.qsize(), 0)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    kept = await self._waiting.get()
            except TimeoutError:
                with suppress(OSError):  # it is tried again
                    await run_in_threadpool(self._kept.sweep)
                continue
            self._running = 1
            self._counted(self._waiting.qsize(), 1)
            await self._run(kept)

    async def _run(self, kept: KeptCall) -> None:
        begun = time.perf_counter()
        try:
            await self._answer(kept, Kind(kept.given, kept.wanted))
            kept.succeed()
        except Exception as error:  # noqa: BLE001  # it is told the caller
            if not self._kept.path(kept, BODY).exists():
                return  # it was deleted
            response = self._streams.refused(error, kept.request_id)
            kept.fail(response.status_code, json.loads(bytes(response.body))["detail"], datetime.now(UTC))
            self._streams.counted(response.status_code, time.perf_counter() - begun)
        try:
            await run_in_threadpool(self._kept.end, kept)
        except OSError as error:  # it was deleted just now; or what became of it can't be said
            log.warning("call %s is not kept: %s", kept.request_id, error)
            self._kept.remove(kept)

    async def _answer(self, kept: KeptCall, kind: Kind) -> None:
        path, live = partial(self._kept.path, kept), self._live()
        call = Call(b"", kept.request_id, kept.caller, kind, gone=lambda: not path(BODY).exists(), live=live)
        kept.state, kept.version = "running", live.release.version if live else None
        with path(BODY).open("rb") as body, path(UNFINISHED).open("xb") as file:
            await run_in_threadpool(self._kept.write, kept)
            async with aclosing(self._streams.answers(self._pieces(kept, kind, body), call, kind)) as answers:
                async for answer in answers:
                    await written(file, [answer])
            await written(file, [kind.end], partial(self._kept.check_room, MAX_BYTES))
        path(UNFINISHED).rename(path(RESULT))

    def _pieces(self, kept: KeptCall, kind: Kind, body: IO[bytes]) -> Iterator[Piece]:
        seen = time.monotonic()
        for piece in kind.pieces(body):
            yield piece
            kept.rows_done += piece.rows  # its answer is written, since the next is wanted
            if time.monotonic() - seen > PROGRESS_SECONDS:
                seen = time.monotonic()
                self._kept.write(kept)
                self._kept.check_room(MAX_BYTES)
