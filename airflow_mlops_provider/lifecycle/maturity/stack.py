"""The stack decision: which vendor fills each part of the architecture, in which version and kind, and why."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Strict

FILE = "stack.toml"
HEAD = """\
# What this installation is built of, and why. `airflow mlops doctor` compares it with what is installed and configured.
# A version or kind that is left out is not compared; a version may be a range, such as ">=3.13,<4". Fill in each why.
"""
#: The parts of a stack, in the order of the paper's components.
PARTS = (
    "ci_cd",
    "source_repository",
    "orchestration",
    "offline_feature_store",
    "online_feature_store",
    "training_infrastructure",
    "experiment_search",
    "model_registry",
    "metadata_store",
    "artifact_store",
    "model_serving",
    "data_validation",
    "drift_detection",
    "monitoring",
)
NONE = "none"


class Part(Strict):
    """A part of the stack.

    :param vendor: the product that fills it; ``none`` where nothing does.
    :param kind: how it is run: a file, a server, an executor, a place.
    :param why: the reason, which a person gives.
    """

    vendor: str
    version: str = ""
    kind: str = ""
    why: str = ""


Stack = dict[str, Part]


def parsed(text: str, where: str) -> Stack:
    """Return the stack that a file declares. :raises ConfigurationError: naming file, table and key."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where} is no TOML: {error}") from None
    unknown = sorted(tables.keys() - set(PARTS))
    if unknown:
        raise ConfigurationError(f"{where}: unknown table [{unknown[0]}]; known: {', '.join(PARTS)}")
    return {name: _part(where, name, table) for name, table in tables.items()}


def _part(where: str, name: str, table: Any) -> Part:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where}: {name} is a {type(table).__name__}; write it as a table, [{name}]")
    try:
        return Part.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{where}: [{name}] {key}: {first['msg']}".replace(" : ", " ")) from None


def written(stack: Mapping[str, Part]) -> str:
    """Return a stack as a file's text, with an empty ``why`` to be filled in."""
    lines = [HEAD]
    for name, part in stack.items():
        # A JSON text is one of TOML's, too.
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in part if value or key == "why"), ""]
    return "\n".join(lines)


def differences(declared: Stack, actual: Stack, fits: Callable[[str, str], bool]) -> Iterator[str]:
    """Yield a line for each part that is another, or of another version or kind, than declared.

    :param fits: says whether a version is what a declared version or range means.
    """
    for name, there in actual.items():
        part = declared.get(name)
        if part is None:
            if there.vendor != NONE:
                yield f"[{name}] is missing; configured is {there.vendor}"
            continue
        for key in ("vendor", "kind", "version"):
            said, is_so = getattr(part, key), getattr(there, key)
            same = fits(is_so, said) if key == "version" else said == is_so
            if said and not same:
                yield f"[{name}] {key} is {said}, but {is_so or 'nothing'} is there"
                break


def unexplained(declared: Stack) -> list[str]:
    """Return the parts of which nobody has said why."""
    return [name for name, part in declared.items() if not part.why.strip()]
