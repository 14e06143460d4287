"""Identifiers of one data subject in a form: they stand in no address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from app.core.errors import BadRequest
from app.people.audit_search import read_agents
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.web.portal.forms import Form

ACCOUNTS: Final = 3
"""Accounts for which a form has fields; others go into the field for agents."""


class Said(NamedTuple):
    """The agents that a form says.

    Attributes:
        agents: As xAPI Agents.
        faults: What is wrong, by the name of the field: ``half`` of an account, ``invalid``; of ``who``: ``nobody``,
            ``many``.
    """

    agents: tuple[object, ...]
    faults: Mapping[str, str]

    @property
    def data_subject(self) -> IdentifiedDataSubject:
        """The data subject; for agents without faults."""
        return data_subject_of(self.agents)


def said(form: Form) -> Said:
    """The identifiers in a form: accounts, addresses and OpenIDs one a line, agents as JSON."""
    found: list[tuple[str, object]] = []
    faults: dict[str, str] = {}
    for place in range(1, ACCOUNTS + 1):
        home, name = form.text(f"home{place}"), form.text(f"name{place}")
        if home and name:
            found.append((f"home{place}", {"account": {"homePage": home, "name": name}}))
        elif home or name:
            faults[f"name{place}" if home else f"home{place}"] = "half"
    for line in form.text("mbox").splitlines():
        if line.strip():
            address = line.strip().removeprefix("mailto:")
            found.append(("mbox", {"mbox": f"mailto:{address}"}))
    found += [("openid", {"openid": line.strip()}) for line in form.text("openid").splitlines() if line.strip()]
    agents = form.text("agents")
    if agents:
        try:
            found += [("agents", each) for each in read_agents(agents.encode())]
        except BadRequest:
            faults["agents"] = "invalid"
    for field, agent in found:
        try:
            data_subject_of([agent])
        except BadRequest:
            faults[field] = "invalid"
    listed = tuple(agent for _, agent in found)
    if not faults:
        try:
            data_subject_of(listed)
        except BadRequest:
            faults["who"] = "many" if listed else "nobody"
    return Said(listed, faults)
