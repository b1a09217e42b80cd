"""What a validator promises: data held against what is expected of it, with a page that a person reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mlops_provider.extensions import VALIDATORS

if TYPE_CHECKING:
    import pandas as pd

PAGE = "validation.html"


@dataclass(frozen=True)
class Verdict:
    """Whether data kept its expectations.

    :param broken: one line for each critical expectation that does not hold, or could not be evaluated.
    :param checked: how many expectations were evaluated.
    :param warnings: such lines of expectations that are no reason to stop.
    """

    passed: bool
    broken: tuple[str, ...]
    checked: int
    warnings: tuple[str, ...] = ()


class Validator(ABC):
    """Holds tables against expectations in terms of its own; a product's ``expectations`` returns them.

    It is looked up wherever an address is computed: its module loads no library but inside of methods.

    :cvar packages: the distributions that decide the verdict.
    :cvar options: what :meth:`validate` takes by keyword beside the rest, where a task gives it.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def validate(
        self, frame: pd.DataFrame, expectations: list[Any], name: str, folder: Path, left_out: Mapping[str, int]
    ) -> Verdict:
        """Hold data against its expectations, and write a page, :data:`PAGE`, and whatever else is worth keeping.

        An expectation that can't be evaluated (column missing, types that do not compare) is broken, with the reason.
        What is written is the same for the same data, and what is shown of it is escaped.

        :param expectations: what the product's or the task's function returned, or what the task was given as JSON;
            left unchanged.
        :param name: the dataset's name, for messages.
        :param folder: an existing, empty folder.
        :param left_out: how many delivered rows are not in the data, by reason; told as a warning.
        """


def validator_of(name: str) -> Validator:
    """Return the validator of that name. :raises UnknownNameError: if there is none; lists the known ones."""
    validator: Validator = VALIDATORS.find(name)
    return validator
