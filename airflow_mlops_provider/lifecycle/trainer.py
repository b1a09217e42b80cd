"""How a model is made: the user's function, its settings, and the format that it is kept in."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from airflow_mlops_provider.lifecycle.code import Code as Code  # noqa: PLC0414  # declared with a trainer
from airflow_mlops_provider.lifecycle.frozen import Frozen

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Trainer(Frozen):
    """How the model is made.

    :param code: a plain function ``(features: DataFrame, label: Series, settings: dict, seed: int) -> model``. It may
        also have, with a default, a parameter ``checkpoints``, to go on where a killed try ended; and for searches
        ``validation``, inputs and labels of later rows, and ``report(step, value)``, to be told whether to go on.
        One that also has a parameter ``checkpoints`` is given what keeps how far it has come, and goes on from there
        when it was killed.
    :param flavor: the format in which the model is kept.
    :param requires: distributions whose versions the result depends on.
    """

    code: Code
    settings: dict[str, Any] = {}
    seed: int = Field(default=13, ge=0, lt=2**31, strict=True)  # what LightGBM, numpy and PyTorch all take
    flavor: Literal["lightgbm", "torch"] = "lightgbm"
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
