"""A loaded candidate, called in a thread of its own: what it says, fails or delays, beside the live version."""

from __future__ import annotations

import hashlib
import logging
import math
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from airflow_mlops_provider.backends.model_server.releases import CandidateRelease
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.scoring.predictor import Predictions, Predictor
from airflow_mlops_provider.serving.answers import Answers, Calls
from airflow_mlops_provider.serving.candidates.comparison import Comparison, lacks
from airflow_mlops_provider.serving.request_queue import Answer, Later
from airflow_mlops_provider.serving.responses import error_text

log = logging.getLogger(__name__)
#: Seconds after which the live version's prediction is the answer; and how many batches may wait for the candidate.
SECONDS, WAITING = 2.0, 32


class Predicted(NamedTuple):
    """Calls, and what the live version predicted of them in how many seconds."""

    predictor: Predictor
    version: int
    calls: Calls
    scores: Predictions
    seconds: float


class _Work(NamedTuple):
    live: Predicted
    futures: Sequence[Future[Answer]]


class Beside:
    """A loaded candidate. What it raises, and how long it takes, no caller feels but those of its share, for seconds.

    :param keys: the request columns by which a canary's calls are chosen: an entity is always answered by the same
        version.
    """

    def __init__(
        self, predictor: Predictor, wanted: CandidateRelease, keys: Sequence[str], answers: Answers, before: int | None
    ) -> None:
        self.predictor, self.wanted, self.since = predictor, wanted, datetime.now(UTC)
        self.comparison = Comparison(before)
        self._keys, self._answers, self._ended = keys, answers, False
        self._begun = math.inf
        self._work: queue.Queue[_Work | None] = queue.Queue(WAITING)
        threading.Thread(target=self._predict, name=f"candidate-{wanted.version}", daemon=True).start()

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Say whether a call with this first row is compared: in shadow each is."""
        if self.wanted.mode is Status.SHADOW:
            return True
        key = repr((self.wanted.version, [row[name] for name in self._keys or row])).encode()
        place = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())
        return place < self.wanted.share * 2**64

    def predict(self, live: Predicted) -> list[Answer | Later]:
        """Have calls predicted, and return how each is answered: in shadow at once, by the live version."""
        calls = live.calls
        answers = self._answers.of(live.predictor, live.version, calls, live.scores)
        shadow = self.wanted.mode is Status.SHADOW
        futures = [] if shadow else [Future[Answer]() for _ in calls.calls]
        try:
            self._work.put_nowait(_Work(live, futures))
        except queue.Full:
            hangs = time.perf_counter() - self._begun > SECONDS
            (self.comparison.dropped if shadow and not hangs else self.comparison.failed)(len(calls.calls))
            futures = []
        if not futures:
            self._answers.keep(live.predictor, live.version, calls, live.scores)
            return [*answers]
        late = (partial(self._too_late, live, number, answer) for number, answer in enumerate(answers))
        return [Later(future, SECONDS, instead) for future, instead in zip(futures, late, strict=True)]

    def end(self) -> None:
        """Predict no more; what waits is answered by the live version."""
        self._ended = True
        try:
            self._work.put_nowait(None)
        except queue.Full:  # it ends with the next of them
            return

    def _predict(self) -> None:
        while (work := self._work.get()) is not None:
            if not self._ended:
                self._compare(work)
                self._begun = math.inf
                continue
            for number in range(len(work.futures)):
                self._by_live(work, number)
            if self._work.empty():
                return

    def _compare(self, work: _Work) -> None:
        live, self._begun = work.live, (begun := time.perf_counter())
        try:
            scores = self.predictor.score(live.calls.inputs.copied())
            seconds = time.perf_counter() - begun
            answers = self._answers.of(self.predictor, self.wanted.version, live.calls, scores)
            self._count(live, scores, seconds)
        except Exception as error:  # noqa: BLE001 - whatever the candidate's code raises, the live version has answered
            self._failed(work, error)
            return
        keep = partial(self._answers.keep, self.predictor, self.wanted.version)
        if not work.futures:
            keep(live.calls, scores, shadow=True)
            return
        for number, part in enumerate(live.calls.parts):
            if work.futures[number].set_running_or_notify_cancel():  # else it comes too late
                own = live.calls.only([number])
                keep(own, scores[part])
                self._answers.keep(live.predictor, live.version, own, live.scores[part], shadow=True)
                self._give(work.futures[number], answers[number])

    def _count(self, live: Predicted, scores: Predictions, seconds: float) -> None:
        lacking = lacks(self.predictor, live.predictor, live.calls.inputs)
        self.comparison.predicted(len(live.calls.calls), live.seconds, seconds, lacking)
        self.comparison.answers(live.predictor.problem.headline(live.scores), self.predictor.problem.headline(scores))

    def _failed(self, work: _Work, error: Exception) -> None:
        """Find out which of several calls it was; what fails alone is answered by the live version."""
        calls = work.live.calls
        if len(calls.calls) > 1:
            for number, part in enumerate(calls.parts):
                own = work.live._replace(calls=calls.only([number]), scores=work.live.scores[part])
                self._compare(_Work(own, work.futures[number : number + 1]))
            return
        log.warning("version %s failed a call: %s", self.wanted.version, error_text(error))
        self.comparison.failed(1)
        self._by_live(work, 0)

    def _by_live(self, work: _Work, number: int) -> None:
        live = work.live
        if not work.futures:
            return
        own, scores = live.calls.only([number]), live.scores[live.calls.parts[number]]
        (answer,) = self._answers.of(live.predictor, live.version, own, scores)
        if work.futures[number].set_running_or_notify_cancel():
            self._answers.keep(live.predictor, live.version, own, scores)
            self._give(work.futures[number], answer)

    def _give(self, future: Future[Answer], answer: Answer) -> None:
        self._answers.settle()
        future.set_result(answer)

    def _too_late(self, live: Predicted, number: int, answer: Answer) -> Answer:
        """Return the live version's answer, once the log has it, as it has any other that leaves."""
        own, scores = live.calls.only([number]), live.scores[live.calls.parts[number]]
        self._answers.keep(live.predictor, live.version, own, scores)
        self._answers.settle()
        self.comparison.failed(1)
        return answer
