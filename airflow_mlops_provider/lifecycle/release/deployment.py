"""How a product's versions go live: who must agree, and how many calls they answer before they answer all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known
from airflow_mlops_provider.lifecycle.owners import Owners
from airflow_mlops_provider.lifecycle.placed import Placed


def _roles(names: tuple[str, ...]) -> tuple[str, ...]:
    only_known("role", names, Owners.model_fields)
    return names


Roles = Annotated[tuple[str, ...], AfterValidator(_roles)]


class Approval(Frozen):
    """Who must agree before a version goes live. Silence is a no.

    :param roles: of ``business.owners``, whose people decide.
    :param airflow_roles: roles of Airflow's auth manager, whose users may decide as well, as long as they have them.
    :param people: how many must agree, each another person.
    :param four_eyes: nobody agrees to what they started by hand: the training, or this deployment.
    :param within: how long they have; after that the version is rejected.
    :param remind: how long until they are reminded, and the people of ``escalate`` told; None for no reminder.
    :param escalate: roles whose people may decide, too, and hear of it with the reminder.
    :param by_itself: the gain over the champion from which a version needs nobody, if its whole interval is above: a
        low risk. None: each version needs people.
    :param first_by_itself: whether the first version, in whose place nothing has ever served, needs nobody either.
    """

    roles: Roles = ("ml_engineer",)
    airflow_roles: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    people: int = Field(default=1, ge=1, le=5)
    four_eyes: bool = False
    within: timedelta = Field(default=timedelta(days=3), gt=timedelta(0))
    remind: timedelta | None = Field(default=None, gt=timedelta(0))
    escalate: Roles = ()
    by_itself: float | None = None
    first_by_itself: bool = False

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.all_roles:
            raise ValueError("deployment.approval names no roles: give roles, of business.owners, or airflow_roles")
        return self

    @property
    def all_roles(self) -> tuple[str, ...]:
        """The roles whose people decide: the owners' and Airflow's."""
        return (*self.roles, *self.airflow_roles)

    def people_of(
        self, owners: Owners, holders: Mapping[str, Sequence[str]] | None = None, *, escalated: bool = True
    ) -> dict[str, tuple[str, ...]]:
        """Return who may decide, with the roles that let them.

        :param holders: who has which of ``airflow_roles``. :param escalated: with the people of ``escalate``.
        """
        people: dict[str, tuple[str, ...]] = {}
        for role in dict.fromkeys((*self.roles, *(self.escalate if escalated else ()))):
            person = str(getattr(owners, role))
            people[person] = (*people.get(person, ()), role)
        for person, had in (holders or {}).items():
            if own := tuple(role for role in had if role in self.airflow_roles):
                people[person] = (*people.get(person, ()), *own)
        return people

    def check(self, owners: Owners | None) -> None:
        """Make sure that enough people can agree. :raises ValueError: if not."""
        if owners is None:
            raise ValueError("deployment.approval names roles: say in business.owners who has them")
        if len(people := self.people_of(owners)) < self.people and not self.airflow_roles:
            raise ValueError(
                f"deployment.approval.people is {self.people}, and its roles are {', '.join(people)} alone"
            )
        if self.remind and self.remind >= self.within:
            raise ValueError(f"deployment.approval.remind, {self.remind}, comes after its end, {self.within}")


class RolloutLimits(Frozen):
    """What a candidate may do worse than the live version, on the calls that both predict, before it is taken back.

    :param errors: the share of calls that it may fail, or answer too late.
    :param latency: how many times as long its p99, and its p90, may be; 10 ms more are never too long.
    :param shift: the largest difference between the two cumulative distributions of predictions, from 0 to 1; what may
        be chance comes on top: 0.2 for 1,000 rows, 0.07 for 10,000.
    :param missing: by which share more of its input values may be missing than of the live version's.
    :param metric: by how much it may be worse in the product's metric, in that metric's unit, once enough labels have
        arrived; None: it is not judged by labels.
    :param memory: by how many MiB the server may grow once the candidate is loaded.
    :param start: how long it may take to load.
    """

    errors: float = Field(default=0.01, gt=0, lt=1)
    latency: float = Field(default=2.0, ge=1)
    shift: float = Field(default=0.1, gt=0, lt=1)
    missing: float = Field(default=0.1, gt=0, lt=1)
    metric: float | None = Field(default=None, ge=0)
    memory: int = Field(default=512, gt=0)
    start: timedelta = Field(default=timedelta(minutes=5), gt=timedelta(0))


class Rollout(Frozen):
    """How a version goes live step by step, judged beside the one that is: first in shadow, then as a canary.

    :param shadow: how long it predicts what is asked of the live version, and nobody sees it; 0 for no such phase.
    :param canary: the share of calls that it then answers, always those of the same entities; 0 for no such phase.
    :param bake: how long it does so before it answers all.
    :param calls: how many calls it must have predicted in each phase before the next.
    :param within: how long all of it may take; after that the version is rejected.
    :param limits: what takes it back.
    """

    shadow: timedelta = Field(default=timedelta(minutes=10), ge=timedelta(0))
    canary: float = Field(default=0.1, ge=0, lt=1)
    bake: timedelta = Field(default=timedelta(minutes=30), ge=timedelta(0))
    calls: int = Field(default=1000, ge=1)
    within: timedelta = Field(default=timedelta(days=1), gt=timedelta(0))
    limits: RolloutLimits = RolloutLimits()

    @model_validator(mode="after")
    def _has_a_phase(self) -> Self:
        if not self.shadow and not self.canary:
            raise ValueError("a rollout has a phase in shadow, a canary, or both: give shadow or canary")
        planned = self.shadow + (self.bake if self.canary else timedelta(0))
        if self.within <= planned:
            raise ValueError(f"within={self.within} is no longer than shadow and bake together, {planned}")
        return self


class Deployment(Placed):
    """How a version that passed all gates goes live.

    :param approval: who must agree first; None: the gates are enough.
    :param rollout: how it comes to answer all calls; None: at once.
    """

    approval: Approval | None = None
    rollout: Rollout | None = None
