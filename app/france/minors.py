"""Names, e-mail addresses and national pupil numbers in statements about minors: found, and taken out.

Agents and groups should be known by an opaque account alone. What identifies them openly is found wherever they stand:
names and addresses in every agent, an INE anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from app import lossless
from app.errors import Fault, Place, pointer_to
from app.france import ine

Statement = dict[str, Any]
Pseudonym = Callable[[str, str], str]
"""``pseudonym(kind, value)``: a stable text that stands for a value and tells nothing of it."""

KINDS: Final = ("name", "email", "ine")
STRIP: Final = "strip"
SECTION: Final = "Sillage, statements about minors"
SIGNATURE: Final = "http://adlnet.gov/expapi/attachments/signature"

_WORDS: Final = {
    "name": "A name stands here. Identify people by an opaque account alone.",
    "email": "An e-mail address, or its hash, stands here. Identify people by an opaque account instead.",
    "ine": "What stands here has the form of an INE, the national number of a pupil, which has no place in a trace.",
    "signed": "The statement is signed: nothing can be taken out of it, and its signature repeats it. Sign a "
    "statement without names, e-mail addresses and INE.",
}


class Found(NamedTuple):
    """Something that identifies a person: its kind (one of ``KINDS``) and its place."""

    kind: str
    place: Place

    @property
    def pointer(self) -> str:
        """Its JSON pointer."""
        return pointer_to(self.place)


def find(statement: Statement) -> list[Found]:
    """What identifies people openly in a valid statement."""
    found = []
    for place, agent in _agents(statement, None):
        if "name" in agent:
            found.append(Found("name", (place, "name")))
        found += [Found("email", (place, name)) for name in ("mbox", "mbox_sha1sum") if name in agent]
        account = agent.get("account")
        if account is not None and _is_address(account["name"]):
            found.append(Found("email", ((place, "account"), "name")))
    if ine.possible(lossless.dumps(statement)):
        found += [Found("ine", place) for place in ine.find(statement)]
    return found


def fault(found: Found, prefix: str = "") -> Fault:
    """The fault of what was found; ``prefix``: the pointer of the statement."""
    return Fault(pointer_to(found.place, prefix), f"minors-{found.kind}", SECTION, _WORDS[found.kind])


def signed(statement: Statement) -> bool:
    """Whether a statement has a signature, which what is taken out of it would break (xAPI-Data 2.6)."""
    return any(each.get("usageType") == SIGNATURE for each in statement.get("attachments", ()))


def signed_fault(prefix: str) -> Fault:
    """The fault of a signed statement that something must be taken out of."""
    return Fault(f"{prefix}/attachments", "minors-signed", SECTION, _WORDS["signed"])


def cleaned(statement: Statement, policy: str, pseudonym: Pseudonym, home: str) -> Statement:
    """A copy of a valid statement, valid too, without what ``find`` finds in it.

    Names are taken out (``strip``) or replaced by a pseudonym (``pseudonymise``). An address that identifies an agent
    is replaced by an account with a pseudonym in both: an agent needs an identifier, and the same one throughout. An
    INE is replaced by a pseudonym where it identifies something or is part of a text; ``strip`` takes it out of
    extensions and responses that hold nothing else.

    Args:
        statement: The statement.
        policy: ``strip`` or ``pseudonymise``.
        pseudonym: Gives pseudonyms.
        home: Home page of the accounts that replace addresses.
    """
    copy: Statement = lossless.loads(lossless.dumps(statement))
    for _, agent in _agents(copy, None):
        if "name" in agent:
            if policy == STRIP:
                del agent["name"]
            else:
                agent["name"] = pseudonym("name", agent["name"])
        for name in ("mbox", "mbox_sha1sum"):
            if name in agent:
                # xAPI-Data 2.4.2.3: an agent has one identifier.
                value = agent.pop(name).lower()
                agent["account"] = {"homePage": home, "name": pseudonym("email", value)}
                break
        else:
            account = agent.get("account")
            if account is not None and _is_address(account["name"]):
                address = account["name"].strip().lower().removeprefix("mailto:")
                account["name"] = pseudonym("email", f"mailto:{address}")
    if not ine.possible(lossless.dumps(copy)):
        return copy

    def stand_in(number: str) -> str:
        return pseudonym("ine", number)

    def rewritten(value: Any, free: bool) -> Any:
        if isinstance(value, str):
            return ine.replace(value, stand_in)
        if isinstance(value, dict):
            return {
                ine.replace(key, stand_in): rewritten(member, free or key == "extensions")
                for key, member in value.items()
                if not (policy == STRIP and (free or key == "response") and _bare(member))
            }
        if isinstance(value, list):
            return [rewritten(each, free) for each in value if not (policy == STRIP and free and _bare(each))]
        return value

    return {name: rewritten(part, False) for name, part in copy.items()}


def _is_address(text: str) -> bool:
    """Whether a text, blanks around it aside, is an e-mail address: one @, and a dot within the domain.

    No regular expression: senders choose the text, and the obvious one takes the square of its length.
    """
    words = text.split()
    local, _, domain = words[0].partition("@") if len(words) == 1 else ("", "", "")
    return bool(local) and "@" not in domain and "." in domain[1:-1]


def _bare(value: object) -> bool:
    return isinstance(value, str) and ine.looks_like(value)


def _agents(statement: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every agent and group of a statement, the members of groups too, with its place."""
    yield from _with_members(statement["actor"], (place, "actor"))
    target = statement["object"]
    kind = target.get("objectType")
    if kind in ("Agent", "Group"):
        yield from _with_members(target, (place, "object"))
    elif kind == "SubStatement":
        yield from _agents(target, (place, "object"))
    context = statement.get("context", {})
    for name in ("instructor", "team"):
        if name in context:
            yield from _with_members(context[name], ((place, "context"), name))
    for name, inner in (("contextAgents", "agent"), ("contextGroups", "group")):
        for at, each in enumerate(context.get(name, ())):
            yield from _with_members(each[inner], ((((place, "context"), name), at), inner))


def _with_members(agent: dict[str, Any], place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    yield place, agent
    for at, member in enumerate(agent.get("member", ())):
        yield ((place, "member"), at), member
