"""Rules of a sign-in provider: from claims to roles with their perimeters. What is not said gives nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.access.perimeters import SCHOOL, Perimeter, Territory, territory
from app.access.roles import Grant, grants
from app.access.sign_in.providers.client import Claims, texts
from app.access.sign_in.providers.files import Rule
from app.standards.france import uai


def granted(rules: Sequence[Rule], claims: Claims, ends: datetime) -> list[Grant]:
    """The grants that the claims of somebody give them, each once."""
    made: list[Grant] = []
    for rule in rules:
        if not all(set(texts(claims.get(name))) & set(wanted) for name, wanted in rule.when.items()):
            continue
        territories = {territory(each) for each in rule.territories}
        if rule.schools_from is not None:
            schools = {Territory(SCHOOL, code.upper()) for code in texts(claims.get(rule.schools_from))}
            schools = {each for each in schools if uai.valid(each.code)}
            if not schools:
                # A school that is not said is no school, not every school.
                continue
            territories |= schools
        perimeter = Perimeter(
            frozenset(rule.activities) or None, frozenset(rule.sources) or None, frozenset(territories) or None
        )
        made.extend(each for each in grants([rule.role], perimeter, ends) if each not in made)
    return made
