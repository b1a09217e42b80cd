"""Which place a product names for the jobs of a stage."""

from __future__ import annotations

from pydantic import Field

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.stages import Stage

#: The sections whose jobs belong to a stage of another name.
SECTIONS = {Stage.VALIDATION: "data", Stage.EXPERIMENTATION: "search"}


class Placed(Frozen):
    """A section of a product whose stage has jobs.

    :param place: where these run, a name of ``[mlops] places``; None: where ``[mlops] default_place`` says.
    """

    place: str | None = Field(default=None, min_length=1)


def section_of(stage: Stage) -> str:
    """Return the name of the section that places a stage's jobs; of some stages a product has none."""
    return SECTIONS.get(stage, stage.value)
