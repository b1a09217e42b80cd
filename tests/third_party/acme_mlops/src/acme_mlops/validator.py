"""A validator whose expectations are plain functions of a table, each named by what it expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.backends.validation.base import PAGE, Validator, Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rule:
    """What is expected, in words, and whether it holds of a table."""

    words: str
    holds: Callable[[pd.DataFrame], bool]


class Rules(Validator):
    """Rules. What decides is this distribution's own code, whose source counts by itself."""

    def validate(
        self, frame: pd.DataFrame, expectations: list[Rule], name: str, folder: Path, left_out: Mapping[str, int]
    ) -> Verdict:
        broken = tuple(line for rule in expectations if (line := self._broken(rule, frame)))
        warnings = tuple(f"{count} rows left out: {reason}" for reason, count in left_out.items())
        lines = "".join(f"<li>{escape(line)}</li>" for line in (*broken, *warnings))
        page = f"<!doctype html><title>{escape(name)}</title><p>{len(frame)} rows</p><ul>{lines}</ul>"
        (folder / PAGE).write_text(page, "utf-8")
        return Verdict(not broken, broken, len(expectations), warnings)

    def _broken(self, rule: Rule, frame: pd.DataFrame) -> str:
        try:
            return "" if rule.holds(frame) else rule.words
        except Exception as error:  # noqa: BLE001  # a rule is anybody's code
            return f"{rule.words}; could not be evaluated: {error}"
