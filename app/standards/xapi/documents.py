"""The document resources, State, Activity Profile and Agent Profile: parameters, merge, entity tags, preconditions.

Sections: xAPI-Communication 2.2 (all three), 2.3 (State), 2.6 (Agent Profile), 2.7 (Activity Profile), 3.1
(concurrency); IEEE 9274.1.1 4.1.4 (concurrency of xAPI 2.0).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from enum import Enum
from typing import Literal, NamedTuple, NoReturn, TypeAlias

from app.core.errors import BadRequest, BodyTooLarge, Fault, MalformedJSON
from app.standards.xapi import parameters
from app.standards.xapi.extent import crowded, deeper
from app.standards.xapi.identifiers import MAX_IDENTIFIER_LENGTH
from app.standards.xapi.media_types import essence
from app.standards.xapi.versions import Bare as Bare
from app.standards.xapi.versions import Version

Method: TypeAlias = Literal["GET", "PUT", "POST", "DELETE"]

_CONCURRENCY = "xAPI-Communication 3.1"
_MERGE = "xAPI-Communication 2.2"
_STORED, _POSTED = "The stored document", "The body"


class Resource(Enum):
    """A document resource; its value names it in the audit log."""

    STATE = "state"
    ACTIVITY_PROFILE = "activity-profile"
    AGENT_PROFILE = "agent-profile"


class _Rules(NamedTuple):
    section: str
    needed: tuple[str, ...]
    optional: tuple[str, ...]
    id: str


_RULES = {
    Resource.STATE: _Rules("xAPI-Communication 2.3", ("activityId", "agent"), ("registration",), "stateId"),
    Resource.ACTIVITY_PROFILE: _Rules("xAPI-Communication 2.7", ("activityId",), (), "profileId"),
    Resource.AGENT_PROFILE: _Rules("xAPI-Communication 2.6", ("agent",), (), "profileId"),
}


class Place(NamedTuple):
    """The documents that a request names: one, or with no ``id`` all those of a context.

    Attributes:
        resource: The resource asked.
        activity: IRI of the activity; None for Agent Profile.
        agent: Canonical identifier of the agent; None for Activity Profile.
        registration: In lower case; None when there is none, or it is not said.
        id: ``stateId`` or ``profileId``, any text.
        since: Only documents stored after this instant, exclusive; microseconds since 1970 UTC.
    """

    resource: Resource
    activity: str | None = None
    agent: str | None = None
    registration: str | None = None
    id: str | None = None
    since: int | None = None


class Content(NamedTuple):
    """A document: its content type as sent, and its bytes."""

    type: str
    body: bytes

    @property
    def is_json(self) -> bool:
        """True if the content type is ``application/json``, whatever its parameters."""
        return essence(self.type) == "application/json"


def parse_place(resource: Resource, method: Method, given: Sequence[tuple[str, str]]) -> Place:
    """Read the query string of a request on a document resource.

    Args:
        resource: The resource asked.
        method: The method; HEAD is read as GET.
        given: Names and decoded values, in the order sent, repeats included.

    Raises:
        BadParameter: unknown, repeated, missing, ill-typed, or not allowed here; names it, the rule and the section.
    """
    section, needed, optional, key = _RULES[resource]
    # xAPI-Communication 2.3, 2.6, 2.7: only lists take `since`; of deletions only that of State may name no document.
    known = {*needed, *optional, key} | ({"since"} if method == "GET" else set())
    found = parameters.once(given, known, section)
    if method in ("PUT", "POST") or (method == "DELETE" and resource is not Resource.STATE):
        needed += (key,)
    for name in needed:
        if name not in found:
            parameters.refuse(name, "missing", f"`{name}` is missing.", section)
    if key in found and "since" in found:
        parameters.refuse("since", "excluded", f"`since` is not allowed beside `{key}`.", section)
    place = Place(resource, id=found.get(key))
    # Only what is stored from now on: what is there can be read and deleted.
    if method in ("PUT", "POST") and len(place.id or "") > MAX_IDENTIFIER_LENGTH:
        parameters.refuse(key, "size", f"`{key}` must have at most {MAX_IDENTIFIER_LENGTH:,} characters.", "Sillage")
    if "activityId" in found:
        place = place._replace(activity=parameters.iri("activityId", found["activityId"], section))
    if "agent" in found:
        place = place._replace(agent=parameters.agent("agent", found["agent"], section))
    if "registration" in found:
        place = place._replace(registration=str(parameters.uuid("registration", found["registration"], section)))
    if "since" in found:
        place = place._replace(since=parameters.instant("since", found["since"], section))
    return place


# --- entity tags and preconditions ----------------------------------------------------------------

ANY: Literal["*"] = "*"
Tags: TypeAlias = frozenset[str] | Literal["*"]

_TAG = r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
_LIST = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")


class Conditions(NamedTuple):
    """The preconditions of a request; None where a header was not sent, ``ANY`` for ``*``."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    @property
    def given(self) -> bool:
        """True if there is any."""
        return self.if_match is not None or self.if_none_match is not None

    @property
    def tags(self) -> frozenset[str]:
        """Every entity tag that they name."""
        return frozenset().union(*(tags for tags in self if isinstance(tags, frozenset)))

    def match_fails(self, current: str | None) -> bool:
        """True if ``If-Match`` is false of a document with this tag; None: there is no document."""
        return self.if_match is not None and not _names(self.if_match, current)

    def none_match_fails(self, current: str | None) -> bool:
        """True if ``If-None-Match`` is false of a document with this tag; None: there is no document."""
        return self.if_none_match is not None and _names(self.if_none_match, current)

    def fail(self, current: str | None) -> bool:
        """True if a change is to be refused with 412 (xAPI-Communication 3.1, RFC 9110 13.1)."""
        return self.match_fails(current) or self.none_match_fails(current)


def _names(tags: Tags, current: str | None) -> bool:
    return current is not None and (tags == ANY or current in tags)


def etag(body: bytes) -> str:
    """The entity tag of a content, without its quotes: SHA-1 in hexadecimal, as xAPI-Communication 3.1 has it."""
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


def conditions(if_match: str | None, if_none_match: str | None) -> Conditions:
    """Read the two headers.

    A weak tag counts as the strong one of the same text: tags are made of the content itself, and what weakens them
    is a proxy that compresses answers; its clients could never change a document otherwise.

    Raises:
        BadRequest: a header is neither ``*`` nor a list of quoted tags.
    """
    return Conditions(_tags("If-Match", if_match), _tags("If-None-Match", if_none_match))


def _tags(name: str, header: str | None) -> Tags | None:
    if header is None:
        return None
    if header.strip() == ANY:
        return ANY
    if not _LIST.fullmatch(header):
        message = f'{name} must be * or entity tags in their quotes, as the ETag of an answer gives them ("…").'
        raise BadRequest(message, faults=[Fault("", "entity-tag", _CONCURRENCY, message)])
    return frozenset(re.findall(_TAG, header))


def bare_put(resource: Resource, version: Version) -> Bare:
    """The effect that a PUT without preconditions may have, in this version."""
    spec = version.spec
    return spec.bare_put_of_state if resource is Resource.STATE else spec.bare_put_of_profile


def refuse_bare() -> NoReturn:
    """Refuse a PUT that needs a header to create a document.

    Raises:
        BadRequest: always.
    """
    message = "Send If-None-Match: * to create this document, or If-Match with its ETag to replace it."
    raise BadRequest(message, faults=[Fault("", "precondition-missing", _CONCURRENCY, message)])


# --- POST -----------------------------------------------------------------------------------------


MAX_VALUES = 250_000
"""Of JSON that is merged, on either side and in the result: an empty object takes a hundred bytes once decoded."""
MAX_DEPTH = 254
"""Levels that it may be nested, as those of a statement."""


def check_posted(posted: Content) -> None:
    """Refuse a POST that says to be JSON and is not, whatever is stored (xAPI-Communication 2.2).

    Raises:
        MalformedJSON: it is not one JSON document in UTF-8, or nested too deeply.
        BodyTooLarge: it has more than ``MAX_VALUES`` values.
    """
    if posted.is_json:
        _members(posted.body, _POSTED)


def merge(stored: Content, posted: Content) -> Content:
    """The stored document with the top-level properties of the posted one set in it (xAPI-Communication 2.2).

    Raises:
        MalformedJSON: the posted document is not JSON.
        BadRequest: one of the two is not ``application/json``, or not a JSON object.
        BodyTooLarge: one of the two, or what they would become, has more than ``MAX_VALUES`` values.
    """
    merged: dict[str, str] = {}
    for content, whose in ((stored, _STORED), (posted, _POSTED)):
        if not content.is_json:
            _unmergeable(f"{whose} is not application/json, so the two cannot be merged. PUT replaces a document.")
        members = _members(content.body, whose)
        if members is None:
            _unmergeable(f"{whose} is not a JSON object, so the two cannot be merged. PUT replaces a document.")
        merged |= members
    written = f"{{{','.join(merged.values())}}}".encode()
    if crowded(written, MAX_VALUES):
        raise _too_many("The merged document")
    return Content(stored.type, written)


def _unmergeable(message: str) -> NoReturn:
    raise BadRequest(message, faults=[Fault("", "document-merge", _MERGE, message)])


def _too_many(whose: str) -> BodyTooLarge:
    return BodyTooLarge(
        f"{whose} holds more than {MAX_VALUES:,} JSON values, which are not merged; nothing was stored. Keep less in "
        "one document; PUT replaces it."
    )


_SPACE = re.compile(r"[ \t\n\r]*")


def _members(body: bytes, whose: str) -> dict[str, str] | None:
    """The members of a JSON object by their key, each as it is written; None of another JSON document.

    What a value is made of is read and let go: no number, and no half of a surrogate pair, is written anew.
    """
    if crowded(body, MAX_VALUES):
        raise _too_many(whose)
    if deeper(body, MAX_DEPTH):
        raise MalformedJSON(f"{whose} is nested more deeply than {MAX_DEPTH} levels; nothing was stored.")
    try:
        text = body.decode()
        members: dict[str, str] | None = None
        at = _after(text, 0)
        if text[at : at + 1] == "{":
            members, at = _object(text, at + 1)
        else:
            _, at = _JSON.raw_decode(text, at)
        if _after(text, at) < len(text):
            raise ValueError("something follows")
    except (ValueError, RecursionError):
        raise MalformedJSON(f"{whose} says to be application/json, and is not one JSON document in UTF-8.") from None
    return members


def _object(text: str, at: int) -> tuple[dict[str, str], int]:
    """The members of an object, from behind its ``{`` on, and where it ends."""
    members: dict[str, str] = {}
    at = _after(text, at)
    if text[at : at + 1] == "}":
        return members, at + 1
    while True:
        key, colon = _JSON.raw_decode(text, at)
        if type(key) is not str:
            raise ValueError("a key is a string")
        written = text[at:colon]
        colon = _after(text, colon)
        _expect(text, colon, ":")
        start = _after(text, colon + 1)
        _, end = _JSON.raw_decode(text, start)
        members[key] = f"{written}:{text[start:end]}"
        at = _after(text, end)
        if text[at : at + 1] == "}":
            return members, at + 1
        _expect(text, at, ",")
        at = _after(text, at + 1)


def _after(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _expect(text: str, at: int, sign: str) -> None:
    if text[at : at + 1] != sign:
        raise ValueError(f"{sign} is missing")


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _nothing(_: object) -> None:
    return None


# Of numbers and objects nothing is kept: where they begin and end is all that is asked.
_JSON = json.JSONDecoder(object_pairs_hook=_nothing, parse_int=bool, parse_float=bool, parse_constant=_no_number)
