"""How a product's versions go live: who must agree."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

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
    :param people: how many must agree, each another person.
    :param four_eyes: nobody agrees to what they started by hand: the training, or this deployment.
    :param within: how long they have; after that the version is rejected.
    :param remind: how long until they are reminded, and the people of ``escalate`` told; None for no reminder.
    :param escalate: roles whose people may decide, too, and hear of it with the reminder.
    :param by_itself: the gain over the champion from which a version needs nobody, if its whole interval is above: a
        low risk. None: each version needs people.
    """

    roles: Roles = Field(default=("ml_engineer",), min_length=1)
    people: int = Field(default=1, ge=1, le=5)
    four_eyes: bool = False
    within: timedelta = Field(default=timedelta(days=3), gt=timedelta(0))
    remind: timedelta | None = Field(default=None, gt=timedelta(0))
    escalate: Roles = ()
    by_itself: float | None = None

    def people_of(self, owners: Owners) -> dict[str, tuple[str, ...]]:
        """Return who may decide, with the roles that let them."""
        people: dict[str, tuple[str, ...]] = {}
        for role in dict.fromkeys((*self.roles, *self.escalate)):
            person = str(getattr(owners, role))
            people[person] = (*people.get(person, ()), role)
        return people

    def check(self, owners: Owners | None) -> None:
        """Make sure that enough people can agree. :raises ValueError: if not."""
        if owners is None:
            raise ValueError("deployment.approval names roles: say in business.owners who has them")
        if len(people := self.people_of(owners)) < self.people:
            raise ValueError(
                f"deployment.approval.people is {self.people}, and its roles are {', '.join(people)} alone"
            )
        if self.remind and self.remind >= self.within:
            raise ValueError(f"deployment.approval.remind, {self.remind}, comes after its end, {self.within}")


class Deployment(Placed):
    """How a version that passed all gates goes live.

    :param approval: who must agree first; None: the gates are enough.
    """

    approval: Approval | None = None
