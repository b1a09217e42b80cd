"""How a model is made: the user's function, its settings, and its format; and how a value names such functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, Discriminator, Field, StringConstraints, Tag, field_validator

from airflow_mlops_provider.extensions import FLAVORS
from airflow_mlops_provider.lifecycle.frozen import Frozen

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


MarkT = TypeVar("MarkT")


class NamesCode:
    """Marks a field whose value names code: the source of that code decides a result, too."""


#: The name of a user's function, ``package.module:function``.
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"), NamesCode()]


class Used(Frozen):
    """A module of the users' own that a function's source imports: its code decides what the function does, too."""

    module: Annotated[str, NamesCode()]


class Function(Frozen):
    """A plain function, as it travels.

    :param code: ``package.module:function``, if it can be imported by that.
    :param source: else its source, which needs nothing around it but what it imports.
    :param uses: of that, the users' own modules.
    """

    name: str
    code: Code | None = None
    source: str = ""
    uses: tuple[Used, ...] = ()

    def __str__(self) -> str:
        return self.code or self.name


#: By which of the two forms a value is judged shows at a look, so that an error speaks of that alone.
CodeOrFunction = Annotated[
    Annotated[Code, Tag("name")] | Annotated[Function, Tag("function")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "function"),
]


class Trainer(Frozen):
    """How the model is made.

    :param code: a plain function ``(features: DataFrame, label: Series, settings: dict, seed: int) -> model``. It may
        also have, with a default, a parameter ``checkpoints``, to go on where a killed try ended; and for searches
        ``validation``, inputs and labels of later rows, and ``report(step, value)``, to be told whether to go on.
    :param flavor: the format in which its models are kept: ``lightgbm``, ``torch``, or another's name or import path.
    :param requires: distributions whose versions the result depends on.
    """

    code: CodeOrFunction
    settings: dict[str, Any] = {}
    seed: int = Field(default=13, ge=0, lt=2**31, strict=True)  # what LightGBM, numpy and PyTorch all take
    flavor: Annotated[str, AfterValidator(FLAVORS.checked), FLAVORS] = "lightgbm"
    requires: tuple[str, ...] = ("lightgbm", "numpy", "pandas")

    @field_validator("settings")
    @classmethod
    def _are_json(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """They travel, and decide where a result lies: what JSON can't hold would be noticed by neither."""
        for name, value in settings.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"setting {name!r} is {value!r:.80}, which is no JSON ({error}); give text, finite numbers, truth "
                    "values, or lists and dicts of these"
                ) from None
        return settings


def named_code(value: Any) -> Iterator[tuple[str, str]]:
    """Yield what names code in a value, however deep, as field and ``package.module:function``."""
    return ((field, code) for field, code, _ in named(value, NamesCode))


def named(value: Any, kind: type[MarkT], field: str = "") -> Iterator[tuple[str, str, MarkT]]:
    """Yield each field of a value, however deep, that is marked so: its name, its text, and the mark."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            inner = getattr(value, name)
            where = field if field and name == "code" else name
            # What may also be None has its marks a level deeper.
            marks = [*info.metadata, *(mark for part in get_args(info.annotation) for mark in get_args(part)[1:])]
            mark = next((mark for mark in marks if isinstance(mark, kind)), None)
            if isinstance(inner, str) and mark is not None:
                yield where, inner, mark
            else:
                yield from named(inner, kind, where)
    elif isinstance(value, Mapping | tuple | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from named(inner, kind, field)
