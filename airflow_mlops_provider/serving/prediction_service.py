"""Answers calls for predictions: rows in, features looked up, the live version's predictions out and recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import pandas as pd
from fastapi import HTTPException

from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.answers import Answers, Calls
from airflow_mlops_provider.serving.candidates.beside import Predicted
from airflow_mlops_provider.serving.release_follower import ReleaseFollower
from airflow_mlops_provider.serving.request_queue import Answer, Call, Later, together_or_alone
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, check_times
from airflow_mlops_provider.serving.responses import Live, error_text

log = logging.getLogger(__name__)


class FeatureStore(Protocol):
    """The part of a feature store that serving needs: see ``FeatureStoreBackend``."""

    def online_columns(self, keys: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]: ...
    def require_online(self) -> None: ...
    def watermark(self) -> datetime | None: ...


class OnlineFeatures:
    """Looks features up in a store that is opened in the background, again after a failure.

    :param keys: the request columns that name an entity.
    """

    def __init__(self, open_store: Callable[[], FeatureStore], keys: Sequence[str]) -> None:
        self.watermark: datetime | None = None
        self.error: str | None = "the feature store is being opened"
        self._open_store, self._keys = open_store, list(keys)
        self._store: FeatureStore | None = None

    @property
    def problem(self) -> str | None:
        """Why no features can be looked up; None if they can."""
        return f"no features: {self.error}" if self.error else None

    def check(self) -> None:
        """Open the feature store if need be, and see up to when it has features."""
        try:
            if self._store is None:
                self._store = self._open_store()
            self.watermark = self._store.watermark()
            if self.watermark:
                self._store.require_online()  # the watermark alone would not show that the store is down or empty
            problem = None if self.watermark else "the online store is empty; materialize features first"
        except Exception as error:  # noqa: BLE001 - whatever the store or the network raised, it is shown
            problem = error_text(error)
        if problem != self.error:  # a line for each change, not for each check
            log.log(logging.WARNING if problem else logging.INFO, "feature store: %s", problem or "it answers")
        self.error = problem

    def look_up(self, rows: Columns) -> Mapping[str, np.ndarray]:
        """Return the features of some rows, in their order.

        :raises RequestError: for a row that is older than what the store has.
        :raises BackendError: if the store does not answer.
        """
        assert self._store is not None  # no problem
        try:
            features = self._store.online_columns({name: rows.values_of(name) for name in self._keys})
            watermark = self._store.watermark()  # after the look-up: what it returned is no newer than this
        except Exception as error:
            raise BackendError(f"the feature store does not answer: {error_text(error)}") from error
        if watermark is None:
            raise BackendError("the online store is empty; materialize features first")
        check_times(rows[EVENT_TIME], watermark)
        return features


class PredictionService:
    """Predicts the rows of calls with the live version, and with the candidate those that are to be compared.

    :param took: is told how many seconds each phase took, and of how many calls.
    """

    def __init__(
        self,
        schema: RequestSchema,
        follower: ReleaseFollower,
        features: OnlineFeatures,
        answers: Answers,
        took: Callable[[Mapping[str, float], int], None],
    ) -> None:
        self._schema, self._follower, self._features, self._answers = schema, follower, features, answers
        self._took = took

    def answer(self, calls: Sequence[Call]) -> list[Answer | Later | Exception]:
        """Answer some calls at once, or return for each why not: together they cost little more than one alone.

        A row's answer does not depend on the rows beside it; a call that can't be answered spoils no other.
        """
        return together_or_alone(self._together, calls)

    def not_ready(self) -> str | None:
        """Return why nothing can be predicted; None if it can."""
        return self._follower.problem or self._features.problem

    def _together(self, given: Sequence[Call]) -> Sequence[Answer | Later]:
        laps = _Laps()
        read = [call.form.rows(self._schema, call.body) for call in given]
        parsed = [own.rows for own in read]
        rows = [*chain.from_iterable(parsed)]
        alone = read[0].columns if len(read) == 1 else None
        columns = self._schema.columns(rows) if alone is None else alone
        laps.end("parse")
        reason, live = self.not_ready(), self._follower.live
        if reason or live is None:
            raise BackendError(f"{self._follower.product} cannot be predicted now: {reason}")
        live, *further = {id(own): own for own in (call.live or live for call in given)}.values()
        if further:  # some go on with what they began with: each is answered alone
            raise BackendError("calls of several releases can't be answered together")
        pinned = {number for number, call in enumerate(given) if call.live or call.form.version is not None}
        if any(given[number].form.version not in {None, live.release.version} for number in pinned):
            raise HTTPException(404, f"version {live.release.version} answers, and no other; leave the version out")
        features = self._features.look_up(columns)
        laps.end("features")
        inputs = _inputs(live.predictor, columns, features)
        laps.end("inputs")
        calls = Calls(given, [*map(len, parsed)], rows, inputs)
        beside = self._follower.candidates.now
        chosen = (
            [n for n, own in enumerate(parsed) if n not in pinned and beside.takes(self._schema.named(own[0]))]
            if beside
            else []
        )
        if beside is None or not chosen:
            predicted = _predicted(live, calls)
            laps.end("predict")
            answered = self._by_live(predicted)
            laps.end("encode")
            self._took(laps.seconds, len(given))
            return answered
        rest = [number for number in range(len(given)) if number not in set(chosen)]
        # First all that may be refused: what is answered is recorded once.
        others, compared = [_predicted(live, calls.only(part)) if part else None for part in (rest, chosen)]
        assert compared is not None
        laps.end("predict")
        answers = (*(self._by_live(others) if others else ()), *beside.predict(compared))
        laps.end("encode")
        self._took(laps.seconds, len(given))
        return [answer for _, answer in sorted(zip((*rest, *chosen), answers, strict=True), key=itemgetter(0))]

    def _by_live(self, predicted: Predicted) -> list[Answer]:
        answers = self._answers.of(*predicted[:4])  # first: what can't be written for one is recorded for none
        self._answers.keep(*predicted[:4])
        return answers


class _Laps:
    """How long each phase took, from the end of the one before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.perf_counter()

    def end(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase], self._at = now - self._at, now


def _predicted(live: Live, calls: Calls) -> Predicted:
    begun = time.perf_counter()
    scores = live.predictor.score(calls.inputs)
    return Predicted(live.predictor, live.release.version, calls, scores, time.perf_counter() - begun)


def _inputs(predictor: Predictor, rows: Columns, features: Mapping[str, np.ndarray]) -> Columns:
    try:
        return predictor.column_inputs(rows, features)
    except (OverflowError, pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta) as error:
        # Each value was fit; what the product's code makes of two of them together may not be.
        raise RequestError(f"the rows' values are too far apart or too large: {error_text(error)}") from error
