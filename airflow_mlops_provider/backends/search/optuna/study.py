"""Optuna: the trials of a search, in a database that many workers share; what to try next, and what to give up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Literal

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from airflow_mlops_provider.backends.search.optuna.database import database, database_errors
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.search.declaration import (
    Algorithm,
    Choice,
    FloatRange,
    IntRange,
    Pruning,
    algorithm_of,
)
from airflow_mlops_provider.lifecycle.search.trials import State, Trial

ALGORITHM = "algorithm"
_STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_ENDS = {state: optuna_state for optuna_state, state in _STATES.items()}


class SearchStudy:
    """One study. Its trial number *k* is slot *k*, made before anybody works on it.

    So two workers can't take the same trial, and a worker that was killed comes back to its own, with the same params,
    as often as it takes. Optuna's heartbeats, which would give a dead worker's trial up, are not used.

    :param name: the study's name in the database.
    :param maximize: more of the metric is better; said where the study is opened.
    :param url: SQLAlchemy URL without credentials, which come from the environment; None keeps it in memory.
    """

    def __init__(self, name: str, url: str | None = None, *, maximize: bool = True) -> None:
        self.name = name
        self.direction: Literal["maximize", "minimize"] = "maximize" if maximize else "minimize"
        self.url = url
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def open(
        self, trials: int, facts: Mapping[str, Any] | None = None, first: tuple[Algorithm, dict[str, Any]] | None = None
    ) -> None:
        """Make the study with so many slots; one that is there is kept, and gets the slots that it lacks.

        :param facts: JSON values that go with the study.
        :param first: the algorithm, and the settings, that slot 0 is to try.
        :raises BackendError: if the database does not answer.
        """
        with database_errors(self.url):
            study = optuna.create_study(
                storage=self.storage, study_name=self.name, direction=self.direction, load_if_exists=True
            )
            for key, value in (facts or {}).items():
                study.set_user_attr(key, value)
            for slot in range(len(study.get_trials(deepcopy=False)), trials):
                study.enqueue_trial(_optuna_params(*first) if first and slot == 0 else {})

    def facts(self) -> dict[str, Any]:
        """Return the JSON values that go with the study. :raises UnknownNameError: if there is no such study."""
        with database_errors(self.url):
            return dict(self.study.user_attrs)

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value with the study."""
        with database_errors(self.url):
            self.study.set_user_attr(key, value)

    def trials(self) -> list[Trial]:
        """Return every trial, by slot."""
        with database_errors(self.url):
            return [_trial_of(frozen) for frozen in self.study.get_trials(deepcopy=False)]

    def begin(self, slot: int, algorithms: Sequence[Algorithm], seed: int) -> Trial:
        """Take a slot's trial and return it: running, with its algorithm and params, or as it ended.

        Params suggested before a kill stay. They depend on the seed, the slot and the trials that have ended.
        """
        with database_errors(self.url):
            with suppress(optuna.exceptions.UpdateFinishedTrialError):  # by another process, just now perhaps
                self._suggest(slot, algorithms, seed)
            return _trial_of(self._frozen(slot))

    def report(self, slot: int, step: int, value: float, pruning: Pruning | None) -> str | None:
        """Keep what a trial has reached at a step, and return why it should be given up; None if it should not."""
        with database_errors(self.url):
            try:
                self.storage.set_trial_intermediate_value(self._id(slot), step, float(value))
            except optuna.exceptions.UpdateFinishedTrialError:
                return "another worker ended it"
            if pruning is None or not _is_behind(pruning, self.study, self._frozen(slot)):
                return None
        side = "below" if self.direction == "maximize" else "above"
        return f"{value:.4f} at step {step}: {side} the median of its algorithm's trials there"

    def end(
        self,
        slot: int,
        state: Literal["complete", "pruned", "failed"],
        *,
        value: float | None = None,
        seconds: float = 0.0,
        reason: str | None = None,
    ) -> Trial:
        """End a trial and return it; one that has ended stays as it is."""
        attributes = {"seconds": round(seconds, 3), "reason": reason, "ended": datetime.now(UTC).isoformat()}
        with database_errors(self.url):
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                for key, attribute in attributes.items():
                    self.storage.set_trial_user_attr(self._id(slot), key, attribute)
                self.study.tell(slot, value, _ENDS[state], skip_if_finished=True)
            return _trial_of(self._frozen(slot))

    @cached_property
    def storage(self) -> BaseStorage:
        """The storage, with its tables."""
        if self.url is None:
            return InMemoryStorage()
        with database_errors(self.url):
            return database(self.url)

    @cached_property
    def study(self) -> Study:
        """The study. :raises UnknownNameError: if it was never opened."""
        return self._load()

    def _load(self) -> Study:
        try:
            return optuna.load_study(study_name=self.name, storage=self.storage)
        except KeyError:
            known = optuna.get_all_study_names(self.storage)
            raise UnknownNameError("study", self.name, known[-20:]) from None

    def _suggest(self, slot: int, algorithms: Sequence[Algorithm], seed: int) -> None:
        study, trial_id = self._load(), self._id(slot)  # a study of its own: Optuna's caches what it once read
        self.storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        study.sampler = TPESampler(seed=int(digest([seed, slot])[:8], 16))
        study.get_trials(deepcopy=False)  # fills Optuna's cache with the trials of other processes
        trial = optuna.trial.Trial(study, trial_id)
        name = trial.suggest_categorical(ALGORITHM, [algorithm.name for algorithm in algorithms])
        for setting, span in algorithm_of(algorithms, name).space.items():
            _suggest_value(trial, f"{name}.{setting}", span)

    def _id(self, slot: int) -> int:
        try:
            return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, slot)
        except KeyError:
            raise UnknownNameError(f"slot of study {self.name}", str(slot), ()) from None

    @cached_property
    def _study_id(self) -> int:
        return self.storage.get_study_id_from_name(self.study.study_name)

    def _frozen(self, slot: int) -> FrozenTrial:
        return self.storage.get_trial(self._id(slot))


def _is_behind(pruning: Pruning, study: Study, trial: FrozenTrial) -> bool:
    """Apply the median rule among trials of the same algorithm: another one's steps mean something else."""
    rule = MedianPruner(n_startup_trials=pruning.after_trials, n_warmup_steps=pruning.from_step)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    own = [other for other in complete if other.params.get(ALGORITHM) == trial.params.get(ALGORITHM)]
    peers: Any = SimpleNamespace(get_trials=lambda **_: own, direction=study.direction)
    return rule.prune(peers, trial)


def _optuna_params(algorithm: Algorithm, params: Mapping[str, Any]) -> dict[str, Any]:
    return {ALGORITHM: algorithm.name, **{f"{algorithm.name}.{name}": value for name, value in params.items()}}


def _suggest_value(trial: optuna.trial.Trial, name: str, span: IntRange | FloatRange | Choice) -> None:
    if isinstance(span, IntRange):
        trial.suggest_int(name, span.low, span.high, log=span.log)
    elif isinstance(span, FloatRange):
        trial.suggest_float(name, span.low, span.high, log=span.log)
    else:
        trial.suggest_categorical(name, span.options)


def _trial_of(frozen: FrozenTrial) -> Trial:
    algorithm, prefix = frozen.params.get(ALGORITHM), f"{frozen.params.get(ALGORITHM)}."
    attributes, ended = frozen.user_attrs, frozen.state.is_finished()
    return Trial(
        slot=frozen.number,
        state=_STATES[frozen.state],
        algorithm=algorithm,
        params={name.removeprefix(prefix): value for name, value in frozen.params.items() if name != ALGORITHM},
        value=frozen.value if ended and frozen.values else None,
        values=dict(sorted(frozen.intermediate_values.items())),
        seconds=attributes.get("seconds", 0.0),
        reason=attributes.get("reason"),
        ended=datetime.fromisoformat(attributes["ended"]) if ended and "ended" in attributes else None,
    )
