"""The state behind the REST API: which version is live, which is wanted, and what the online store knows."""

from __future__ import annotations

import gc
import logging
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from airflow_mlops_provider.exceptions import BackendError, DeploymentError, MLOpsError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.release.registry import may_serve
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.scoring.predictor import Predictor, Probabilities
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog
from airflow_mlops_provider.serving.releases import Release, read_desired
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, check_times
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger

log = logging.getLogger(__name__)
Call = tuple[bytes, str]  # a request's body and its id


class Features(Protocol):
    """The part of a feature store that serving needs."""

    def online(self, keys: pd.DataFrame) -> pd.DataFrame:
        """Return the latest features of each row's entities, in the rows' order."""

    def require_online(self) -> None:
        """Raise unless the store answers and has what was brought there."""

    def watermark(self) -> datetime | None:
        """Return up to when the online store knows features; None if it knows none."""


class Failure(Frozen):
    """Why a wanted version does not serve."""

    version: int | None
    error: str
    at: datetime
    requested_at: datetime | None = None


class Live:
    """A version in service. Requests hold on to the one they began with."""

    def __init__(self, predictor: Predictor, release: Release) -> None:
        self.predictor, self.release, self.since = predictor, release, datetime.now(UTC)


class ModelServer:
    """Serves one product and follows its release pointer.

    :param root: URI of the artifact root.
    :param open_features: makes the feature store; called in the background, again after a failure.
    :param log_folder: where predictions are recorded.
    :param poll: seconds between two looks at the pointer.
    :param retry: seconds until a version that could not be loaded is tried again.
    :param ready_within: seconds within which it must be able to predict what is wanted, or its start fails; None if
        it may start without.
    """

    def __init__(
        self,
        product: MLProduct,
        root: str,
        open_features: Callable[[], Features],
        log_folder: Path,
        poll: float = 1.0,
        retry: float = 30.0,
        ready_within: float | None = None,
    ) -> None:
        self.product, self.root, self.log_folder, self.poll, self.retry = product, root, log_folder, poll, retry
        self.started = datetime.now(UTC)
        self.schema, self.metrics = RequestSchema(product), Metrics(product.name)
        self.live: Live | None = None
        self.desired: Release | None = None
        self.failure: Failure | None = None
        self.watermark: datetime | None = None
        self.feature_error: str | None = "the feature store is being opened"
        self._open_features = open_features
        self._features: Features | None = None
        self._ending = threading.Event()
        self._tried, self._fell_back = 0.0, -math.inf
        self._ready_within = ready_within

    def start(self) -> None:
        """Begin to load the model and to open the feature store, in threads of their own."""
        self._log = PredictionLog(self.log_folder, on_drop=self.metrics.dropped)
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=step.__name__, daemon=True)
            for step in (self.follow, self.look_at_features)
        ]
        for thread in self._threads:
            thread.start()
        if self._ready_within is not None:
            self._wait_until_ready(time.monotonic() + self._ready_within)

    def close(self) -> None:
        """End the threads; write what the prediction log still holds."""
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._log.close()

    def not_ready(self) -> str | None:
        """Say why the server cannot predict; None if it can."""
        if self.live is None:
            return f"no model: {self.failure.error}" if self.failure else "no model: no release has been asked for yet"
        return f"no features: {self.feature_error}" if self.feature_error else None

    def answer(self, calls: Sequence[Call]) -> list[dict[str, Any] | Exception]:
        """Answer some calls at once, or say for each why not: together they cost little more than one of them alone.

        A row's answer does not depend on the rows beside it; a call that can't be answered spoils no other.
        """
        if len(calls) > 1:
            with suppress(Exception):  # which of them it was, each by itself will say
                return [*self._together(calls)]
        return [self._alone(call) for call in calls]

    def predict(self, body: bytes, request_id: str) -> dict[str, Any]:
        """Answer a request body of JSON rows.

        :raises RequestError: if the rows cannot be predicted.
        :raises BackendError: if there is no model, or the feature store does not answer.
        """
        return self._together([(body, request_id)])[0]

    def _alone(self, call: Call) -> dict[str, Any] | Exception:
        try:
            return self.predict(*call)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            return error

    def _together(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        given = [self.schema.rows(body) for body, _ in calls]
        rows = self.schema.frame([*chain.from_iterable(given)])
        live = self._ready()
        predictions = live.predictor.score(self._inputs(live, rows, self._look_up(rows)))
        ends = [*accumulate(map(len, given))]
        parts = [slice(end - len(own), end) for own, end in zip(given, ends, strict=True)]
        for (body, request_id), part in zip(calls, parts, strict=True):
            self._record(rows[part], predictions[part], live, request_id, len(body))
        return [self._told(predictions[part], live) for part in parts]

    def _told(self, predictions: Probabilities, live: Live) -> dict[str, Any]:
        answers = [{"probability": value} for value in predictions.tolist()]
        return {"product": self.product.name, "version": live.release.version, "predictions": answers}

    def follow(self) -> None:
        """Look at the release pointer once, and roll to what it names if that is not what serves."""
        try:
            wanted = read_desired(open_store(self.root), self.product.name)
        except Exception as error:  # noqa: BLE001 - a pointer that can't be read must not end the following
            self._fail(None, error)
            return self._fall_back()
        if self.failure and self.failure.version is None:
            self.failure = None
        if wanted is None:
            return self._fall_back()
        if self._settled(wanted):
            return None
        self.desired, self._tried = wanted, time.monotonic()
        if self.live and wanted.same_model(self.live.release):
            log.info("version %s of %s was asked for and serves already", wanted.version, wanted.product)
        elif not self._roll(wanted):
            self._fall_back()
        return None

    def look_at_features(self) -> None:
        """Open the feature store if need be, and see up to when it knows features."""
        try:
            if self._features is None:
                self._features = self._open_features()
            self.watermark = self._features.watermark()
            if self.watermark:
                self._features.require_online()  # the watermark alone would not show that the store is down or empty
            found = None if self.watermark else "the online store is empty; materialize features first"
        except Exception as error:  # noqa: BLE001 - whatever the store or the network raised, it is shown
            found = _bounded(error)
        if found != self.feature_error:  # a line for each change, not for each look
            log.log(logging.WARNING if found else logging.INFO, "feature store: %s", found or "it answers")
        self.feature_error = found

    def _ready(self) -> Live:
        reason = self.not_ready()
        if reason or self.live is None:
            raise BackendError(f"{self.product.name} cannot be predicted now: {reason}")
        return self.live

    def _look_up(self, rows: pd.DataFrame) -> pd.DataFrame:
        assert self._features is not None  # ready
        keys = rows[list(self.product.entity_columns)]
        try:
            features = self._features.online(keys)
            watermark = self._features.watermark()  # after the look-up: what it saw is no newer than this
        except Exception as error:
            raise BackendError(f"the feature store does not answer: {_bounded(error)}") from error
        check_times(rows[EVENT_TIME], watermark)
        return features

    def _inputs(self, live: Live, rows: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
        try:
            return live.predictor.inputs(rows, features)
        except (OverflowError, pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta) as error:
            # Each value was fit; what the product's code makes of two of them together may not be.
            raise RequestError(f"the rows' values are too far apart or too large: {_bounded(error)}") from error

    def _record(self, rows: pd.DataFrame, predictions: Probabilities, live: Live, request_id: str, size: int) -> None:
        self.metrics.predicted(predictions)
        self._log.append(Batch(rows, predictions.tolist(), live.release.version, request_id, datetime.now(UTC), size))

    def _settled(self, wanted: Release) -> bool:
        if wanted != self.desired:
            return False
        serves = self.live is not None and wanted.same_model(self.live.release)
        return serves or time.monotonic() - self._tried < self.retry

    def _roll(self, wanted: Release) -> bool:
        try:
            self._enter(wanted)
        except Exception as error:  # noqa: BLE001 - whatever the version's code raises, the old one serves on
            self._fail(wanted, error)
            return False
        self.failure = None
        return True

    def _enter(self, release: Release) -> None:
        live = Live(self._load(release), release)
        # One assignment: a request sees the old version or the new one, never a mixture.
        self.live = live
        self.metrics.live(release)
        log.info("version %s of %s is live", release.version, release.product)

    def _load(self, release: Release) -> Predictor:
        """Load what the ledger lets be live, from where it says that the model lies, below our own root."""
        store = open_store(self.root)
        version = may_serve(Ledger(store, self.product.name).entries(), release.model)
        with tempfile.TemporaryDirectory(prefix="model-") as scratch:
            folder = store.download(key_below(store, version.uri), Path(scratch))
            predictor = Predictor.load(self.product, folder, version.hash, version.version)
        predictor.smoke()
        return predictor

    def _fall_back(self) -> None:
        """Serve what the ledger calls live, if nothing serves yet."""
        if self.live is not None or time.monotonic() - self._fell_back < self.retry:
            return
        self._fell_back = time.monotonic()
        try:
            before = Ledger(open_store(self.root), self.product.name).live()
            if before is not None and not Release.of(before).same_model(self.desired):
                self._enter(Release.of(before))
        except Exception as error:  # noqa: BLE001 - no fallback is no reason to end
            log.warning("the version that was live before cannot be loaded either: %s", _bounded(error))

    def _fail(self, wanted: Release | None, error: Exception) -> None:
        version, asked = (wanted.version, wanted.requested_at) if wanted else (None, None)
        now, before = datetime.now(UTC), self.failure
        self.failure = Failure(version=version, error=_bounded(error), at=now, requested_at=asked)
        if before is not None and before.model_copy(update={"at": now}) == self.failure:
            return  # tried again, and told once already
        self.metrics.failed()
        log.error("version %s of %s cannot serve: %s", version, self.product.name, self.failure.error)

    def _wait_until_ready(self, until: float) -> None:
        while self.not_ready() or (self.desired and self.live and not self.live.release.same_model(self.desired)):
            if self.failure or time.monotonic() > until:
                raise DeploymentError(self.failure.error if self.failure else str(self.not_ready()))
            time.sleep(0.05)

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._ending.is_set():
            step()
            self.metrics.features(self.watermark)
            ready = self.not_ready() is None
            self.metrics.ready(ready)
            if ready and not gc.get_freeze_count():
                gc.freeze()  # a million objects of libraries that stay: no request should wait while they are counted
            self._ending.wait(self.poll)

    def describe(self) -> dict[str, Any]:
        """Return what /version tells."""
        live, desired, failure = self.live, self.desired, self.failure
        return {
            "product": self.product.name,
            "root": self.root,
            "pid": os.getpid(),
            "started": self.started.isoformat(),
            "live": {**live.release.to_json(), "since": live.since.isoformat()} if live else None,
            "desired": desired.to_json() if desired else None,
            "failure": failure.to_json() if failure else None,
            "not_ready": self.not_ready(),
            "watermark": self.watermark.isoformat() if self.watermark else None,
            "prediction_log": str(self.log_folder),
        }


def _bounded(error: Exception) -> str:
    text = str(error)[:500]
    return text if isinstance(error, MLOpsError) else f"{type(error).__name__}: {text}"
