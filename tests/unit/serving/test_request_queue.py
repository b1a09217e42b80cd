"""Calls that wait: answered together, refused beyond a bound, and held back by the log only so long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from fastapi import HTTPException
from starlette.requests import ClientDisconnect

from airflow_mlops_provider.serving import prediction_log
from airflow_mlops_provider.serving.request_queue import FEW_CALLS, MAX_BATCH, Answer, Call, RequestQueue

PHASES = ("wait", "log")
CALLS = [Call(b"x", str(number)) for number in range(8)]


class Served:
    """A queue whose work and log a test holds up."""

    def __init__(self, most: int = 100) -> None:
        self.batches: list[int] = []
        self.works, self.logs = threading.Event(), True
        self.waiting: list[Callable[[], None]] = []
        self.works.set()
        self.timed: list[tuple[str, Sequence[float]]] = []
        timed = lambda seconds, phase: self.timed.append((phase, seconds))  # noqa: E731
        self.queue = RequestQueue(self.work, self.settled, most=most, timed=timed)

    def work(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer each call by its id."""
        self.batches.append(len(calls))
        assert self.works.wait(20)
        return [call.request_id.encode() for call in calls]

    def settled(self, done: Callable[[], None]) -> None:
        """Say that all is written, or keep whoever waits for it."""
        done() if self.logs else self.waiting.append(done)


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served(most=4)
    yield served
    served.queue.close()


def test_calls_that_come_together_are_answered_together(served: Served) -> None:
    """Without waiting for a first one to be answered."""

    async def ask() -> list[Answer]:
        return await asyncio.gather(*map(served.queue.answer, CALLS[:4]))

    assert asyncio.run(ask()) == [b"0", b"1", b"2", b"3"]
    assert served.batches == [4]


def test_one_call_too_many_is_told_to_come_again(served: Served) -> None:
    """Those that wait are answered; later there is room again."""

    async def ask() -> list[Answer | BaseException]:
        served.works.clear()
        tasks = [asyncio.create_task(served.queue.answer(CALLS[0]))]
        while not served.batches:  # noqa: ASYNC110 - another thread adds to it
            await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(served.queue.answer(call)) for call in CALLS[1:7]]
        await asyncio.sleep(0.05)
        served.works.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert await served.queue.answer(CALLS[7]) == b"7"
        return answers

    answers = asyncio.run(ask())
    assert answers[:5] == [b"0", b"1", b"2", b"3", b"4"]
    assert [error.status_code for error in answers[5:] if isinstance(error, HTTPException)] == [429, 429]


def test_calls_that_would_wait_for_long_are_told_to_come_again() -> None:
    """Long before there are too many of them: what waits is what the server answers within half a second."""
    taking = 0.02

    def work(calls: Sequence[Call]) -> list[Answer]:
        time.sleep(taking)
        return [call.request_id.encode() for call in calls]

    queue = RequestQueue(work, lambda done: done())
    large = Call(b"x" * (MAX_BATCH + 1), "large")  # each is answered alone

    async def ask(count: int) -> list[Answer | BaseException]:
        return await asyncio.gather(*[queue.answer(large) for _ in range(count)], return_exceptions=True)

    assert asyncio.run(ask(30)) == [b"large"] * 30  # it has seen none before
    answers = asyncio.run(ask(100))
    refused = [error.status_code for error in answers if isinstance(error, HTTPException)]
    assert refused == [429] * (100 - FEW_CALLS)
    queue.close()


def test_a_call_for_which_nobody_waits_costs_no_prediction(served: Served) -> None:
    """Its deadline passed while others were answered: it is refused, and those beside it are answered."""

    async def ask() -> list[Answer | BaseException]:
        served.works.clear()
        tasks = [asyncio.create_task(served.queue.answer(CALLS[0]))]
        while not served.batches:  # noqa: ASYNC110 - another thread adds to it
            await asyncio.sleep(0.01)
        late, early = time.monotonic() + 0.02, time.monotonic() + 60
        calls = [CALLS[1]._replace(deadline=late), CALLS[2]._replace(deadline=early), CALLS[3]]
        tasks += [asyncio.create_task(served.queue.answer(call)) for call in calls]
        await asyncio.sleep(0.05)
        served.works.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, refused, *others = asyncio.run(ask())
    assert [first, *others] == [b"0", b"2", b"3"]
    assert isinstance(refused, HTTPException)
    assert refused.status_code == 504
    assert served.batches == [1, 2]
    waited, logged = ([seconds for said, own in served.timed if said == phase for seconds in own] for phase in PHASES)
    assert len(waited) == len(logged) == 3
    assert max(waited) >= 0.05


def test_a_call_whose_caller_went_away_costs_no_prediction(served: Served) -> None:
    """While others were answered, with its connection or cancelled: only those who still wait are answered."""
    gone = threading.Event()

    async def ask() -> list[Answer | BaseException]:
        served.works.clear()
        tasks = [asyncio.create_task(served.queue.answer(CALLS[0]))]
        while not served.batches:  # noqa: ASYNC110 - another thread adds to it
            await asyncio.sleep(0.01)
        calls = [CALLS[1]._replace(gone=gone.is_set), CALLS[2], CALLS[3]._replace(gone=lambda: False)]
        tasks += [asyncio.create_task(served.queue.answer(call)) for call in calls]
        await asyncio.sleep(0.05)
        tasks[2].cancel()
        gone.set()
        await asyncio.sleep(0.05)
        served.works.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, left, cancelled, other = asyncio.run(ask())
    assert [first, other] == [b"0", b"3"]
    assert isinstance(left, ClientDisconnect) and isinstance(cancelled, asyncio.CancelledError)
    assert served.batches == [1, 1]


def test_a_log_that_hangs_holds_one_answer_back_for_a_while(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first leaves after a second, the next at once, until it writes again; each is answered once."""
    monkeypatch.setattr(prediction_log, "SETTLE_SECONDS", 0.3)

    async def took(call: Call) -> float:
        began = time.monotonic()
        await served.queue.answer(call)
        return time.monotonic() - began

    async def ask() -> list[float]:
        served.logs = False
        first = [await took(CALLS[0]), await took(CALLS[1])]
        for done in served.waiting:
            done()
        served.waiting.clear()
        return [*first, await took(CALLS[2])]

    first, second, third = asyncio.run(ask())
    assert first >= 0.3
    assert second < 0.2
    assert third >= 0.3
