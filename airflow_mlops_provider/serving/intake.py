"""What a call may take before it is answered: bytes, seconds, and other callers' memory; and one answer at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request

MAX_BODY = 16 * 1024 * 1024
MAX_WAITING = 256 * 1024 * 1024
BODY_SECONDS = 30.0
Work = Callable[[bytes, str], dict[str, Any]]


class RefusalError(Exception):
    """A call that is not let in.

    :param status: the HTTP status that says so.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Intake:
    """Reads bodies, and has them answered by one thread: two would only wait for each other's interpreter.

    :param waiting: bytes that all callers' bodies may have together.
    :param seconds: how long one body may take to arrive.
    """

    def __init__(self, waiting: int = MAX_WAITING, seconds: float = BODY_SECONDS) -> None:
        self._room, self._seconds = waiting, seconds
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="predict")

    async def answer(
        self, work: Callable[[bytes, str], dict[str, Any]], body: bytes, request_id: str
    ) -> dict[str, Any]:
        """Return what the work says of a body."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, body, request_id)

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
