"""Answers calls for predictions: rows in, features looked up, the live version's predictions out and recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import Protocol

import pandas as pd

from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog, row_ids
from airflow_mlops_provider.serving.release_follower import ReleaseFollower
from airflow_mlops_provider.serving.request_queue import Answer, Call
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, check_times
from airflow_mlops_provider.serving.responses import error_text

log = logging.getLogger(__name__)


class FeatureStore(Protocol):
    """The part of a feature store that serving needs: see ``FeatureStoreBackend``."""

    def online(self, keys: pd.DataFrame) -> pd.DataFrame: ...
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

    def look_up(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the features of some rows, in their order.

        :raises RequestError: for a row that is older than what the store has.
        :raises BackendError: if the store does not answer.
        """
        assert self._store is not None  # no problem
        try:
            features = self._store.online(rows[self._keys])
            watermark = self._store.watermark()  # after the look-up: what it returned is no newer than this
        except Exception as error:
            raise BackendError(f"the feature store does not answer: {error_text(error)}") from error
        if watermark is None:
            raise BackendError("the online store is empty; materialize features first")
        check_times(rows[EVENT_TIME], watermark)
        return features


class PredictionService:
    """Predicts the rows of calls with the live version."""

    def __init__(
        self,
        schema: RequestSchema,
        follower: ReleaseFollower,
        features: OnlineFeatures,
        log: PredictionLog,
        metrics: Metrics,
    ) -> None:
        self._schema, self._follower, self._features = schema, follower, features
        self._log, self._metrics = log, metrics

    def answer(self, calls: Sequence[Call]) -> list[Answer | Exception]:
        """Answer some calls at once, or return for each why not: together they cost little more than one alone.

        A row's answer does not depend on the rows beside it; a call that can't be answered spoils no other.
        """
        if len(calls) > 1:
            with suppress(Exception):  # which of them it was, each by itself will say
                return [*self._together(calls)]
        return [self._alone(call) for call in calls]

    def not_ready(self) -> str | None:
        """Return why nothing can be predicted; None if it can."""
        return self._follower.problem or self._features.problem

    def _alone(self, call: Call) -> Answer | Exception:
        try:
            return self._together([call])[0]
        except Exception as error:  # noqa: BLE001 - it is returned to the caller
            return error

    def _together(self, calls: Sequence[Call]) -> list[Answer]:
        parsed = [self._schema.rows(call.body) for call in calls]
        rows = self._schema.frame([*chain.from_iterable(parsed)])
        reason, live = self.not_ready(), self._follower.live
        if reason or live is None:
            raise BackendError(f"{self._follower.product} cannot be predicted now: {reason}")
        inputs = _inputs(live.predictor, rows, self._features.look_up(rows))
        predictions = live.predictor.score(inputs)
        ends = accumulate(map(len, parsed))
        parts = [slice(end - len(own), end) for own, end in zip(parsed, ends, strict=True)]
        version, now, problem = live.release.version, datetime.now(UTC), live.predictor.problem
        head, answers = {"product": self._follower.product, "version": version}, []
        for call, part in zip(calls, parts, strict=True):
            scores = predictions[part]
            self._metrics.predicted(problem.headline(scores))
            said = (scores.tolist(), version, call.request_id, now, len(call.body), call.caller)
            self._log.append(Batch(rows[part], inputs[part], *said))
            named = zip(row_ids(call.request_id, len(scores)), problem.answers(scores), strict=True)
            answers.append({**head, "predictions": [{"id": own, **said} for own, said in named]})
        return answers


def _inputs(predictor: Predictor, rows: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    try:
        return predictor.inputs(rows, features)
    except (OverflowError, pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta) as error:
        # Each value was fit; what the product's code makes of two of them together may not be.
        raise RequestError(f"the rows' values are too far apart or too large: {error_text(error)}") from error
