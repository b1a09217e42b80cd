"""What a call may take before it is answered: bytes, seconds, and other callers' memory; and one answer at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request

MAX_BODY = 16 * 1024 * 1024
MAX_WAITING = 256 * 1024 * 1024
BODY_SECONDS = 30.0
MAX_TOGETHER = 256 * 1024
Call = tuple[bytes, str]
JobContext = Callable[[Sequence[Call]], Sequence[dict[str, Any] | Exception]]


class RefusalError(Exception):
    """A call that is not let in.

    :param status: the HTTP status that says so.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Intake:
    """Reads bodies, and has them answered by one thread: two would only wait for each other's interpreter.

    What arrives while that thread works is answered together when it is done: alone a call never waits for company.

    :param work: answers some calls, each a body and its request's id, with what to say or an exception, in their order.
    :param waiting: bytes that all callers' bodies may have together.
    :param seconds: how long one body may take to arrive.
    """

    def __init__(self, work: JobContext, waiting: int = MAX_WAITING, seconds: float = BODY_SECONDS) -> None:
        self._work, self._room, self._seconds = work, waiting, seconds
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._calls: deque[tuple[Call, asyncio.Future[dict[str, Any]]]] = deque()
        self._answering: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many calls wait for the thread."""
        return len(self._calls)

    async def answer(self, body: bytes, request_id: str) -> dict[str, Any]:
        """Return the answer to a body, or raise what was answered instead."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls.append(((body, request_id), future))
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        while self._calls:
            taken = self._taken()
            calls = [call for call, _ in taken]
            try:
                answers = await asyncio.get_running_loop().run_in_executor(self._worker, self._work, calls)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                answers = [error] * len(taken)
            for (_, future), answer in zip(taken, answers, strict=True):
                if future.done():  # its caller went away
                    continue
                future.set_exception(answer) if isinstance(answer, Exception) else future.set_result(answer)

    def _taken(self) -> list[tuple[Call, asyncio.Future[dict[str, Any]]]]:
        """Take the calls that are answered next: the first, and those behind it that are small enough together."""
        taken = [self._calls.popleft()]
        size = len(taken[0][0][0])
        while self._calls and size + len(self._calls[0][0][0]) <= MAX_TOGETHER:
            taken.append(self._calls.popleft())
            size += len(taken[-1][0][0])
        return taken

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Give a request's body; its bytes count as waiting until this is left.

        :raises RefusalError: if it is too large (413) or too slow (408), or others wait with too much (503).
        """
        parts: list[bytes] = []
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._read(request, parts)
            except TimeoutError:
                raise RefusalError(408, f"the body did not arrive within {self._seconds:g} s") from None
            yield b"".join(parts)
        finally:
            self._room += sum(map(len, parts))

    async def _read(self, request: Request, parts: list[bytes]) -> None:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > 2 * MAX_BODY:
                break
            if size <= MAX_BODY:  # what is too large is read on for a while: a caller who still sends hears no answer
                parts.append(part)
                self._room -= len(part)
                if self._room < 0:
                    raise RefusalError(503, "too many calls wait for an answer; call again in a moment")
        if size > MAX_BODY:
            raise RefusalError(413, f"a body may have {MAX_BODY:,} bytes; send the rows in several calls")

    def close(self) -> None:
        """End the thread once it has answered what waits."""
        self._worker.shutdown()
