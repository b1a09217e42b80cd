"""The queue of calls for one worker thread, and the limits on what a call may take: bytes, seconds, memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple

from fastapi import HTTPException, Request

MAX_BODY = 16 * 1024 * 1024
MAX_WAITING = 256 * 1024 * 1024
BODY_SECONDS = 30.0
MAX_BATCH = 256 * 1024
Answer = bytes  # a JSON object


class Call(NamedTuple):
    """A request's body, its id, and who sent it; nobody by name where everybody may."""

    body: bytes
    request_id: str
    caller: str = ""


class Later(NamedTuple):
    """An answer that another thread will give; what ``instead`` returns, if that takes longer than ``seconds``."""

    future: Future[Answer]
    seconds: float
    instead: Callable[[], Answer]


Work = Callable[[Sequence[Call]], Sequence[Answer | Later | Exception]]


class RequestQueue:
    """Reads bodies, and has them answered by one thread: two would only wait for each other's interpreter.

    Calls that arrive while that thread works are answered together when it is done; a lone call never waits for others.

    :param work: answers some calls, in their order, each with a JSON object or an exception.
    :param waiting: bytes that all callers' bodies may have together.
    :param seconds: how long one body may take to arrive.
    """

    def __init__(self, work: Work, waiting: int = MAX_WAITING, seconds: float = BODY_SECONDS) -> None:
        self._work, self._free, self._seconds = work, waiting, seconds
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._calls: deque[tuple[Call, asyncio.Future[Answer]]] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._awaited: set[asyncio.Task[None]] = set()

    async def answer(self, call: Call) -> Answer:
        """Return the answer to a call, or raise what the work returned instead."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls.append((call, future))
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        while self._calls:
            batch = self._next_batch()
            calls = [call for call, _ in batch]
            try:
                answers = await asyncio.get_running_loop().run_in_executor(self._worker, self._work, calls)
            except Exception as error:  # noqa: BLE001 - it is raised for each caller
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Later):
                    self._awaited.add(task := asyncio.create_task(_await(answer, future)))
                    task.add_done_callback(self._awaited.discard)
                elif future.done():  # its caller went away
                    continue
                else:
                    future.set_exception(answer) if isinstance(answer, Exception) else future.set_result(answer)

    def _next_batch(self) -> list[tuple[Call, asyncio.Future[Answer]]]:
        """Take the calls that are answered next: the first, and those behind it that are small enough together."""
        batch = [self._calls.popleft()]
        size = len(batch[0][0].body)
        while self._calls and size + len(self._calls[0][0].body) <= MAX_BATCH:
            batch.append(self._calls.popleft())
            size += len(batch[-1][0].body)
        return batch

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Give a request's body; its bytes count as waiting until this is left.

        :raises HTTPException: if it is too large (413) or too slow (408), or others wait with too much (503).
        """
        parts: list[bytes] = []
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._read(request, parts)
            except TimeoutError:
                raise HTTPException(408, f"the body did not arrive within {self._seconds:g} s") from None
            yield b"".join(parts)
        finally:
            self._free += sum(map(len, parts))

    async def _read(self, request: Request, parts: list[bytes]) -> None:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > 2 * MAX_BODY:
                break
            if size <= MAX_BODY:  # beyond it, read on for a while: a caller who still sends would not see the answer
                parts.append(part)
                self._free -= len(part)
                if self._free < 0:
                    raise HTTPException(503, "too many calls wait for an answer; call again in a moment")
        if size > MAX_BODY:
            raise HTTPException(413, f"a body may have {MAX_BODY:,} bytes; send the rows in several calls")

    def close(self) -> None:
        """End the thread once it has answered what waits."""
        self._worker.shutdown()


async def _await(later: Later, future: asyncio.Future[Answer]) -> None:
    done, _ = await asyncio.wait([asyncio.wrap_future(later.future)], timeout=later.seconds)
    # Whichever comes first: once it is cancelled, the other thread can't answer any more.
    answer = later.instead() if not done and later.future.cancel() else later.future.result()
    if not future.done():
        future.set_result(answer)
