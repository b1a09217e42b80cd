"""Scoring without a product: rows go to the model as they are, and what a model takes says what rows there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.models.columns import Column, by_columns
from airflow_mlops_provider.backends.models.inputs import described, is_text
from airflow_mlops_provider.lifecycle.problem import AnyProblem
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Scoring
from airflow_mlops_provider.lifecycle.source import EVENT_TIME

if TYPE_CHECKING:
    from airflow_mlops_provider.lifecycle.source import DataType

ASSEMBLE = f"{__name__}:assemble"


def scoring_of(name: str, problem: AnyProblem, folder: Path) -> Scoring:
    """Return what callers of a model give: each input by its name, text for categories that are text, else a number.

    :param folder: holds the model.
    """
    request: dict[str, DataType] = {}
    for entry in described(folder)["inputs"]:
        request[entry["name"]] = "string" if is_text(entry) else "float64"
    label = LabelColumns(column="label", known_at="label_known_at")  # nobody asks for it
    return Scoring(name=name, problem=problem, views=(), request=request, label=label, assemble=ASSEMBLE)


@by_columns
def assemble(rows: Mapping[str, Column]) -> dict[str, Column]:
    """Return rows without their time, which such a model knows nothing of."""
    return {name: values for name, values in rows.items() if name != EVENT_TIME}
