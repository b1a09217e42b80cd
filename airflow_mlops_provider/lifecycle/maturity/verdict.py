"""What a look at something comes to: a light, what was seen, and what to do where that is not all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from airflow_mlops_provider.lifecycle.frozen import Frozen

LONGEST = 240


class Light(StrEnum):
    """How a row is shown, the worst first.

    Red: a check failed, or a component is off. Yellow: configured, but not, or only partly, seen working. Grey: this
    release has nothing to show, whoever looks. Green: seen working.
    """

    RED = "red"
    YELLOW = "yellow"
    GREY = "grey"
    GREEN = "green"


class Verdict(Frozen):
    """A light, what was looked at in a line, and what to do next; that is empty where all is well."""

    light: Light
    evidence: str
    next: str = ""

    @property
    def off(self) -> bool:
        return self.light is Light.RED

    @property
    def seen(self) -> bool:
        return self.light is Light.GREEN


def green(evidence: str) -> Verdict:
    """Return that something was seen working."""
    return Verdict(light=Light.GREEN, evidence=bounded(evidence))


def yellow(evidence: str, step: str = "") -> Verdict:
    """Return that something was not, or only partly, seen working, and the next step if that is not the row's own."""
    return Verdict(light=Light.YELLOW, evidence=bounded(evidence), next=step)


def red(evidence: str, step: str = "") -> Verdict:
    """Return that something is off, or wrong, and the next step if that is not the row's own."""
    return Verdict(light=Light.RED, evidence=bounded(evidence), next=step)


def shown(evidence: str, lacking: Iterable[str], words: str = "lacking") -> Verdict:
    """Return that something was seen working, or partly if anything is lacking."""
    names = ", ".join(lacking)
    return yellow("; ".join(filter(None, [evidence, f"{words}: {names}"]))) if names else green(evidence)


def worst(verdicts: Iterable[Verdict], otherwise: Verdict) -> Verdict:
    """Return the first of the worst; ``otherwise`` of none at all."""
    return min(verdicts, key=lambda verdict: [*Light].index(verdict.light), default=otherwise)


def guarded(look: Callable[[], Verdict]) -> Verdict:
    """Return what a look comes to; one that breaks is red, for it has shown nothing, and takes no other with it."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - records of other releases, services in any state
        return red(f"{type(error).__name__}: {error}", "mend what the error names, then look again")


def bounded(text: str) -> str:
    """Return a text as a line that a table can hold."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
