"""Roles of persons who sign in, each with what it may do and how long it is given for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from app.access import scopes
from app.access.perimeters import EVERYTHING, Perimeter


class Role(StrEnum):
    """Role of a person; its value is what commands, files of providers and the audit log say."""

    OPERATOR = "operator"
    DPO = "dpo"
    ETHICS = "ethics"
    RESEARCHER = "researcher"
    STATISTICIAN = "statistician"
    SCHOOL_HEAD = "school-head"
    TERRITORY = "territory"
    PRODUCER = "producer"
    LEARNER = "learner"
    GUARDIAN = "guardian"


SCOPES: dict[Role, tuple[str, ...]] = {
    Role.OPERATOR: (scopes.METRICS,),
    Role.DPO: (scopes.GOVERNANCE_READ, scopes.RIGHTS),
    Role.ETHICS: (),
    Role.RESEARCHER: (scopes.RESEARCH,),
    Role.STATISTICIAN: (scopes.RESEARCH,),
    Role.SCHOOL_HEAD: (),
    Role.TERRITORY: (),
    Role.PRODUCER: (scopes.OWN_QUALITY,),
    Role.LEARNER: (),
    Role.GUARDIAN: (),
}
"""Scopes of each role over the API; pages ask for the role itself."""

FAMILY = frozenset({Role.LEARNER, Role.GUARDIAN})
"""Roles of those whose own data are kept, or their child's."""

SECOND_FACTOR = frozenset(Role) - FAMILY
"""Roles of which a local account needs a second factor: whoever may see data of others."""

BOUNDED = {
    Role.PRODUCER: "sources",
    Role.SCHOOL_HEAD: "territories",
    Role.TERRITORY: "territories",
}
"""Roles that are nothing without a bound of that kind of their perimeter."""


class Grant(NamedTuple):
    """A role that a person has.

    Attributes:
        role: The role.
        perimeter: Where it holds.
        ends: The instant from which it is gone; None: with the account.
    """

    role: Role
    perimeter: Perimeter = EVERYTHING
    ends: datetime | None = None


def with_given(held: Iterable[Grant], given: Sequence[Grant]) -> list[Grant]:
    """The grants of an account after it was given some: one of a role and perimeter that it has gets the new end."""
    same = {(grant.role, grant.perimeter) for grant in given}
    return [*(grant for grant in held if (grant.role, grant.perimeter) not in same), *given]


def grants(roles: Iterable[Role], perimeter: Perimeter, ends: datetime | None) -> list[Grant]:
    """Grants of roles within one perimeter; a producer is of one source, so it gets one for each."""
    made: list[Grant] = []
    for role in roles:
        if role is Role.PRODUCER and perimeter.sources:
            each = [perimeter._replace(sources=frozenset({source})) for source in sorted(perimeter.sources)]
            made.extend(Grant(role, one, ends) for one in each)
        else:
            made.append(Grant(role, perimeter, ends))
    return made
