"""The base of every value here, immutable and the same in memory and as JSON; and what JSON and names may be."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from airflow_mlops_provider.exceptions import UnknownNameError

#: Whole numbers beyond these are kept exactly by few readers of JSON.
SMALLEST, LARGEST = -(2**63), 2**64 - 1


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields, NaN and infinities, and round-trips through JSON."""

    # NaN inside of free JSON would else be written as null, and nobody told.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    def to_json(self) -> dict[str, Any]:
        """Return this value as plain JSON types, fit for an XCom or a file."""
        return self.model_dump(mode="json")

    def to_file(self) -> bytes:
        """Return this value as a file's bytes. :raises ValueError: for a number that JSON does not have."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_file(cls, data: bytes) -> Self:
        """Return the value that a file of ours holds. Fields that a newer release added are no reason to refuse it."""
        return cls.model_validate_json(data, extra="allow" if cls.model_config.get("extra") == "allow" else "ignore")


class Strict(Frozen):
    """A value that names an unknown field together with the known ones, and repeats no value in its errors."""

    model_config = ConfigDict(hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, given: Any) -> Any:
        unknown = sorted(set(given) - set(cls.model_fields)) if isinstance(given, dict) else []
        if unknown:
            raise ValueError(
                f"{cls.__name__} has no field {unknown[0]!r}; known: {', '.join(sorted(cls.model_fields))}"
            )
        return given


def canonical(value: Any) -> bytes:
    """Return the one byte string for a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical bytes, as 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def only_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Make sure that all names are known. :raises UnknownNameError: listing those that are not, and those that are."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UnknownNameError(what, ", ".join(unknown), known)


def unique(what: str, names: Iterable[str]) -> None:
    """Make sure that no name comes twice. :raises ValueError: listing those that do."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{what} twice: {', '.join(twice)}")


def plain(value: Any, name: str) -> Any:
    """Return a value as plain JSON types; arrays and numbers of numpy and the like become lists and numbers.

    :param name: what the value is called in the error.
    :raises ValueError: naming what JSON cannot hold: another type, NaN, an infinity, a key that is no text.
    """
    value = _unwrapped(value)
    if isinstance(value, Mapping):
        return {_key(key, name): plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, f"{name}[{number}]") for number, inner in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, int) and SMALLEST <= value <= LARGEST:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, int | float):
        raise ValueError(f"{name} is {_shown(value)}, a number that JSON can't keep")  # noqa: TRY004
    raise ValueError(f"{name} is a {_type(value)}, which JSON can't hold; make it text, a number or a list")


def finite(metrics: Any) -> dict[str, float]:
    """Return metrics as plain numbers by name. :raises ValueError: naming the one that is no finite number."""
    metrics = _unwrapped(metrics)
    if not isinstance(metrics, Mapping):
        raise ValueError(f"metrics are a {_type(metrics)}, not numbers by name")  # noqa: TRY004
    return {_key(name, "metrics"): _number(_unwrapped(value), name) for name, value in metrics.items()}


Json = Annotated[dict[str, Any], BeforeValidator(lambda value: plain(value, "facts"))]
#: As above, for what a job is asked to do.
Params = Annotated[dict[str, Any], BeforeValidator(lambda value: plain(value, "params"))]


def _number(value: Any, name: Any) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"metric {name!r} is a {_type(value)}, not a number")  # noqa: TRY004 - pydantic's own kind
    with suppress(OverflowError):  # of a whole number that is too large for a float
        if math.isfinite(value):
            return float(value)
    raise ValueError(f"metric {name!r} is {_shown(value)}, not a finite number")


def _unwrapped(value: Any) -> Any:
    """Return what a number or an array of numpy, torch and the like holds, without importing any of them."""
    to_list = None if isinstance(value, type) else getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def _key(key: Any, name: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{name} has the key {key!r}, a {_type(key)}; keys are text")  # noqa: TRY004
    return _text(key, name)


def _text(value: str, name: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is text that UTF-8 can't hold: {text[:50]!a}") from None
    return text


def _shown(value: Any) -> str:
    return f"a whole number of {value.bit_length()} bits" if isinstance(value, int) else str(value)


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
