"""What a trainer returned that its flavor can't keep: named, with what would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.extensions import FLAVORS

Fits = Callable[[Any], bool]

_WHERE = "return the model itself, not where it lies; flavor 'mlflow' takes a folder with an MLmodel in it"
#: What to do about things that trainers return by mistake, by the class that they are of.
_ADVICE = {
    "builtins.NoneType": "end the trainer with `return model`",
    "builtins.bytes": "return the model itself: its flavor turns it into files",
    "builtins.str": _WHERE,
    "pathlib.Path": _WHERE,
    "builtins.function": "return what it returns",
    "builtins.coroutine": "a trainer is a plain function: take `async` away",
    "builtins.generator": "a trainer returns its model: put `return` in place of `yield`",
    "mlflow.models.model.ModelInfo": "return the model that was logged",
    "pandas.core.frame.DataFrame": "return the model, not what it predicts",
    "pandas.core.series.Series": "return the model, not what it predicts",
    "numpy.ndarray": "return the model, not what it predicts",
}


def is_any(kind: type, names: tuple[str, ...]) -> bool:
    """Say whether a class is, or descends from, one of those; by name, so that nothing need be imported for it."""
    return any(class_name(base) in names for base in kind.__mro__)


def class_name(kind: type) -> str:
    """Return a class's name with its module's."""
    return f"{kind.__module__}.{kind.__qualname__}"


def misfit(returned: Any, name: str, words: str, fits: Fits) -> ConfigurationError:
    """Return the error for what a flavor can't keep: what it is, what the flavor takes, and what to do.

    :param name: the flavor, as the trainer declares it.
    :param words: what it takes, in words.
    :param fits: says of a thing whether the flavor takes it.
    """
    hints = [_part(returned, fits), _searched(returned, fits), _others(returned, name), _advice(returned)]
    hint = next(filter(None, hints), "")
    _close(returned)
    return ConfigurationError(
        f"the trainer returned {_described(returned)}, but flavor {name!r} takes {words}{'; ' if hint else ''}{hint}"
    )


def _described(returned: Any) -> str:
    if isinstance(returned, type):
        return f"the class {class_name(returned).removeprefix('builtins.')} itself"
    kind = class_name(type(returned)).removeprefix("builtins.")
    if isinstance(returned, tuple | list | Mapping) and returned:
        parts = [class_name(type(part)).removeprefix("builtins.") for _, part in _parts(returned)]
        return f"{kind} of {', '.join(dict.fromkeys(parts))}"[:300]
    return kind


def _parts(returned: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a collection, each with how to come to it."""
    if isinstance(returned, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in returned.items())
    elif isinstance(returned, tuple | list):
        yield from ((f"[{place}]", part) for place, part in enumerate(returned))


def _part(returned: Any, fits: Fits) -> str:
    """Return how to come to the only part of a collection that the flavor takes."""
    fitting = [where for where, part in _parts(returned) if fits(part)]
    if len(fitting) != 1:
        return ""
    return (
        f"return its part {fitting[0]} alone; what a trainer has to say of its model goes into the model's `facts` and "
        "`metrics`"
    )


def _searched(returned: Any, fits: Fits) -> str:
    """Return how to come to the model of a search such as scikit-learn's."""
    best = getattr(returned, "best_estimator_", None)
    return "return its best_estimator_" if fits(best) else ""


def _others(returned: Any, name: str) -> str:
    """Return which flavors take it: the closest first, as a class may descend from classes of several libraries."""
    fitting = [other for other in FLAVORS.builtin if other != name and FLAVORS.find(other).fits(returned)]
    return f"flavor {' or '.join(map(repr, fitting))} would take it" if fitting else ""


def _advice(returned: Any) -> str:
    if isinstance(returned, type):
        return f"return an instance that was fitted: {returned.__name__}(…).fit(features, label)"
    advice = [_ADVICE[class_name(base)] for base in type(returned).__mro__ if class_name(base) in _ADVICE]
    return advice[0] if advice else f"flavors that there are: {', '.join(FLAVORS.known())}"


def _close(returned: Any) -> None:
    """End what never began, so that nothing warns of it later."""
    if class_name(type(returned)) in {"builtins.coroutine", "builtins.generator"}:
        returned.close()
