"""Scopes: what a credential may do. xAPI's own names (xAPI-Communication 4.2), and the product's roles."""

from __future__ import annotations

WRITE = "statements/write"
READ_MINE = "statements/read/mine"
READ = "statements/read"
STATE = "state"
PROFILE = "profile"
ALL_READ = "all/read"
ALL = "all"
RESEARCH = "research/read"
GOVERNANCE_READ = "governance/read"
RIGHTS = "rights"
ACCOUNTS = "accounts/write"
LINKS = "links/write"
OWN_QUALITY = "sources/read"
METRICS = "metrics/read"

XAPI = (WRITE, READ_MINE, READ, STATE, PROFILE, ALL_READ, ALL)
EVERY = (*XAPI, RESEARCH, GOVERNANCE_READ, RIGHTS, OWN_QUALITY, ACCOUNTS, LINKS, METRICS)

LIMITED = frozenset({READ, RESEARCH, OWN_QUALITY, GOVERNANCE_READ})
"""Scopes of which something is given within a perimeter; whatever else they allow is refused to who has one."""

SOURCE_DEFAULT = (WRITE, READ_MINE, OWN_QUALITY)
"""Scopes of a new source: it writes, and sees its own statements and how they fared."""

ROLES = {
    "researcher": (RESEARCH,),
    "dpo": (GOVERNANCE_READ, RIGHTS),
    "operator": (METRICS,),
}

_IMPLIED = {
    # xAPI-Communication 4.2: all/read is unrestricted reading, all is unrestricted access, of xAPI resources.
    ALL: {WRITE, READ_MINE, READ, STATE, PROFILE, ALL_READ},
    ALL_READ: {READ, READ_MINE},
    READ: {READ_MINE},
}


def closure(scopes: tuple[str, ...]) -> frozenset[str]:
    """The scopes with everything they imply."""
    return frozenset(scopes).union(*(_IMPLIED.get(scope, set()) for scope in scopes))
