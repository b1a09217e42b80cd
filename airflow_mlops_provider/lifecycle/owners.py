"""Who answers for a product."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen


class Owners(Frozen):
    """Who answers for the product, by the seven roles of Kreuzberger et al.; each an Airflow user or a mail.

    A role that nobody is named for is the first named person's.
    """

    business_stakeholder: str
    solution_architect: str
    data_scientist: str
    data_engineer: str
    software_engineer: str
    devops_engineer: str
    ml_engineer: str

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        people = [name for name in given.values() if name] if isinstance(given, dict) else []
        return {**dict.fromkeys(cls.model_fields, people[0]), **given} if people else given
