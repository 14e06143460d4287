"""Readers of statements: whose statements a principal may read."""

from __future__ import annotations

from app.access import scopes
from app.access.principals import Principal
from app.access.reach import Reaches
from app.core.errors import ScopeMissing
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader


def reader(principal: Principal, spoken: Version, reaches: Reaches) -> Reader:
    """Everybody's with ``statements/read``, else those of its own source, as a request in this version gives them; none
    outside its perimeter.

    Raises:
        ScopeMissing: it has no source.
    """
    if scopes.READ in principal.scopes:
        return Reader(principal.id, None, spoken, reaches.of(principal.perimeter))
    if principal.source is None:
        raise ScopeMissing("These credentials belong to no source, so there are no statements of their own to read.")
    return Reader(principal.id, principal.source, spoken, reaches.of(principal.perimeter))
