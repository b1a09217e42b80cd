"""What a manifest keeps of an error: bounded, without credentials, and with whether a retry helps."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.records.manifest import Failure, Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime.process.masks import masked

LONGEST_MESSAGE = 4000
#: What code that is wrong raises, on the same inputs each time. Whatever else it raises may come from outside.
MISTAKES: tuple[type[BaseException], ...] = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, NotImplementedError),
    *(GeneratorExit, SyntaxError, SystemExit, TypeError, ValueError),
)


def failed(spec: JobSpec, address: str, error: BaseException, began: datetime) -> Manifest:
    """Return the least that can be told of a job that failed."""
    failure, ended = describe(error), datetime.now(UTC)
    return Manifest(state="failed", spec=spec, address=address, failure=failure, started=began, ended=ended)


def describe(error: BaseException) -> Failure:
    """Return what a manifest keeps of an error, also of one that can't even say what it is."""
    try:
        return _described(error)
    except Exception as second:  # noqa: BLE001  # it is a user's class, and may do anything
        why = f"{type(error).__name__}, which could not be described: {type(second).__name__}"
        return Failure(error=type(error).__name__, message=why, retryable=False)


def _described(error: BaseException) -> Failure:
    kind = type(error)
    plain = isinstance(error, MLOpsError) or kind.__module__ == "builtins"
    message = f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else str(error)
    return Failure(
        error=kind.__name__ if plain else f"{kind.__module__}.{kind.__qualname__}",  # others have a ConflictError, too
        message=_text(message)[:LONGEST_MESSAGE],
        retryable=error.retryable if isinstance(error, MLOpsError) else not isinstance(error, MISTAKES),
        traceback=_text("".join(traceback.format_exception(error)))[-LONGEST_MESSAGE:],
    )


def _text(text: str) -> str:
    return masked(text.encode("utf-8", "backslashreplace").decode())
