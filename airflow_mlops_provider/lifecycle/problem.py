"""What a declaration says of its kind of problem: which, with which options; and metrics, for those who decide by them.

What a kind of problem does is in :mod:`airflow_mlops_provider.problems`; a declaration can be read without that code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict

from airflow_mlops_provider.exceptions import PartError
from airflow_mlops_provider.extensions import PROBLEMS
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.trainer import Code


class ProblemDeclaration(Frozen):
    """A kind of problem with options of its own, such as ``{"kind": "regression", "quantiles": [0.1, 0.5, 0.9]}``."""

    model_config = ConfigDict(extra="allow")

    kind: Annotated[str, PROBLEMS]

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.kind} ({options})" if options else self.kind

    @property
    def options(self) -> dict[str, Any]:
        """What is declared beside the kind."""
        return self.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)


#: A kind of problem as arguments take it: by name, by import path, or with options.
AnyProblem = str | ProblemDeclaration


def _declared(given: Any) -> Any:
    """Return a problem as it travels: by name if it has no options."""
    if isinstance(given, Mapping):
        given = ProblemDeclaration.model_validate(given)
    if not isinstance(given, ProblemDeclaration):
        return given
    kind = PROBLEMS.checked(given.kind or name_of(type(given)))
    return ProblemDeclaration(kind=kind, **given.options) if given.options else kind


def name_of(kind: type) -> str:
    """Return the name of a kind of problem, else its import path."""
    here = [name for name, path in PROBLEMS.known().items() if path.partition(":")[0] == kind.__module__]
    return next((name for name in here if type(PROBLEMS.find(name)) is kind), f"{kind.__module__}:{kind.__qualname__}")


#: A kind of problem as it is declared: a name, an import path, or one with options, such as ``Regression(loss=…)``.
DeclaredProblem = Annotated[
    Annotated[str, AfterValidator(PROBLEMS.checked), PROBLEMS] | ProblemDeclaration, BeforeValidator(_declared)
]


def configured(declared: AnyProblem) -> Any:
    """Return a declared problem with its options set.

    :raises UnknownNameError: if there is none of that name; lists the known names.
    :raises PartError: if what has that name is something else.
    :raises ValueError: for an option that it does not have, or one without which nothing can be done.
    """
    name = declared if isinstance(declared, str) else declared.kind or name_of(type(declared))
    part = PROBLEMS.find(name)
    problem = part if isinstance(declared, str) else type(part).model_validate({"kind": name, **declared.options})
    fields = type(problem).model_fields
    if missing := [fields[name].alias or name for name in problem.required if getattr(problem, name) in (None, ())]:
        given = ", ".join(f"{option}=…" for option in missing)
        raise PartError(f"problem {name!r} needs {', '.join(missing)}: declare {type(problem).__name__}({given})")
    return problem


class Metric(Frozen):
    """A metric: its name, its direction, and the range of its values, without an end where that is None.

    One of your own is a function ``(label, prediction, sample_weight=weights) -> float`` of arrays, as scikit-learn's
    are: ``Metric("kappa", code="sklearn.metrics:cohen_kappa_score", takes="decisions", low=-1)``. Without a parameter
    ``sample_weight`` it is given the rows of a resample as often as they are in it.

    :param code: the function, ``package.module:function``.
    :param takes: what of the predictions: ``scores``, as the model gives them, or ``decisions``, such as the class.
    :param params: what else the function is given.
    """

    name: str
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    code: Code | None = None
    takes: Literal["scores", "decisions"] = "scores"
    params: dict[str, Any] = {}

    def __init__(self, name: str, **fields: Any) -> None:
        super().__init__(**{"name": name, **fields})

    def allows(self, value: float) -> bool:
        """Say whether the metric can have this value: NaN, infinities and what lies out of its range it can't."""
        low, high = self.ends
        return math.isfinite(value) and low <= value <= high

    def allows_gain(self, gain: float) -> bool:
        """Say whether a difference of two of its values can be this."""
        low, high = self.ends
        return math.isfinite(gain) and abs(gain) <= high - low

    def better(self, value: float, other: float) -> bool:
        """Say whether a value is better than another one; an equal one is not."""
        return value > other if self.higher_is_better else value < other

    def meets(self, value: float, limit: float) -> bool:
        """Say whether a value is at least as good as a limit."""
        return value >= limit if self.higher_is_better else value <= limit

    @property
    def missed(self) -> str:
        """On which side of a limit a value lies that does not meet it."""
        return "below" if self.higher_is_better else "above"

    @property
    def ends(self) -> tuple[float, float]:
        """The range, for comparisons; a specification is JSON, which has no infinity."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


#: A metric as arguments take it: one of the problem's by name, or one's own.
AnyMetric = str | Metric


def metric_of(problem: AnyProblem, metric: AnyMetric | None = None) -> Metric:
    """Return a metric of a problem, by default its first. :raises UnknownNameError: if there is none of that name."""
    found: Metric = configured(problem).metric(metric)
    return found


def check_limits(metric: Metric, limits: Mapping[str, float | None], gains: Mapping[str, float]) -> None:
    """Make sure that limits, None for none, lie in the metric's range. :raises ValueError: naming those that don't."""
    wrong = {field: limit for field, limit in limits.items() if limit is not None and not metric.allows(limit)}
    wrong |= {field: gain for field, gain in gains.items() if not metric.allows_gain(gain)}
    if wrong:
        low, high = metric.ends
        given = ", ".join(f"{field}={value:g}" for field, value in wrong.items())
        raise ValueError(f"{given} can't be: {metric.name} lies from {low:g} to {high:g}")
