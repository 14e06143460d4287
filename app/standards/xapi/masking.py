"""Other people in a statement, masked: what one person is told must not tell of another (GDPR art. 15(4)).

An agent or group that is not the person's becomes an account without meaning, the same throughout one ``Mask``:
"person 1", "group 1". The result is a valid statement. The authority is the tool that sent it, and stays. What stands
in free text is looked at for e-mail addresses, and for the identifiers and names of those who are masked in the same
statement; a name that only a text holds stays.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.standards.xapi import Statement
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.known_texts import KnownTexts

HOME: Final = "urn:sillage:masked"
"""Home page of the accounts that stand for other people."""

ACTOR: Final = "actor"
OBJECT: Final = "object"
INSTRUCTOR: Final = "instructor"
TEAM: Final = "team"
CONTEXT_AGENT: Final = "context-agent"
CONTEXT_GROUP: Final = "context-group"
ROLES: Final = (ACTOR, OBJECT, INSTRUCTOR, TEAM, CONTEXT_AGENT, CONTEXT_GROUP)
"""Roles of a person in a statement; a member of a group stands where the group does."""

WITHHELD: Final = ("result", "attachments", "context/extensions")
"""Parts that speak of someone else, where the person stands in the context of that one's statement only."""

_SPEAKS_OF: Final = frozenset({ACTOR, OBJECT})
# An address, looked for from its @ in both directions: a long text without any costs one look at each character.
_FROM_AT: Final = re.compile(r"@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_LOCAL_PART: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+")
_MAX_LOCAL: Final = 64
# Shorter ones would be found within words that have nothing to do with them.
_MIN_LENGTH: Final = 4

_Part = dict[str, Any]


class Masked(NamedTuple):
    """A statement in which nobody but one person, and the tool, is identified.

    Attributes:
        statement: The very object that was given when there was nobody else in it.
        roles: Where the person stands, in the order of ``ROLES``; those within a SubStatement count as its own do.
        withheld: Which of ``WITHHELD`` were taken out.
    """

    statement: Statement
    roles: tuple[str, ...]
    withheld: tuple[str, ...] = ()


class Mask:
    """Masks statements for one person; whoever is masked has the same pseudonym in each."""

    def __init__(self, own: Collection[str], key: bytes) -> None:
        """``own``: the person's canonical identifiers (``agent_identifier``); ``key``: 32 random bytes, used once.

        Of those who are masked only a keyed hash is kept, 16 bytes each.
        """
        self._own = frozenset(own)
        self._key = key
        self._numbers: dict[bytes, int] = {}
        self._agents = self._groups = 0
        self._own_texts = frozenset(text.lower() for identifier in own for text in _texts_of_identifier(identifier))

    @property
    def agents(self) -> int:
        """The number of other people, and identified groups, that were masked."""
        return len(self._numbers)

    def masked(self, statement: Statement) -> Masked:
        """The statement, valid and as kept, with everybody else masked."""
        seen = _Seen()
        shaped = self._statement(statement, seen)
        roles = tuple(role for role in ROLES if role in seen.roles)
        if not seen.anyone and not self._foreign_addresses(_free_texts(shaped)):
            return Masked(statement, roles)
        return Masked(_rewritten(shaped, self._scrubbed(seen)), roles)

    def of_others(self, statement: Statement, *, about: bool = False) -> Masked:
        """As ``masked``, of a statement that is not the person's own.

        Where the person stands in its context only (as instructor, say), what it says of its actor is withheld.

        Args:
            statement: The statement.
            about: Whether it is about what the person did, for example a correction of it: then nothing is withheld.
        """
        masked = self.masked(statement)
        if about or not _SPEAKS_OF.isdisjoint(masked.roles):
            return masked
        kept, withheld = _without(masked.statement)
        return Masked(kept, masked.roles, withheld)

    # --- agents ---------------------------------------------------------------------------------------

    def _statement(self, statement: Statement, seen: _Seen) -> Statement:
        changes: _Part = {"actor": self._agent(statement["actor"], ACTOR, seen)}
        target = statement["object"]
        kind = target.get("objectType", "Activity")
        if kind in ("Agent", "Group"):
            changes["object"] = self._agent(target, OBJECT, seen)
        elif kind == "SubStatement":
            changes["object"] = self._statement(target, seen)
        context = statement.get("context")
        if context is not None:
            changes["context"] = self._context(context, seen)
        return {**statement, **changes}

    def _context(self, context: _Part, seen: _Seen) -> _Part:
        changes: _Part = {
            name: self._agent(context[name], role, seen)
            for name, role in (("instructor", INSTRUCTOR), ("team", TEAM))
            if name in context
        }
        # xAPI 2.0 only.
        for name, inner, role in (
            ("contextAgents", "agent", CONTEXT_AGENT),
            ("contextGroups", "group", CONTEXT_GROUP),
        ):
            if name in context:
                changes[name] = [{**each, inner: self._agent(each[inner], role, seen)} for each in context[name]]
        return {**context, **changes}

    def _agent(self, agent: _Part, role: str, seen: _Seen) -> _Part:
        identifier = agent_identifier(agent)
        group = agent.get("objectType") == "Group" or "member" in agent
        if identifier in self._own:
            seen.roles.add(role)
            shaped = dict(agent)
        elif identifier is None:
            # An anonymous group: its name may be made of its members'.
            shaped = {name: part for name, part in agent.items() if name != "name"}
            if "name" in agent:
                seen.masks(agent["name"], "group")
        else:
            pseudonym = self._pseudonym(identifier, group)
            shaped = {
                "objectType": "Group" if group else "Agent",
                "name": pseudonym,
                "account": {"homePage": HOME, "name": pseudonym.replace(" ", "-")},
            }
            seen.masks(agent.get("name", ""), pseudonym)
            for text in _texts_of_identifier(identifier):
                seen.masks(text, pseudonym)
        if "member" in agent:
            shaped["member"] = [self._agent(each, role, seen) for each in agent["member"]]
        return shaped

    def _pseudonym(self, identifier: str, group: bool) -> str:
        known = hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()
        number = self._numbers.get(known)
        if number is None:
            if group:
                self._groups += 1
            else:
                self._agents += 1
            number = self._numbers[known] = self._groups if group else self._agents
        return f"{'group' if group else 'person'} {number}"

    # --- free text ------------------------------------------------------------------------------------

    def _foreign_addresses(self, texts: Sequence[str]) -> bool:
        # Most statements have no address at all: all their texts are looked through at once.
        return "@" in "".join(texts) and any(
            text[start:end].lower() not in self._own_texts for text in texts for start, end in _addresses(text)
        )

    def _scrubbed(self, seen: _Seen) -> Callable[[str], str]:
        known = KnownTexts({text: name for text, name in seen.others.items() if text.lower() not in self._own_texts})

        def scrub(text: str) -> str:
            text = known.replaced(text)
            parts: list[str] = []
            at = 0
            for start, end in _addresses(text):
                if text[start:end].lower() not in self._own_texts:
                    parts += (text[at:start], "(e-mail)")
                    at = end
            return "".join((*parts, text[at:]))

        return scrub


class _Seen:
    """The agents met in a statement: the person's roles, anyone else, and the texts by which others are known."""

    def __init__(self) -> None:
        self.roles: set[str] = set()
        self.anyone = False
        self.others: dict[str, str] = {}

    def masks(self, text: str, pseudonym: str) -> None:
        self.anyone = True
        if len(text.strip()) >= _MIN_LENGTH:
            self.others.setdefault(text.strip(), pseudonym)


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """The begin and the end of each e-mail address in a text, in their order."""
    after = 0
    for found in _FROM_AT.finditer(text) if "@" in text else ():
        local = _LOCAL_PART.match(text[max(after, found.start() - _MAX_LOCAL) : found.start()][::-1])
        if local is not None:
            after = found.end()
            yield found.start() - local.end(), after


def _texts_of_identifier(identifier: str) -> tuple[str, ...]:
    """Texts by which one who reads would know who it is: address, hash, account name, openid."""
    kind, _, rest = identifier.partition(":")
    if kind == "account":
        return (rest.partition("|")[2],)
    if kind == "mbox":
        return (rest.removeprefix("mailto:"),)
    return (rest,)


def _without(statement: Statement) -> tuple[Statement, tuple[str, ...]]:
    """The statement, and a SubStatement in it, less what speaks of its actor; and what was taken out."""
    withheld: list[str] = [name for name in ("result", "attachments") if name in statement]
    kept = {name: part for name, part in statement.items() if name not in withheld}
    context = kept.get("context")
    if context is not None and "extensions" in context:
        kept["context"] = {name: part for name, part in context.items() if name != "extensions"}
        withheld.append("context/extensions")
    target = kept["object"]
    if target.get("objectType") == "SubStatement":
        kept["object"], inner = _without(target)
        withheld += inner
    return kept, tuple(name for name in WITHHELD if name in withheld)


def _rewritten(statement: Statement, scrub: Callable[[str], str]) -> Statement:
    """The statement with its free texts rewritten: results, extensions, what is said of activities, their ids."""
    shaped = dict(statement)
    for name in ("result", "attachments"):
        if name in shaped:
            shaped[name] = _deep(shaped[name], scrub)
    context = shaped.get("context")
    if context is not None:
        shaped["context"] = {
            name: _member(name, part, scrub) if name in ("extensions", "contextActivities") else part
            for name, part in context.items()
        }
    target = shaped["object"]
    kind = target.get("objectType", "Activity")
    if kind == "SubStatement":
        shaped["object"] = _rewritten(target, scrub)
    elif kind == "Activity":
        shaped["object"] = _deep(target, scrub)
    return shaped


# What is no text of people's: rewriting it would make the statement another one, or an invalid one.
_NOT_TEXT: Final = frozenset({"objectType", "type", "interactionType", "usageType", "contentType", "sha2", "duration"})


def _deep(value: Any, scrub: Callable[[str], str], *, free: bool = False) -> Any:
    """A value with its texts rewritten; ``free``: it is within an extension, where names of properties are texts."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        if free:
            return _named(value, scrub)
        return {name: part if name in _NOT_TEXT else _member(name, part, scrub) for name, part in value.items()}
    if isinstance(value, list):
        return [_deep(each, scrub, free=free) for each in value]
    return value


def _member(name: str, part: Any, scrub: Callable[[str], str]) -> Any:
    if name == "extensions" and isinstance(part, dict):
        # The IRIs of extensions stay, or the statement would not be valid.
        return {iri: _deep(inner, scrub, free=True) for iri, inner in part.items()}
    return _deep(part, scrub)


def _named(value: _Part, scrub: Callable[[str], str]) -> _Part:
    """An object within an extension, the names of its properties rewritten too: senders list people by them."""
    rewritten: _Part = {}
    numbers: dict[str, int] = {}
    for name, part in value.items():
        new = text = scrub(name)
        number = numbers.get(new, 1)
        # Two that are alike by now are still two. Each goes on counting where the last one like it ended.
        while text in rewritten:
            number += 1
            text = f"{new} ({number})"
        numbers[new] = number
        rewritten[text] = _deep(part, scrub, free=True)
    return rewritten


def _free_texts(statement: Statement) -> list[str]:
    """Every text in which an address may stand, of a statement without other people."""
    texts: list[str] = []
    stack: list[Any] = [statement.get("result"), statement.get("attachments"), statement["object"]]
    context: Mapping[str, object] = statement.get("context", {})
    stack += [context.get("extensions"), context.get("contextActivities")]
    while stack:
        value = stack.pop()
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is dict:
            # Names of properties, too: those within extensions may be anything.
            texts += value
            stack += value.values()
        elif kind is list:
            stack += value
    return texts
