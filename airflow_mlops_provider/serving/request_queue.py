"""The queue of calls for one worker thread, and the limits on what a call may take: bytes, seconds, memory."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from airflow_mlops_provider.serving import prediction_log
from airflow_mlops_provider.serving.responses import AS_JSON, Form, Live

MAX_BODY = 16 * 1024 * 1024
MAX_WAITING = 256 * 1024 * 1024
BODY_SECONDS = 30.0
MAX_BATCH = 256 * 1024  # bytes of calls that are answered together: some thousand rows
MAX_CALLS = 1_000
#: More calls than this wait only as long as that keeps none of them waiting for longer: at 80 % of what the server can,
#: what an overload leaves is answered in five times as long.
FEW_CALLS, WAIT_SECONDS = 64, 0.5
_NEWEST = 0.1  # what the last calls weigh in what one is expected to take
_TOO_MANY = "too many calls wait for an answer; call again in a moment"
Answer = bytes  # in its call's form


class Call(NamedTuple):
    """A request's body, its id, and who sent it; nobody by name where everybody may.

    :param form: how it is written, and is to be answered.
    :param deadline: by ``time.monotonic``, when its caller waits no longer.
    :param gone: says, in any thread, whether its caller went away.
    :param live: what answers, whichever version is live by then.
    """

    body: bytes
    request_id: str
    caller: str = ""
    form: Form = AS_JSON
    deadline: float = math.inf
    gone: Callable[[], bool] = lambda: False
    live: Live | None = None


_Waiting = tuple[Call, "asyncio.Future[Answer]", float]  # and since when, by time.monotonic


class Later(NamedTuple):
    """An answer that another thread will give; what ``instead`` returns, if that takes longer than ``seconds``."""

    future: Future[Answer]
    seconds: float
    instead: Callable[[], Answer]


Work = Callable[[Sequence[Call]], Sequence[Answer | Later | Exception]]
Settled = Callable[[Callable[[], None]], None]
Timed = Callable[[Sequence[float], str], None]


def together_or_alone(work: Work, calls: Sequence[Call]) -> list[Answer | Later | Exception]:
    """Answer some calls at once; if that fails, each by itself, or return why not: one bad call spoils no other."""
    try:
        return [*work(calls)]
    except Exception as error:  # noqa: BLE001 - it is returned to the caller
        return [error] if len(calls) == 1 else [together_or_alone(work, [call])[0] for call in calls]


class RequestQueue:
    """Reads bodies, and has them answered by one thread: two would only wait for each other's interpreter.

    Calls that arrive while that thread works are answered together when it is done; a lone call never waits for others.
    While the log of some is written, the next are answered already.

    :param work: answers some calls, in their order, each with a body or an exception.
    :param settled: calls a function once what was said until then is recorded: an answer leaves only then, or after
        :data:`~.prediction_log.SETTLE_SECONDS`: a disk that hangs must not end the predictions as well.
    :param waiting: bytes that all callers' bodies may have together.
    :param seconds: how long one body may take to arrive.
    :param most: how many calls may wait; one more is told to come again, beyond :data:`FEW_CALLS` earlier.
    :param timed: is told the seconds that calls waited for the thread (``wait``), and for the log (``log``).
    """

    def __init__(
        self,
        work: Work,
        settled: Settled,
        waiting: int = MAX_WAITING,
        seconds: float = BODY_SECONDS,
        most: int = MAX_CALLS,
        timed: Timed = lambda _seconds, _phase: None,
    ) -> None:
        self._work, self._settled, self._free, self._seconds, self._most = work, settled, waiting, seconds, most
        self._timed, self._each = timed, 0.0
        self._calls: deque[_Waiting] = deque()
        self._wake: SimpleQueue[bool] = SimpleQueue()  # True for calls that wait, False for the end
        self._woken = False
        self._settling: deque[_Answered] = deque()
        self._overdue: _Answered | None = None
        self._worker = Thread(target=self._answer_all, name="predict", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """How many calls wait for the thread."""
        return len(self._calls)

    async def answer(self, call: Call) -> Answer:
        """Return the answer to a call, or raise what the work returned instead.

        :raises HTTPException: if too many calls wait already, or for too long (429); if its deadline is past (504).
        :raises ClientDisconnect: if its caller went away while it waited; then nothing is predicted, or recorded.
        """
        if self.waiting >= self._most or (self.waiting >= FEW_CALLS and self.waiting * self._each > WAIT_SECONDS):
            raise HTTPException(429, _TOO_MANY)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._calls.append((call, future, time.monotonic()))
        if not self._woken:  # once all calls are here that came with this one
            self._woken = True
            loop.call_soon(self._wake_worker)
        return await future

    def _wake_worker(self) -> None:
        self._woken = False
        self._wake.put(True)

    def _answer_all(self) -> None:
        goes_on = True
        while goes_on or self._calls:
            with suppress(Empty):
                goes_on = self._wake.get(timeout=self._settling[0].wait() if self._settling else None)
            while self._calls:
                calls, futures = self._next_calls()
                if not calls:
                    continue
                begun = time.monotonic()
                try:
                    answers = self._work(calls)
                except Exception as error:  # noqa: BLE001 - it is raised for each caller
                    answers = [error] * len(calls)
                self._each += _NEWEST * ((time.monotonic() - begun) / len(calls) - self._each)
                self._settle(_Answered(futures, answers, self._timed))
            self._wait_no_longer()

    def _settle(self, answered: _Answered) -> None:
        if self._overdue is not None and not self._overdue.settled:
            answered.leave()
            return
        self._settling.append(answered)
        self._settled(answered.settle)

    def _wait_no_longer(self) -> None:
        while self._settling and (self._settling[0].settled or self._settling[0].wait() <= 0):
            answered = self._settling.popleft()
            if not answered.settled:
                self._overdue = answered
                answered.leave()

    def _next_calls(self) -> tuple[list[Call], list[asyncio.Future[Answer]]]:
        """Take the calls that are answered next, and refuse those of them for which nobody waits any more."""
        batch, now = self._next_batch(), time.monotonic()
        if left := [waiting for waiting in batch if _nobody_waits(waiting, now)]:
            batch = [waiting for waiting in batch if waiting not in left]
            why = [ClientDisconnect() if call.deadline >= now else late() for call, _, _ in left]
            _Answered([future for _, future, _ in left], why, self._timed).leave()
        self._timed([now - since for _, _, since in batch], "wait")
        return [call for call, _, _ in batch], [future for _, future, _ in batch]

    def _next_batch(self) -> list[_Waiting]:
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

        :raises HTTPException: if it is too large (413) or too slow (408), or others wait with too much (429).
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
                    raise HTTPException(429, _TOO_MANY)
        if size > MAX_BODY:
            raise HTTPException(413, f"a body may have {MAX_BODY:,} bytes; send the rows in several calls")

    def close(self) -> None:
        """End the thread once it has answered what waits."""
        self._wake.put(False)
        self._worker.join()


def _nobody_waits(waiting: _Waiting, now: float) -> bool:
    call, future, _ = waiting
    return call.deadline < now or future.done() or call.gone()


def late() -> HTTPException:
    """Return what a call is answered whose caller waits no longer."""
    return HTTPException(504, "the deadline that the call was sent with is past; it waited too long")


class _Answered:
    """What some calls are answered, until it leaves: once, whoever lets it."""

    def __init__(
        self,
        futures: Sequence[asyncio.Future[Answer]],
        answers: Sequence[Answer | Later | Exception],
        timed: Timed,
    ) -> None:
        self._loop, self._timed, self._made = futures[0].get_loop(), timed, time.monotonic()
        self._pairs, self._calls = [[*zip(futures, answers, strict=True)]], len(futures)
        self.settled = False

    def wait(self) -> float:
        """Return how many seconds are left for the log."""
        return max(0.0, self._made + prediction_log.SETTLE_SECONDS - time.monotonic())

    def settle(self) -> None:
        """Let them leave, now that the log has them."""
        self.settled = True
        self.leave()
        self._timed([time.monotonic() - self._made] * self._calls, "log")

    def leave(self) -> None:
        """Give them to their callers."""
        with suppress(IndexError, RuntimeError):  # they left already; the server has ended
            self._loop.call_soon_threadsafe(_give, self._pairs.pop())


_AWAITED: set[asyncio.Task[None]] = set()


def _give(pairs: Sequence[tuple[asyncio.Future[Answer], Answer | Later | Exception]]) -> None:
    for future, answer in pairs:
        if isinstance(answer, Later):
            _AWAITED.add(task := asyncio.create_task(_await(answer, future)))
            task.add_done_callback(_AWAITED.discard)
        elif future.done():  # its caller went away
            continue
        elif isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


async def _await(later: Later, future: asyncio.Future[Answer]) -> None:
    done, _ = await asyncio.wait([asyncio.wrap_future(later.future)], timeout=later.seconds)
    # Whichever comes first: once it is cancelled, the other thread can't answer any more.
    too_late = not done and later.future.cancel()
    answer = await asyncio.to_thread(later.instead) if too_late else later.future.result()  # it waits for the log
    if not future.done():
        future.set_result(answer)
