"""The search for a trainer and its settings: what may be tried, and when to stop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known, unique
from airflow_mlops_provider.lifecycle.placed import Placed
from airflow_mlops_provider.lifecycle.trainer import Name, Trainer

MOST_TRIALS = 1000


class _Range(Frozen):
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"a range goes from a lower to a higher value, not from {self.low} to {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a range on a logarithmic scale begins above 0, not at {self.low}")
        return self

    def holds(self, value: Any) -> bool:
        """Say whether a value lies in it."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


class IntRange(_Range):
    """Whole numbers from ``low`` to ``high``, both included; with ``log``, sampled on a logarithmic scale."""

    kind: Literal["int"] = "int"
    low: int
    high: int

    def holds(self, value: Any) -> bool:
        """Say whether a value lies in it."""
        return isinstance(value, int) and super().holds(value)


class FloatRange(_Range):
    """Real numbers from ``low`` to ``high``, both included; with ``log``, sampled on a logarithmic scale."""

    kind: Literal["float"] = "float"


class Choice(Frozen):
    """One of some values."""

    kind: Literal["choice"] = "choice"
    options: tuple[str | int | float | bool, ...] = Field(min_length=1)

    def holds(self, value: Any) -> bool:
        """Say whether a value is one of them."""
        return value in self.options


Span = Annotated[IntRange | FloatRange | Choice, Field(discriminator="kind")]


class Algorithm(Trainer):
    """A trainer that a search may choose: its ``settings`` stay as they are, those in ``space`` are searched."""

    name: Name
    space: dict[str, Span] = {}

    @model_validator(mode="after")
    def _each_setting_once(self) -> Algorithm:
        both = sorted(self.settings.keys() & self.space.keys())
        if both:
            raise ValueError(f"algorithm {self.name!r}: fixed and searched at once: {', '.join(both)}")
        return self

    def trainer(self, params: dict[str, Any]) -> Trainer:
        """Return the trainer that this is with some params. :raises UnknownNameError: for what is not searched."""
        only_known(f"searched setting of {self.name}", params, self.space)
        fields = {name: getattr(self, name) for name in Trainer.model_fields}
        return Trainer(**{**fields, "settings": {**self.settings, **params}})

    def params_of(self, trainer: Trainer) -> dict[str, Any] | None:
        """Return the params that make exactly this trainer; None if the space does not hold them."""
        params = {name: value for name, value in trainer.settings.items() if name in self.space}
        inside = params.keys() == self.space.keys() and all(self.space[name].holds(params[name]) for name in params)
        return params if inside and self.trainer(params) == trainer else None


class Pruning(Frozen):
    """A trial ends early when its best value so far is below the median of its algorithm's trials at the same step.

    :param after_trials: trials of any algorithm that must be complete first.
    :param from_step: the first step at which a trial may be ended.
    """

    after_trials: int = Field(default=5, ge=1)
    from_step: int = Field(default=0, ge=0)


class Criteria(Frozen):
    """When a search stops; whichever comes first.

    :param target: a value of the product's metric that is good enough.
    :param patience: trials in a row without a gain.
    :param min_gain: what counts as a gain, in the metric's unit.
    :param minutes: budget of training time, all trials' added.
    """

    trials: int = Field(default=24, ge=1, le=MOST_TRIALS)
    target: float | None = None
    patience: int | None = Field(default=None, ge=1)
    min_gain: float = Field(default=0.0, ge=0)
    minutes: float | None = Field(default=None, gt=0)


class Search(Criteria, Placed):
    """What a product's experiments may try.

    A trial trains on the earlier part of a training set's training rows and is judged on their later part. The rows
    that a model is later evaluated on are not among them.

    :param algorithms: the trainers to choose among; one whose packages are not installed is left out.
    :param validation: the later part's share of the training rows, 0 to 1.
    :param seed: settles the first trials' params. Later trials learn from those that ended before them, and with
        several at once that order is not the same in every search.
    :param pruning: None lets every trial come to its end.
    """

    algorithms: tuple[Algorithm, ...] = Field(min_length=1)
    validation: float = Field(default=0.25, gt=0, lt=1)
    seed: int = Field(default=13, ge=0)
    pruning: Pruning | None = Pruning()

    @model_validator(mode="after")
    def _names_once(self) -> Search:
        unique("algorithm declared", [algorithm.name for algorithm in self.algorithms])
        return self

    def criteria(self, **changes: Any) -> Criteria:
        """Return when to stop: as declared, but for what is changed; None leaves a criterion as it is."""
        declared = {name: getattr(self, name) for name in Criteria.model_fields}
        return Criteria(**{**declared, **{name: value for name, value in changes.items() if value is not None}})


def algorithm_of(algorithms: Iterable[Algorithm], name: str) -> Algorithm:
    """Return the algorithm of that name. :raises UnknownNameError: if there is none; lists the known ones."""
    by_name = {algorithm.name: algorithm for algorithm in algorithms}
    only_known("algorithm", [name], by_name)
    return by_name[name]


def incumbent(algorithms: Sequence[Algorithm], trainer: Trainer) -> tuple[Algorithm, dict[str, Any]] | None:
    """Return the algorithm and the params that make the pipeline's trainer; None if the search does not cover it."""
    for algorithm in algorithms:
        if (params := algorithm.params_of(trainer)) is not None:
            return algorithm, params
    return None
