"""Bodies that ask for much with little: shapes of JSON, places of a statement where they stand, lists, faults.

A *shape* is a JSON value of about so many bytes. A *slot* is a place of a statement that takes one. A *list* is a part
of a statement that senders may repeat as they like. Each is pure: the same size gives the same bytes, so that a case
can be named by its words. Most pack to nothing under gzip: few bytes on the wire, many in the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson

Shape = Callable[[int], bytes]
Slot = Callable[[bytes], bytes]
List = Callable[[int], dict[str, Any]]


def joined(piece: Callable[[int], str], size: int) -> bytes:
    """Pieces 0, 1, 2… with commas between, as long as they fit."""
    about = len(piece(1_000).encode()) + 1
    return ",".join(map(piece, range(max(1, size // about)))).encode()


def _array(piece: Callable[[int], str]) -> Shape:
    return lambda size: b"[" + joined(piece, size) + b"]"


def _object(piece: Callable[[int], str]) -> Shape:
    return lambda size: b"{" + joined(piece, size) + b"}"


def _under_long_keys(levels: int, inner: Shape) -> Shape:
    """Some levels of objects, the keys of which take half of the size; the rest within the last."""

    def shape(size: int) -> bytes:
        key = b"K" * (size // 2 // levels)
        return b"".join([b'{"' + key + b'":'] * levels) + inner(size // 2) + b"}" * levels

    return shape


def _nested(opening: bytes, closing: bytes, levels: int, inner: Shape) -> Shape:
    return lambda size: (
        opening * levels + inner(max(8, size - (len(opening) + len(closing)) * levels)) + closing * levels
    )


def _text(unit: str) -> Shape:
    return lambda size: b'"' + unit.encode() * (size // len(unit.encode())) + b'"'


def _wide_and_deep(size: int) -> bytes:
    levels = 100
    row = joined(lambda place: f'"k{place}":0', size // levels)
    return b"".join([b"{" + row + b',"n":'] * levels) + b"0" + b"}" * levels


_numbers = _array(lambda _: "1")
_keys = _object(lambda place: f'"k{place:07d}":1')

SHAPES: Final[Mapping[str, Shape]] = {
    "numbers": _numbers,
    "numbers under a long key": _under_long_keys(1, _numbers),
    "numbers under fifty long keys": _under_long_keys(50, _numbers),
    "keys": _keys,
    "keys under a long key": _under_long_keys(1, _keys),
    "long keys": _object(lambda place: f'"{place:07d}{"k" * 1_000}":1'),
    "one key of one key": _array(lambda _: '{"a":1}'),
    "empty objects": _array(lambda _: "{}"),
    "empty arrays": _array(lambda _: "[]"),
    "nested arrays": _nested(b"[", b"]", 200, _numbers),
    "nested objects": _nested(b'{"a":', b"}", 200, _numbers),
    "nested, with long keys": _under_long_keys(200, _numbers),
    "wide and deep": _wide_and_deep,
    "too deep": _nested(b"[", b"]", 600, _numbers),
    "text": _text("a"),
    "spaces": _text(" "),
    "escapes": _text('\\"'),
    "escaped quotes": _text("\\u0022"),
    "letters of three bytes": _text("\u20ac"),
    "escaped pairs": _text("\\ud83d\\ude00"),
    "halves of pairs": _text("\\ud800"),
    "capitals that grow": _text("\u0130"),
    "control characters": _text("\\u0000"),
    "addresses": _text("a@b.fr "),
    "nearly addresses": _text("a@"),
    "dots before an at": lambda size: b'"' + b"a." * (size // 2) + b'@"',
    "addresses as keys": _object(lambda place: f'"p{place}@ent.example":1'),
    "addresses in an array": _array(lambda place: f'"p{place}@ent.example"'),
    "INE": _array(lambda place: f'"{place % 10**9:09d}AB"'),
    "INE as keys": _object(lambda place: f'"{place % 10**9:09d}AB":1'),
    "nearly INE": _text("1234567890"),
    "names of others": _array(lambda place: f'"Prenom Nom {place}"'),
    "IRI": _array(lambda place: f'"https://ent.example/{place}"'),
    "digits": lambda size: b"1" * size,
    "decimals": lambda size: b"0." + b"1" * size,
    "a long exponent": lambda size: b"1e" + b"0" * size + b"1",
    "long integers": _array(lambda place: f"9{place:030d}"),
    "exponents": _array(lambda place: f"{place % 10}.5e-{place % 300}"),
    "the same key": _object(lambda _: '"a":1'),
    "the same long key": _object(lambda _: f'"{"k" * 1_000}":1'),
    "objects with the same key": _array(lambda _: '{"a":1,"a":1}'),
    "nulls": _array(lambda _: "null"),
    "language tags": _object(lambda place: f'"fr-x-{place:07d}":"t"'),
    "long language tags": _object(lambda place: f'"fr-{"-".join(["abcdefgh"] * 20)}-{place:07d}":"t"'),
    "timestamps": _array(lambda _: '"2026-01-01T00:00:00.000Z"'),
    "broken, in the end": lambda size: _numbers(size)[:-1],
    "not UTF-8, in the end": lambda size: b'"' + b"a" * size + b'\xff"',
}

# --- places -----------------------------------------------------------------------------------------------

ACTOR: Final = b'{"account":{"homePage":"https://ent.example","name":"planted"}}'
VERB: Final = b'{"id":"https://ent.example/verbs/did"}'
ACTIVITY: Final = b'{"id":"https://ent.example/activities/a"}'
EXTENSION: Final = b"https://ent.example/extensions/x"


def members(*, actor: bytes = ACTOR, verb: bytes = VERB, target: bytes = ACTIVITY, more: bytes = b"") -> bytes:
    """A statement from the JSON of its parts; ``more`` begins with a comma."""
    return b'{"actor":' + actor + b',"verb":' + verb + b',"object":' + target + more + b"}"


def _activity(definition: bytes) -> bytes:
    return b'{"id":"https://ent.example/activities/a","definition":' + definition + b"}"


def _with(before: bytes, after: bytes) -> Slot:
    """In a member that the standard does not ask for."""
    return lambda value: members(more=b"," + before + value + after)


def _in_definition(before: bytes, after: bytes) -> Slot:
    return lambda value: members(target=_activity(b"{" + before + value + after + b"}"))


_EXTENSIONS = b'"extensions":{"' + EXTENSION + b'":'

# Those where any value is right come first.
EXTENSIONS: Final[Mapping[str, Slot]] = {
    "extension of the result": _with(b'"result":{' + _EXTENSIONS, b"}}"),
    "extension of the context": _with(b'"context":{' + _EXTENSIONS, b"}}"),
    "extension of the object": _in_definition(_EXTENSIONS, b"}"),
    "extension of a context activity": _with(
        b'"context":{"contextActivities":{"parent":[{"id":"https://ent.example/p","definition":{' + _EXTENSIONS,
        b"}}}]}}",
    ),
    "extension in a SubStatement": lambda value: members(
        target=b'{"objectType":"SubStatement","actor":'
        + ACTOR
        + b',"verb":'
        + VERB
        + b',"object":'
        + ACTIVITY
        + b',"result":{'
        + _EXTENSIONS
        + value
        + b"}}}"
    ),
}

SLOTS: Final[Mapping[str, Slot]] = {
    **EXTENSIONS,
    "unknown member": _with(b'"vreb":', b""),
    "extensions of the result": _with(b'"result":{"extensions":', b"}"),
    "result": _with(b'"result":', b""),
    "response": _with(b'"result":{"response":', b"}"),
    "duration": _with(b'"result":{"duration":', b"}"),
    "raw score": _with(b'"result":{"score":{"raw":', b"}}"),
    "score": _with(b'"result":{"score":', b"}"),
    "context": _with(b'"context":', b""),
    "registration": _with(b'"context":{"registration":', b"}"),
    "language": _with(b'"context":{"language":', b"}"),
    "revision": _with(b'"context":{"revision":', b"}"),
    "instructor": _with(b'"context":{"instructor":', b"}"),
    "context activities": _with(b'"context":{"contextActivities":{"grouping":', b"}}"),
    "reference": _with(b'"context":{"statement":', b"}"),
    "attachments": _with(b'"attachments":', b""),
    "timestamp": _with(b'"timestamp":', b""),
    "id": _with(b'"id":', b""),
    "version": _with(b'"version":', b""),
    "authority": _with(b'"authority":', b""),
    "actor": lambda value: members(actor=value),
    "name of the actor": lambda value: members(actor=ACTOR[:-1] + b',"name":' + value + b"}"),
    "address": lambda value: members(actor=b'{"mbox":' + value + b"}"),
    "hash of an address": lambda value: members(actor=b'{"mbox_sha1sum":' + value + b"}"),
    "openid": lambda value: members(actor=b'{"openid":' + value + b"}"),
    "account name": lambda value: members(actor=b'{"account":{"homePage":"https://e.example","name":' + value + b"}}"),
    "home page": lambda value: members(actor=b'{"account":{"name":"a","homePage":' + value + b"}}"),
    "members": lambda value: members(actor=b'{"objectType":"Group","member":' + value + b"}"),
    "verb": lambda value: members(verb=value),
    "verb id": lambda value: members(verb=b'{"id":' + value + b"}"),
    "display": lambda value: members(verb=VERB[:-1] + b',"display":' + value + b"}"),
    "object": lambda value: members(target=value),
    "activity id": lambda value: members(target=b'{"id":' + value + b"}"),
    "object type": lambda value: members(target=b'{"objectType":' + value + b',"id":"https://ent.example/a"}'),
    "definition": lambda value: members(target=_activity(value)),
    "name of the activity": _in_definition(b'"name":', b""),
    "more information": _in_definition(b'"moreInfo":', b""),
    "right answers": _in_definition(b'"interactionType":"other","correctResponsesPattern":', b""),
    "choices": _in_definition(b'"interactionType":"choice","choices":', b""),
    "statement": lambda value: value,
}


# --- lists ------------------------------------------------------------------------------------------------


def _iri(kind: str, place: int, length: int = 0) -> str:
    return f"https://ent.example/{kind}/{place}".ljust(length, "x")


def _plain(**changes: Any) -> dict[str, Any]:
    return {
        "actor": {"account": {"homePage": "https://ent.example", "name": "planted"}},
        "verb": {"id": "https://ent.example/verbs/did"},
        "object": {"id": "https://ent.example/activities/a"},
        **changes,
    }


def _agent(place: int, **more: Any) -> dict[str, Any]:
    return {"account": {"homePage": "https://ent.example", "name": f"p-{place}"}, **more}


def _group(place: int) -> dict[str, Any]:
    return {"objectType": "Group", "member": [_agent(place * 8 + each, name=f"Nom {each}") for each in range(8)]}


def _defined(place: int, **definition: Any) -> dict[str, Any]:
    return {"id": _iri("activities", place), "definition": definition}


def _texts(count: int, tag: str = "fr-x-{:06d}") -> dict[str, str]:
    return {tag.format(place): f"texte {place}" for place in range(count)}


def _attachment(place: int, **more: Any) -> dict[str, Any]:
    return {
        "usageType": "https://ent.example/usages/copy",
        "display": {"fr": "Copie"},
        "contentType": "text/plain",
        "length": 4,
        "sha2": sha256(b"%d" % place).hexdigest(),
        "fileUrl": "https://ent.example/files/1",
        **more,
    }


def _components(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"c{place}", **more} for place in range(count)]


def _interaction(**parts: Any) -> dict[str, Any]:
    return _plain(object=_defined(0, interactionType="choice", **parts))


def _context(**parts: Any) -> dict[str, Any]:
    return _plain(context=parts)


def _sub(inner: dict[str, Any]) -> dict[str, Any]:
    return _plain(object={**inner, "objectType": "SubStatement"})


# Each takes a count; `sized` finds the one that makes the statement as long as asked. Beyond 10,000 agents and
# activities a statement is refused, so the longest of those are refusals.
VALID: Final[Mapping[str, List]] = {
    "extensions": lambda count: _plain(result={"extensions": {_iri("x", each): each for each in range(count)}}),
    "long extensions": lambda count: _plain(result={"extensions": {_iri("x", each, 500): 0 for each in range(count)}}),
    "languages of a display": lambda count: _plain(
        verb={"id": "https://ent.example/verbs/did", "display": _texts(count)}
    ),
    "languages of a definition": lambda count: _plain(
        object=_defined(0, name=_texts(count // 2), description=_texts(count // 2))
    ),
    "languages of choices": lambda count: _interaction(
        choices=_components(max(1, count // 50), description=_texts(50))
    ),
    "choices": lambda count: _interaction(choices=_components(count)),
    "five lists of components": lambda count: _plain(
        object=_defined(
            0,
            interactionType="matching",
            source=_components(count // 2, description={"fr": "a", "en": "b"}),
            target=_components(count // 2, description={"fr": "a", "en": "b"}),
        )
    ),
    "right answers": lambda count: _interaction(correctResponsesPattern=[f"c{each}" for each in range(count)]),
    "attachments": lambda count: _plain(attachments=[_attachment(each) for each in range(count)]),
    "the same attachment": lambda count: _plain(attachments=[_attachment(0) for _ in range(count)]),
    "languages of attachments": lambda count: _plain(
        attachments=[_attachment(each, display=_texts(50)) for each in range(max(1, count // 50))]
    ),
    "the same member": lambda count: _plain(
        actor={"objectType": "Group", "member": [_agent(0, name="Prenom Nom") for _ in range(count)]}
    ),
    "the same context activity": lambda count: _context(
        contextActivities={"grouping": [_defined(0, name={"fr": "a"}) for _ in range(count)]}
    ),
    "the same, defined otherwise": lambda count: _context(
        contextActivities={"other": [_defined(0, name={f"fr-x-{each:06d}": "a"}) for each in range(count)]}
    ),
}

WIDE: Final[Mapping[str, List]] = {
    "members": lambda count: _plain(actor={"objectType": "Group", "member": [_agent(each) for each in range(count)]}),
    "members with names": lambda count: _plain(
        actor={"objectType": "Group", "member": [_agent(each, name=f"Prenom Nom {each}") for each in range(count)]}
    ),
    "members with long names": lambda count: _plain(
        actor={"objectType": "Group", "member": [_agent(each, name=f"{each} {'n' * 2_000}") for each in range(count)]}
    ),
    "context activities": lambda count: _context(
        contextActivities={"other": [{"id": _iri("activities", each)} for each in range(count)]}
    ),
    "long context activities": lambda count: _context(
        contextActivities={"other": [{"id": _iri("activities", each, 2_000)} for each in range(count)]}
    ),
    "defined context activities": lambda count: _context(
        contextActivities={
            "grouping": [_defined(each, name=_texts(5), extensions={_iri("x", 1): "a" * 200}) for each in range(count)]
        }
    ),
    "activities in a SubStatement": lambda count: _sub(
        _context(contextActivities={"parent": [{"id": _iri("activities", each)} for each in range(count)]})
    ),
}

# xAPI 2.0 only.
WIDE_IN_2: Final[Mapping[str, List]] = {
    "context agents": lambda count: _context(
        contextAgents=[{"objectType": "contextAgent", "agent": _agent(each)} for each in range(count)]
    ),
    "context groups": lambda count: _context(
        contextGroups=[{"objectType": "contextGroup", "group": _group(each)} for each in range(count // 8 + 1)]
    ),
    "relevant types": lambda count: _context(
        contextAgents=[
            {
                "objectType": "contextAgent",
                "agent": _agent(0),
                "relevantTypes": [_iri("types", each) for each in range(count)],
            }
        ]
    ),
}

_FAR = ("\u00e9" * 50, "fr_FR", "", "a" * 300)

# Each item has the fault; what is around it is right.
FAULTS: Final[Mapping[str, List]] = {
    "unknown members": lambda count: {**_plain(), **{f"unknown{each}": 1 for each in range(count)}},
    "unknown members of items": lambda count: _plain(
        attachments=[_attachment(each, unknown=1, other=2) for each in range(count)]
    ),
    "keys of extensions": lambda count: _plain(result={"extensions": {f"no iri {each}": 1 for each in range(count)}}),
    "language tags": lambda count: _plain(verb={"id": "a:b", "display": _texts(count, "fr_{:06d}")}),
    "texts": lambda count: _plain(verb={"id": "a:b", "display": {f"fr-x-{each:06d}": 1 for each in range(count)}}),
    "addresses of members": lambda count: _plain(
        actor={"objectType": "Group", "member": [{"mbox": f"p{each}@e.example"} for each in range(count)]}
    ),
    "members without identifier": lambda count: _plain(
        actor={"objectType": "Group", "member": [{"name": f"Nom {each}"} for each in range(count)]}
    ),
    "members with two identifiers": lambda count: _plain(
        actor={"objectType": "Group", "member": [_agent(each, mbox="mailto:a@b.fr") for each in range(count)]}
    ),
    "groups in a group": lambda count: _plain(
        actor={"objectType": "Group", "member": [_group(each) for each in range(count // 8 + 1)]}
    ),
    "ids of context activities": lambda count: _context(
        contextActivities={"other": [{"id": f"no iri {each}"} for each in range(count)]}
    ),
    "context activities that are none": lambda count: _context(contextActivities={"other": [1] * count}),
    "nulls": lambda count: _plain(attachments=[None] * count),
    "the same component": lambda count: _interaction(choices=[{"id": "c"} for _ in range(count)]),
    "components without id": lambda count: _interaction(choices=[{"description": {"fr": "a"}} for _ in range(count)]),
    "digests": lambda count: _plain(attachments=[_attachment(each, sha2="no") for each in range(count)]),
    "media types": lambda count: _plain(attachments=[_attachment(each, contentType="no") for each in range(count)]),
    "right answers that are none": lambda count: _interaction(correctResponsesPattern=[1] * count),
    "one at the end of extensions": lambda count: {
        **_plain(result={"extensions": {_iri("x", each): {"a": [each]} for each in range(count)}}),
        "unknown": 1,
    },
    "one at the end of members": lambda count: {
        **_plain(actor={"objectType": "Group", "member": [_agent(0, name="Nom") for _ in range(count)]}),
        "unknown": 1,
    },
    "one at the end of languages": lambda count: {
        **_plain(object=_defined(0, name=_texts(count))),
        "unknown": 1,
    },
    "one at the end of a SubStatement": lambda count: _sub(
        {**_context(contextActivities={"other": [_defined(0, name={"fr": "a"})] * count}), "unknown": 1}
    ),
}


def sized(made: List, size: int) -> bytes:
    """A statement of about, and no more than, so many bytes."""
    few, more = len(orjson.dumps(made(100))), len(orjson.dumps(made(1_100)))
    each = max(0.001, (more - few) / 1_000)
    count = max(1, int((size - few) / each) + 100)
    content = orjson.dumps(made(count))
    while len(content) > size and count > 1:
        count = int(count * 0.95)
        content = orjson.dumps(made(count))
    return content


# --- batches ----------------------------------------------------------------------------------------------


def batch(statements: list[bytes]) -> bytes:
    """An array of them."""
    return b"[" + b",".join(statements) + b"]"


def filled(statement: bytes, size: int) -> tuple[bytes, int]:
    """A batch of the same statement again and again, of at most so many bytes; and how many they are."""
    count = max(1, min(10_000, (size - 2) // (len(statement) + 1)))
    return batch([statement] * count), count


def _each(make: Callable[[int], dict[str, Any]]) -> Callable[[int], list[dict[str, Any]]]:
    return lambda count: [make(place) for place in range(count)]


_MISSING = str(UUID(int=0x1234_5678_0000_4000_8000_0000_0000_0001))

# Many statements, small each.
BATCHES: Final[Mapping[str, Callable[[int], list[dict[str, Any]]]]] = {
    "the same": _each(lambda _: _plain()),
    "of other learners": _each(lambda place: _plain(actor=_agent(place))),
    "of other activities": _each(lambda place: _plain(object={"id": _iri("activities", place)})),
    "other definitions of one activity": _each(lambda place: _plain(object=_defined(0, name={f"fr-x-{place}": "a"}))),
    "the same definition": _each(lambda _: _plain(object=_defined(0, name=_texts(20)))),
    "of other registrations": _each(
        lambda place: _plain(context={"registration": str(UUID(int=(4 << 76) | (8 << 60) | place))})
    ),
    "references to one that is missing": _each(lambda _: _plain(object={"objectType": "StatementRef", "id": _MISSING})),
    "references to others that are missing": _each(
        lambda place: _plain(
            object={"objectType": "StatementRef", "id": str(UUID(int=(4 << 76) | (8 << 60) | (1 << 90) | place))}
        )
    ),
    "voiding what is missing": _each(
        lambda place: _plain(
            verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
            object={"objectType": "StatementRef", "id": str(UUID(int=(4 << 76) | (8 << 60) | (1 << 91) | place))},
        )
    ),
    "the same id": _each(lambda _: _plain(id=_MISSING)),
    "nothing": _each(lambda _: {}),
    "without verb": _each(lambda place: {"actor": _agent(place), "object": {"id": "a:b"}}),
    "unknown members": _each(lambda place: _plain(**{f"unknown{place}": 1})),
    "timestamps that are none": _each(lambda _: _plain(timestamp="2026-02-30T00:00:00Z")),
    "scores out of order": _each(lambda _: _plain(result={"score": {"min": 2, "max": 1}})),
    "groups of eight": _each(lambda place: _plain(actor=_group(place))),
}
