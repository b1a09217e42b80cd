"""A search's winner as it goes to its reviewers: the settings file, its branch, and the texts that explain it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.settings import Provenance, TrainerSettings, branch_of, changes
from airflow_mlops_provider.lifecycle.trainer import Trainer


class Winner(Frozen):
    """A search's best trial of so many, the settings file that would fix it, and the ``page`` that shows them all."""

    product: str
    settings: TrainerSettings
    provenance: Provenance
    algorithm: str
    trials: int
    stopped: str
    page: str | None = None

    @classmethod
    def of(cls, product: str, facts: dict[str, Any], *, by: str, when: datetime) -> Winner:
        """Return the winner that a report's facts describe. :raises ConfigurationError: if they describe none."""
        try:
            best = facts["best"]
            trial, metric, value = best["trial"], best["metric"], best["value"]
            provenance = Provenance(study=facts["study"], trial=trial, metric=metric, value=value, when=when, by=by)
            trainer = {name: best[name] for name in Trainer.model_fields}
            return cls(
                product=product,
                settings=TrainerSettings(**trainer, provenance=provenance),
                provenance=provenance,
                algorithm=best["algorithm"],
                trials=facts["trials"],
                stopped=facts["stopped"],
                page=facts.get("page_url"),
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise ConfigurationError(f"this report describes no winner: {type(error).__name__}: {error}") from None

    @property
    def branch(self) -> str:
        """The branch that it is committed on."""
        return branch_of(self.product, self.provenance.study)

    @property
    def trailer(self) -> str:
        """The last line of its commit's message, by which another try of the task finds the commit."""
        return f"MLOps-Export: {self.settings.fingerprint}"

    @property
    def title(self) -> str:
        """One line, for a commit and its pull request."""
        origin = self.provenance
        words = f"train as trial {origin.trial} of {_line(origin.study)} ({origin.metric} {origin.value:.4f})"
        return f"{self.product}: {words}"[:100]

    def body(self, current: Trainer | None) -> str:
        """Return what a reviewer should know: what won, how, and what that changes in how production now trains."""
        origin = self.provenance
        reached = f"{origin.metric} {origin.value:.4f} with {_line(self.algorithm)}"
        differing = changes(current, self.settings.trainer())
        lines = [
            f"Trial {origin.trial} of {self.trials} in study {_line(origin.study)} reached {reached}.",
            f"The search stopped: {_line(self.stopped)}.",
            f"Found by {_line(origin.by)}.",
            *([f"Its trials: {_line(self.page)}"] if self.page else []),
            "",
            *(f"- {_line(name)}: {_line(old)} -> {_line(new)}" for name, old, new in differing),
            "",
            "Merging this changes what the automated pipeline trains with; closing it changes nothing.",
        ]
        return "\n".join(lines)

    def message(self, current: Trainer | None) -> str:
        """Return the commit's whole message."""
        return f"{self.title}\n\n{self.body(current)}\n\n{self.trailer}\n"


def _line(value: Any) -> str:
    """Return a value as one line: whatever it holds can't begin a line of its own, such as a trailer."""
    return " ".join(str(value).split())[:300]
