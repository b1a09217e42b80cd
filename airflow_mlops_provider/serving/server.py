"""One product's model server behind the REST API: its threads, and what it says of its health."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.model_server.state import LiveRelease, ServerState
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.serving.answers import Answers
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.model_alone import Served
from airflow_mlops_provider.serving.prediction_log import PredictionLog
from airflow_mlops_provider.serving.prediction_service import FeatureStore, OnlineFeatures, PredictionService
from airflow_mlops_provider.serving.release_follower import ReleaseFollower
from airflow_mlops_provider.serving.request_schema import RequestSchema


class ModelServer:
    """Serves one product and follows its release pointer.

    :param open_features: makes the feature store; called in the background, again after a failure.
    :param poll: seconds between two looks at the pointer.
    :param retry: seconds until a version that could not be loaded is tried again.
    :ivar pid: the process as others know it.
    :param ready_within: seconds within which it must be able to predict what is wanted, or its start fails; None if
        it may start without.
    """

    def __init__(
        self,
        product: Served,
        root: str,
        open_features: Callable[[], FeatureStore],
        log_folder: Path,
        poll: float = 1.0,
        retry: float = 30.0,
        ready_within: float | None = None,
    ) -> None:
        shape = product.scoring
        self.product, self.poll, self.ready_within = product, poll, ready_within
        self.started, self.pid = datetime.now(UTC), os.getpid()
        self.problem = problems.find(product.problem)
        self.schema = RequestSchema(shape.row_columns, timed=bool(shape.views))
        self.metrics = Metrics(product.name, self.problem.buckets)
        self.prediction_log = PredictionLog(log_folder, on_drop=self.metrics.dropped.inc)
        answers = Answers(product.name, self.prediction_log, self.metrics)
        self.follower = ReleaseFollower(product.name, shape, root, self.metrics, answers, retry)
        self.features = OnlineFeatures(open_features, shape.entity_columns)
        self.predictions = PredictionService(
            self.schema, self.follower, self.features, answers, self.metrics.phases.took
        )
        self._ending, self._frozen = threading.Event(), False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Load model and features in threads. :raises DeploymentError: if not ready within ``ready_within`` seconds."""
        for step in (self.follower.follow, self.features.check):
            thread = threading.Thread(target=self._repeat, args=(step,), name=step.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()
        if self.ready_within is not None:
            self._wait_until_ready(time.monotonic() + self.ready_within)

    def close(self) -> None:
        """End the threads; write what the prediction log still holds."""
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self.follower.candidates.follow(None)
        self.prediction_log.close()

    def state(self) -> ServerState:
        """Return what ``/version`` answers."""
        live = self.follower.live
        return ServerState(
            product=self.product.name,
            root=self.follower.root,
            pid=self.pid,
            started=self.started,
            live=LiveRelease(**dict(live.release), since=live.since) if live else None,
            desired=self.follower.desired,
            failure=self.follower.failure,
            not_ready=self.predictions.not_ready(),
            watermark=self.features.watermark,
            prediction_log=str(self.prediction_log.folder),
            candidate=self.follower.candidates.state(),
        )

    def _wait_until_ready(self, deadline: float) -> None:
        follower = self.follower
        while (reason := self.predictions.not_ready()) or (follower.desired and not follower.serves(follower.desired)):
            failure = follower.failure
            if failure or time.monotonic() > deadline:
                raise DeploymentError(failure.error if failure else str(reason))
            time.sleep(0.05)

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._ending.is_set():
            step()
            self.metrics.features(self.features.watermark)
            self.metrics.beside(self.follower.candidates.state())
            ready = self.predictions.not_ready() is None
            self.metrics.ready.set(ready)
            if ready and not self._frozen:
                self._frozen = True
                gc.freeze()  # a million objects of libraries that stay: no request should wait while they are counted
            self._ending.wait(self.poll)
