"""Which version is live and which is wanted: follows the release pointer, as far as the ledger allows.

A candidate beside the live version is loaded as that is; see :mod:`.candidates`.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from airflow_mlops_provider.backends.model_server.releases import CandidateRelease, Release, Wanted, read_desired
from airflow_mlops_provider.backends.model_server.state import Failure
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import may_be_compared, may_serve
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.answers import Answers
from airflow_mlops_provider.serving.candidates.follower import CandidateFollower
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.responses import Live, error_text
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger

log = logging.getLogger(__name__)


class ReleaseFollower:
    """Loads the version that the release pointer names; the one before serves on until that can predict.

    :param retry: seconds until a version that could not be loaded is tried again.
    """

    def __init__(
        self, product: str, shape: Scoring, root: str, metrics: Metrics, answers: Answers, retry: float
    ) -> None:
        self.product, self.shape, self.root, self.retry = product, shape, root, retry
        self.candidates = CandidateFollower(self._load, self._allowed, shape.entity_columns, answers, retry)
        self.live: Live | None = None
        self.desired: Release | None = None
        self.failure: Failure | None = None
        self._metrics = metrics
        self._tried, self._fell_back = 0.0, -math.inf

    @property
    def problem(self) -> str | None:
        """Why no version is live; None if one is."""
        if self.live is not None:
            return None
        return f"no model: {self.failure.error if self.failure else 'no release has been requested yet'}"

    def follow(self) -> None:
        """Look at the release pointer once, and load the version that it names if that is not live."""
        try:
            wanted = read_desired(open_store(self.root), self.product)
        except Exception as error:  # noqa: BLE001 - an unreadable pointer must not end the thread
            self._fail(None, error)
            self._fall_back()
            return
        if self.failure and self.failure.version is None:
            self.failure = None
        if wanted is None:
            self._fall_back()
        elif not self._settled(wanted):
            self._roll(wanted)
        self.candidates.follow(wanted.candidate if wanted and self.serves(wanted) else None)

    def serves(self, release: Release) -> bool:
        """Return whether the live version is that of a release."""
        return self.live is not None and release.same_model(self.live.release)

    def _settled(self, wanted: Release) -> bool:
        return wanted == self.desired and (self.serves(wanted) or time.monotonic() - self._tried < self.retry)

    def _roll(self, wanted: Release) -> None:
        self.desired, self._tried = wanted, time.monotonic()
        if self.serves(wanted):
            log.info("version %s of %s was requested and is live already", wanted.version, wanted.product)
            return
        try:
            self._enter(wanted)
        except Exception as error:  # noqa: BLE001 - whatever the version's code raises, the old one serves on
            self._fail(wanted, error)
            self._fall_back()
        else:
            self.failure = None

    def _fall_back(self) -> None:
        """Serve what the ledger calls live, if nothing serves yet."""
        if self.live is not None or time.monotonic() - self._fell_back < self.retry:
            return
        self._fell_back = time.monotonic()
        try:
            before = Ledger(open_store(self.root), self.product).live()
            if before is not None and not Release.of(before).same_model(self.desired):
                self._enter(Release.of(before))
        except Exception as error:  # noqa: BLE001 - no fallback is no reason to end
            log.warning("the version that was live before cannot be loaded either: %s", error_text(error))

    def _enter(self, release: Release) -> None:
        # One assignment: a request sees the old version or the new one, never a mixture.
        self.live = Live(self._load(release), release, datetime.now(UTC))
        self._metrics.live(release)
        log.info("version %s of %s is live", release.version, release.product)

    def _allowed(self, wanted: Wanted) -> ModelVersion:
        """Return what the ledger allows to be live, or to be a candidate."""
        entries = Ledger(open_store(self.root), self.product).entries()
        if isinstance(wanted, CandidateRelease):
            return may_be_compared(entries, wanted.model, wanted.mode)
        return may_serve(entries, wanted.model)

    def _load(self, wanted: Wanted) -> Predictor:
        """Load what the ledger allows, from where it says that the model lies, below our own root."""
        store, version = open_store(self.root), self._allowed(wanted)
        if (beside := self.candidates.now) and wanted.same_model(beside.wanted):
            return beside.predictor
        with tempfile.TemporaryDirectory(prefix="model-") as scratch:
            predictor = Predictor.load(
                self.shape, store.download(key_below(store, version.uri), Path(scratch)), version
            )
        predictor.smoke()
        return predictor

    def _fail(self, wanted: Release | None, error: Exception) -> None:
        version, requested_at = (wanted.version, wanted.requested_at) if wanted else (None, None)
        now, before = datetime.now(UTC), self.failure
        self.failure = Failure(version=version, error=error_text(error), at=now, requested_at=requested_at)
        if before is not None and before.model_copy(update={"at": now}) == self.failure:
            return  # tried again; counted and logged the first time
        self._metrics.failures.inc()
        log.error("version %s of %s cannot serve: %s", version, self.product, self.failure.error)
