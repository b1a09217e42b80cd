"""What an experiment found, as it goes to those who decide: the file, its branch, and the words that explain it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.product import Trainer
from airflow_mlops_provider.lifecycle.settings import Found, TrainerSettings, branch_of, changes

TRAILER = "MLOps-Export"
TITLE_LENGTH = 100


class Winner(Frozen):
    """A search's best trial.

    :param settings: the file that would fix it.
    :param trials: how many trials it was the best of.
    :param stopped: why the search stopped.
    :param page: where its trials can be looked at; None if nowhere.
    """

    product: str
    settings: TrainerSettings
    found: Found
    algorithm: str
    trials: int
    stopped: str
    page: str | None = None

    @classmethod
    def of(cls, product: str, facts: dict[str, Any], *, by: str, when: datetime) -> Winner:
        """Return the winner that the facts of a search's report describe.

        :raises ConfigurationError: if they describe none.
        """
        try:
            best = facts["best"]
            reached = {name: best[name] for name in ("trial", "metric", "value")}
            found = Found(study=facts["study"], when=when, by=by, **reached)
            return cls(
                product=product,
                settings=TrainerSettings(**{name: best[name] for name in Trainer.model_fields}, found=found),
                found=found,
                algorithm=best["algorithm"],
                trials=facts["trials"],
                stopped=facts["stopped"],
                page=facts.get("page_url"),
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise ConfigurationError(f"this report describes no winner: {type(error).__name__}: {error}") from None

    @property
    def branch(self) -> str:
        """The branch that bears it."""
        return branch_of(self.product, self.found.study)

    @property
    def mark(self) -> str:
        """The last line of its commit's message, by which another try knows it again."""
        return f"{TRAILER}: {self.settings.fingerprint}"

    @property
    def title(self) -> str:
        """One line, for a commit and its pull request."""
        found = self.found
        words = f"train as trial {found.trial} of {_line(found.study)} ({found.metric} {found.value:.4f})"
        return f"{self.product}: {words}"[:TITLE_LENGTH]

    def story(self, known: Trainer | None) -> str:
        """Return what a reviewer should know: what was found, how, and what it changes.

        :param known: how production trains; None where that is not said in such a file.
        """
        found, reached = self.found, f"{self.found.metric} {self.found.value:.4f} with {_line(self.algorithm)}"
        differing = changes(known, self.settings.trainer())
        return "\n".join(
            [
                f"Trial {found.trial} of {self.trials} in study {_line(found.study)} reached {reached}.",
                f"The search stopped: {_line(self.stopped)}.",
                f"Found by {_line(found.by)}.",
                *([f"Its trials: {_line(self.page)}"] if self.page else []),
                "",
                *(f"- {_line(name)}: {_line(old)} -> {_line(new)}" for name, old, new in differing),
                "",
                "Merging this changes what the automated pipeline trains with; closing it changes nothing.",
            ]
        )

    def message(self, known: Trainer | None) -> str:
        """Return the commit's whole message."""
        return f"{self.title}\n\n{self.story(known)}\n\n{self.mark}\n"


def _line(value: Any) -> str:
    """Return a value as one line: whatever it holds can't begin a line of its own, such as a trailer."""
    return " ".join(str(value).split())[:300]
