"""Which candidate is wanted, and whether it is there: follows the release pointer, as far as the ledger allows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from airflow_mlops_provider.backends.model_server.releases import CandidateRelease
from airflow_mlops_provider.lifecycle.release.rollout import Candidate, Observed
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.answers import Answers
from airflow_mlops_provider.serving.candidates.beside import Beside
from airflow_mlops_provider.serving.responses import error_text

log = logging.getLogger(__name__)


class CandidateFollower:
    """Loads the candidate that the release pointer names, as far as the ledger allows it.

    :param load: loads a candidate; it raises if it can't, or the ledger has it otherwise.
    :param check: raises if the ledger doesn't have a candidate so any more.
    :param retry: seconds between two looks at the ledger while one is served.
    """

    def __init__(
        self,
        load: Callable[[CandidateRelease], Predictor],
        check: Callable[[CandidateRelease], Any],
        keys: Sequence[str],
        answers: Answers,
        retry: float,
    ) -> None:
        self.now: Beside | None = None
        self._load, self._check, self._keys, self._answers, self._retry = load, check, keys, answers, retry
        self._wanted: CandidateRelease | None = None
        self._failure: str | None = None
        self._checked = 0.0
        self._lock = threading.Lock()

    def follow(self, wanted: CandidateRelease | None) -> None:
        """Bring it to what the pointer names; loading goes on in a thread of its own."""
        if wanted == self._wanted:
            self._look_at_ledger()
            return
        with self._lock:
            before, self._wanted, self._failure = self.now, wanted, None
            again = before if before and wanted and wanted.same_model(before.wanted) else None
            if before and not again:
                self._drop(before)
        if wanted is not None:
            threading.Thread(target=self._enter, args=(wanted, again), name="load-candidate", daemon=True).start()

    def state(self) -> Candidate | None:
        """Return what is said of it; None if there is none."""
        with self._lock:
            wanted, now, failure = self._wanted, self.now, self._failure
        if wanted is None:
            return None
        ready = now if now and now.wanted == wanted else None
        said = {name: getattr(wanted, name) for name in ("version", "mode", "share", "requested_at")}
        observed = ready.comparison.observed() if ready else Observed()
        return Candidate(**said, since=ready.since if ready else None, failure=failure, observed=observed)

    def _enter(self, wanted: CandidateRelease, again: Beside | None) -> None:
        try:
            predictor = again.predictor if again and self._check(wanted) else self._load(wanted)
        except Exception as error:  # noqa: BLE001 - whatever its code raises, the live version serves on
            log.error("version %s can't serve beside the live one: %s", wanted.version, error)  # noqa: TRY400
            self._end(wanted, error_text(error))
            return
        before = again.comparison.grown_from if again else None
        with self._lock:
            if wanted == self._wanted:
                entered = Beside(predictor, wanted, self._keys, self._answers, before)
                if self.now:
                    self._drop(self.now)
                self.now, self._checked = entered, time.monotonic()
                log.info("version %s predicts beside the live one: %s", wanted.version, wanted.mode)

    def _look_at_ledger(self) -> None:
        """Take it out of service once the ledger has it otherwise, whoever was killed before he could say so."""
        now = self.now
        if now is None or time.monotonic() - self._checked < self._retry:
            return
        self._checked = time.monotonic()
        try:
            self._check(now.wanted)
        except Exception as error:  # noqa: BLE001 - what can't be checked isn't served
            log.warning("version %s serves beside the live one no more: %s", now.wanted.version, error)
            self._end(now.wanted, error_text(error))

    def _end(self, wanted: CandidateRelease, failure: str) -> None:
        with self._lock:
            if wanted == self._wanted:
                self._failure = failure
                if self.now:
                    self._drop(self.now)

    def _drop(self, beside: Beside) -> None:
        self.now = None
        beside.end()
