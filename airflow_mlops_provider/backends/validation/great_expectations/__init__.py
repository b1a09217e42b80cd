"""Great Expectations as a validator; whoever only looks it up does not load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.validation.base import Validator, Verdict

if TYPE_CHECKING:
    import pandas as pd


class GreatExpectations(Validator):
    """Its own expectation objects, or their JSON configurations."""

    packages = ("great-expectations",)
    options = ("parameters", "result_format")

    def validate(
        self,
        frame: pd.DataFrame,
        expectations: list[Any],
        name: str,
        folder: Path,
        left_out: Mapping[str, int],
        *,
        parameters: Mapping[str, Any] | None = None,
        result_format: Any = None,
    ) -> Verdict:
        from airflow_mlops_provider.backends.validation.great_expectations.report import Run, validate

        return validate(frame, expectations, name, folder, left_out, Run(parameters or {}, result_format))


VALIDATOR = GreatExpectations()
