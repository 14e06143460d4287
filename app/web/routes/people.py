"""Routes of ``people/``: rights of data subjects."""

from __future__ import annotations

from collections.abc import Sequence

from app.web.api import access_packages, learner_links, persons, requests, restriction
from app.web.gate import Gate
from app.web.mounting import API, Mounted
from app.web.wiring import Needs


def routes(container: Needs, gate: Gate) -> Sequence[Mounted]:
    """The blueprints."""
    people, longest = container.people, container.settings.statement_bytes
    return (
        Mounted(access_packages.blueprint(gate, people.packages, container.web.exports), API),
        Mounted(persons.blueprint(gate, people.finder, people.erasures, people.disclosures), API),
        Mounted(learner_links.blueprint(gate, people.links), API),
        Mounted(requests.blueprint(gate, people.requests, people.recipients.labels), API),
        Mounted(restriction.blueprint(gate, people.finder, people.restriction, people.rectification, longest), API),
    )
