"""The inputs of ``scripts/fuzz``, each made from a seed: requests over every route, and bytes that are hardly any."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import orjson

MARK = "zqmarker"
"""In every name, address and text that a sender might hold for secret: it must not stand in the log."""
SMUGGLED = "smuggled-"
"""Begins the ``X-Request-ID`` of requests hidden in the bodies of others: no answer may have it."""

_ENT = "https://ent.example"
_UUIDS = tuple(f"{each:08x}-0000-4000-8000-000000000000" for each in range(60))
_CASES = tuple(f"r-{each:012x}" for each in range(5))
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "FOO", "PROPFIND")
_VOIDED = "http://adlnet.gov/expapi/verbs/voided"
BOUNDARY = "fuzz-boundary"


class Route(NamedTuple):
    """A rule of the server's map, and its methods."""

    rule: str
    methods: tuple[str, ...]


class Given(NamedTuple):
    """Content of the server.

    Attributes:
        routes: Its routes.
        credentials: ``Authorization`` headers, by a name.
        sources: The names of those that may do everything that a source may.
        officer: That of a data protection officer.
        research: That of a researcher.
    """

    routes: tuple[Route, ...]
    credentials: Mapping[str, str]
    sources: Sequence[str]
    officer: str
    research: str


class Met(NamedTuple):
    """Names that earlier answers gave: cursors, data-subject requests, erasures."""

    cursors: Sequence[str] = ()
    cases: Sequence[str] = ()
    erasures: Sequence[str] = ()


NOTHING_MET = Met()


class Input(NamedTuple):
    """An input as it is sent.

    Attributes:
        kind: The route, or the kind of broken framing.
        data: The bytes.
        head: Whether the answer has no body (HEAD).
        whole: Whether it is well framed: then there must be an answer, and what follows must be answered too.
        answers: How many requests it is, at most.
        request_id: What its answer must say; empty when it may say anything.
        half: Whether the sender closes its half of the connection then.
    """

    kind: str
    data: bytes
    head: bool = False
    whole: bool = True
    answers: int = 1
    request_id: str = ""
    half: bool = False

    @property
    def bare(self) -> bool:
        """True if its answer may be without a body: HEAD, or a form that stands for it."""
        return self.head or b"?method=HEAD" in self.data


def made(given: Given, seed: int, number: int, met: Met = NOTHING_MET) -> Input:
    """Input ``number`` of a seed."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311 - the same again for the same seed
    if chance.random() < 0.08:
        return _framing(chance, given, number)
    return _request(chance, given, number, met)


# --- values -------------------------------------------------------------------------------------------------

_EVIL: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**53,
    2**63,
    2**64 - 1,
    -(2**63),
    1e308,
    5e-324,
    "",
    " ",
    "\u0000",
    "a\nb",
    "\u202e",
    "\ufeff",
    "\U0001f600",
    "\u0130",
    "x" * 5_000,
    "../../etc/passwd",
    "<script>",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "$where",
    "a.b.c",
    "__proto__",
    "%00",
    "https://",
    "http://[::1",
    "https://ent.example/é",
    "urn:x",
    "mailto:",
    f"mailto:{MARK}@ent.example",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "1677-01-01T00:00:00+14:00",
    "P1Y1W",
    "PT" + "9" * 400 + "S",
    "fr_FR",
    "1.0.3",
    "2.0.0",
    "1234567890A",
    "123456789AB",
    [],
    {},
    [[]],
    [{}],
    {"": ""},
    {"$ne": None},
    {"a.b": {"$gt": ""}},
    [None] * 50,
    {f"k{each}": each for each in range(60)},
)


def _deep(levels: int) -> Any:
    value: Any = 1
    for turn in range(levels):
        value = [value] if turn % 2 else {"a": value}
    return value


def _evil(chance: random.Random) -> Any:
    return _deep(chance.choice((30, 200))) if chance.random() < 0.02 else chance.choice(_EVIL)


def _iri(chance: random.Random, kind: str = "activities") -> str:
    return f"{_ENT}/{kind}/{chance.randrange(30)}"


def _agent(chance: random.Random) -> dict[str, Any]:
    place = chance.randrange(40)
    made: dict[str, Any] = chance.choice(
        (
            {"account": {"homePage": _ENT, "name": f"{MARK}-{place}"}},
            {"account": {"homePage": _ENT, "name": f"p-{place}"}},
            {"mbox": f"mailto:{MARK}{place}@ent.example"},
            {"mbox_sha1sum": hashlib.sha1(b"%d" % place, usedforsecurity=False).hexdigest()},
            {"openid": f"{_ENT}/openid/{place}"},
        )
    )
    if chance.random() < 0.3:
        made = {**made, "name": f"Prenom {MARK} {place}"}
    if chance.random() < 0.3:
        made = {"objectType": "Agent", **made}
    return made


def _group(chance: random.Random) -> dict[str, Any]:
    members = [_agent(chance) for _ in range(chance.randrange(1, 5))]
    return {"objectType": "Group", "member": members, **(_agent(chance) if chance.random() < 0.3 else {})} | {
        "objectType": "Group"
    }


def _activity(chance: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"id": _iri(chance)}
    if chance.random() < 0.4:
        definition: dict[str, Any] = {"name": {"fr": f"Titre {MARK}", "en": "Title"}, "type": _iri(chance, "types")}
        if chance.random() < 0.3:
            definition |= {
                "interactionType": chance.choice(("choice", "matching", "other", "likert")),
                "correctResponsesPattern": ["a[,]b"],
            }
        if chance.random() < 0.3:
            definition["extensions"] = {_iri(chance, "x"): _evil(chance)}
        made["definition"] = definition
    return made


def _target(chance: random.Random, deep: bool) -> dict[str, Any]:
    kind = chance.random()
    if kind < 0.6:
        return _activity(chance)
    if kind < 0.7:
        return _agent(chance) | {"objectType": "Agent"}
    if kind < 0.8:
        return {"objectType": "StatementRef", "id": chance.choice(_UUIDS)}
    if kind < 0.9 and not deep:
        inner = _statement(chance, deep=True)
        return {**{name: inner[name] for name in ("actor", "verb", "object")}, "objectType": "SubStatement"}
    return _group(chance)


def _statement(chance: random.Random, *, deep: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {
        "actor": _agent(chance) if chance.random() < 0.8 else _group(chance),
        "verb": {"id": chance.choice((f"{_ENT}/verbs/did", "http://adlnet.gov/expapi/verbs/answered"))},
        "object": _target(chance, deep),
    }
    if chance.random() < 0.05:
        made |= {"verb": {"id": _VOIDED}, "object": {"objectType": "StatementRef", "id": chance.choice(_UUIDS)}}
    if chance.random() < 0.25:
        made["id"] = chance.choice(_UUIDS)
    if chance.random() < 0.3:
        made["result"] = chance.choice(
            (
                {"score": {"scaled": 0.5, "raw": 5, "min": 0, "max": 10}},
                {"success": True, "response": f"Je suis {MARK}", "duration": "PT1M"},
                {"extensions": {_iri(chance, "x"): _evil(chance)}},
            )
        )
    if chance.random() < 0.4:
        context: dict[str, Any] = {"registration": chance.choice(_UUIDS)}
        if chance.random() < 0.5:
            context["contextActivities"] = {
                chance.choice(("parent", "grouping", "category", "other")): [_activity(chance)]
            }
        if chance.random() < 0.3:
            context["instructor"] = _agent(chance)
        if chance.random() < 0.2:
            context["team"] = _group(chance)
        if chance.random() < 0.2:
            context["contextAgents"] = [{"objectType": "contextAgent", "agent": _agent(chance)}]
        if chance.random() < 0.2:
            context["extensions"] = {_iri(chance, "x"): _evil(chance)}
        made["context"] = context
    if chance.random() < 0.3:
        made["timestamp"] = chance.choice(
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123+02:00", "2026-01-01T00:00:00Z")
        )
    if chance.random() < 0.1:
        made["attachments"] = [_attachment(b"data %d" % chance.randrange(5), url=chance.random() < 0.5)]
    if chance.random() < 0.1:
        made["version"] = chance.choice(("1.0.0", "1.0.3", "2.0.0", "3.0"))
    return made


def _attachment(data: bytes, *, url: bool) -> dict[str, Any]:
    made = {
        "usageType": f"{_ENT}/usages/copy",
        "display": {"fr": "Copie"},
        "contentType": "text/plain",
        "length": len(data),
        "sha2": hashlib.sha256(data).hexdigest(),
    }
    return {**made, "fileUrl": f"{_ENT}/files/1"} if url else made


def _mutated(chance: random.Random, value: Any) -> Any:
    """The value with one place in it changed: replaced, taken out, given twice, renamed."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        change = chance.random()
        changed = dict(value)
        if change < 0.6:
            changed[name] = _mutated(chance, value[name])
        elif change < 0.75:
            del changed[name]
        elif change < 0.85:
            changed[chance.choice(("", name.upper(), name + " ", "$set", "a.b", MARK))] = changed.pop(name)
        else:
            changed[chance.choice(("objectType", "id", "name", "member", "extensions", "unknown"))] = _evil(chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        changed_list = list(value)
        changed_list[place] = _mutated(chance, value[place])
        if chance.random() < 0.2:
            changed_list *= chance.randrange(1, 4)
        return changed_list
    return _evil(chance)


def _mutated_within(chance: random.Random, value: Any) -> Any:
    """The same, but never the whole of it."""
    if isinstance(value, dict) and value:
        name = chance.choice(list(value))
        return {**value, name: _mutated(chance, value[name])}
    if isinstance(value, list) and value:
        place = chance.randrange(len(value))
        return [*value[:place], _mutated_within(chance, value[place]), *value[place + 1 :]]
    return _mutated(chance, value)


def _json(chance: random.Random, value: Any) -> bytes:
    for _ in range(chance.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 4))):
        value = _mutated(chance, value) if chance.random() < 0.05 else _mutated_within(chance, value)
    body = orjson.dumps(value)
    damage = chance.random()
    if damage < 0.01 and body:
        place = chance.randrange(len(body))
        return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
    if damage < 0.015:
        return body[: chance.randrange(len(body) + 1)]
    if damage < 0.02:
        return chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b" \n", b"\x00")) + body
    if damage < 0.03 and body.startswith(b"{") and len(body) > 2:
        return body[:-1] + b"," + body[1:]
    if damage < 0.035:
        return body.replace(b":1", b":" + b"1" * chance.choice((25, 400)))
    if damage < 0.04:
        return body.replace(b'"', b'"\\ud800', 1)
    return body


# --- requests -----------------------------------------------------------------------------------------------


def _statements_body(chance: random.Random, method: str) -> tuple[bytes, str]:
    count = chance.choice((1, 1, 1, 2, 5, 30)) if method == "POST" or chance.random() < 0.05 else 1
    listed = [_statement(chance) for _ in range(count)]
    value: Any = listed if count > 1 or (method == "POST" and chance.random() < 0.3) else listed[0]
    if chance.random() < 0.08:
        return _multipart(chance, value)
    return _json(chance, value), "application/json"


def _multipart(chance: random.Random, statements: Any) -> tuple[bytes, str]:
    data = [b"data %d" % chance.randrange(5) for _ in range(chance.randrange(3))]
    if isinstance(statements, dict) and data:
        statements = {**statements, "attachments": [_attachment(each, url=False) for each in data]}
    pieces = [b"Content-Type: application/json\r\n\r\n" + _json(chance, statements)]
    for each in data:
        digest = hashlib.sha256(each).hexdigest() if chance.random() < 0.8 else "0" * 64
        headers = f"Content-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\nX-Experience-API-Hash: {digest}"
        pieces.append(headers.encode() + b"\r\n\r\n" + each)
    body = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + each + b"\r\n" for each in pieces)
    body += b"--" + BOUNDARY.encode() + b"--\r\n"
    if chance.random() < 0.3:
        place = chance.randrange(len(body))
        junk = chance.choice((b"", b"\r\n", b"--" + BOUNDARY.encode(), b"\x00", b"\r", b"\n\n"))
        body = body[:place] + junk + body[place + chance.randrange(20) :]
    named = chance.choice((BOUNDARY, BOUNDARY, BOUNDARY, BOUNDARY, "", "x" * 80, "fuzz"))
    return body, f"multipart/mixed; boundary={named}" if named else "multipart/mixed"


def _form(chance: random.Random, given: Given) -> tuple[bytes, str]:
    body, kind = _statements_body(chance, "POST")
    fields = {
        "Authorization": _authorization(chance, given, "/xAPI/statements") or "",
        "X-Experience-API-Version": chance.choice(("1.0.3", "1.0.3", "2.0.0", "x")),
        "Content-Type": kind,
        "content": body.decode("latin-1"),
        "statementId": chance.choice(_UUIDS),
        "agent": _text(chance, _agent(chance)),
        "activityId": _iri(chance),
        "stateId": "s",
        "limit": "3",
    }
    chosen = chance.sample(sorted(fields), chance.randrange(1, len(fields) + 1))
    form = "&".join(f"{quote_plus(name)}={quote_plus(fields[name])}" for name in chosen)
    if chance.random() < 0.1:
        form += chance.choice(("&content=x&content=y", "&%", "&=&=&", "&a=%ff", "&" * 60, "&Authorization=Basic+x"))
    return form.encode(), chance.choice(("application/x-www-form-urlencoded", "text/plain", "", "application/json"))


def _rights_body(chance: random.Random, rule: str) -> bytes:
    value: dict[str, Any] = {"agents": [_agent(chance) for _ in range(chance.choice((1, 1, 2, 21)))]}
    if rule.endswith("rectify"):
        value = {"statement": chance.choice(_UUIDS), "corrected": _statement(chance)}
    elif rule.endswith("audit/search"):
        value = {"person": [_agent(chance)], "limit": chance.choice((1, 1000, 0, "x"))}
        value |= {"since": "2026-01-01T00:00:00Z", "kinds": ["person-found"]} if chance.random() < 0.5 else {}
    elif rule.endswith("/accounts"):
        value = {"accounts": [{"agent": _agent(chance), "event": chance.choice(("closed", "reopened", "x"))}]}
    elif rule.endswith("/requests"):
        value |= {"kind": chance.choice(("access", "erasure", "x")), "note": f"Note {MARK}", "received": "2026-01-01"}
    elif rule.endswith(("identify", "done")):
        value = {"note": f"Note {MARK}"}
    elif rule.endswith(("extend", "refuse")):
        value = {"reason": f"Motif {MARK}"}
    elif rule.endswith("object"):
        value |= {"purposes": ["research"], "refuse_new": chance.random() < 0.1}
    if chance.random() < 0.2:
        value["case"] = chance.choice((*_CASES, "A-1", "é", "x" * 100))
    return _json(chance, value)


def _text(chance: random.Random, value: Any) -> str:
    return _json(chance, value).decode("latin-1")


_PARAMETERS: Mapping[str, Callable[[random.Random], str]] = {
    "statementId": lambda chance: chance.choice(_UUIDS),
    "voidedStatementId": lambda chance: chance.choice(_UUIDS),
    "agent": lambda chance: _text(chance, _agent(chance)),
    "verb": lambda chance: f"{_ENT}/verbs/did",
    "activity": _iri,
    "activityId": _iri,
    "registration": lambda chance: chance.choice(_UUIDS),
    "related_agents": lambda chance: chance.choice(("true", "false", "1")),
    "related_activities": lambda chance: chance.choice(("true", "false", "TRUE")),
    "since": lambda chance: chance.choice(("2026-01-01T00:00:00Z", "2026-01-01", "now", "9999-12-31T23:59:59.999Z")),
    "until": lambda chance: chance.choice(("2030-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "")),
    "limit": lambda chance: chance.choice(("0", "1", "5", "-1", "1e3", "9" * 30, "\u0663")),
    "format": lambda chance: chance.choice(("exact", "ids", "canonical", "x")),
    "attachments": lambda chance: chance.choice(("true", "false")),
    "ascending": lambda chance: chance.choice(("true", "false")),
    "stateId": lambda chance: chance.choice(("s", "s2", "", f"{MARK} état")),
    "profileId": lambda chance: chance.choice(("p", "p2", "é")),
    "from": lambda chance: chance.choice(("2026-01-01", "x", "0001-01-01")),
    "to": lambda chance: chance.choice(("2026-12-31", "9999-12-31")),
    "by": lambda chance: chance.choice(("", "profile", "x,y", ",,,")),
    "source": lambda chance: chance.choice(("fuzz", "nobody", "")),
    "kind": lambda chance: chance.choice(("statements-read", "x")),
    "before": lambda chance: chance.choice(("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "x")),
    "status": lambda chance: chance.choice(("open", "x")),
    "due_within": lambda chance: chance.choice(("7d", "9999d", "-1d")),
    "method": lambda chance: chance.choice(("GET", "PUT", "POST", "DELETE", "HEAD", "TRACE", "get")),
    "cursor": lambda chance: chance.choice(("A" * 40, "%%%", "", "é", base64.urlsafe_b64encode(bytes(60)).decode())),
}
_OF: Mapping[str, tuple[str, ...]] = {
    "/xAPI/statements": (
        *("statementId", "voidedStatementId", "agent", "verb", "activity", "registration", "related_agents"),
        *("related_activities", "since", "until", "limit", "format", "attachments", "ascending", "cursor"),
    ),
    "/xAPI/activities/state": ("activityId", "agent", "stateId", "registration", "since"),
    "/xAPI/activities/profile": ("activityId", "profileId", "since"),
    "/xAPI/agents/profile": ("agent", "profileId", "since"),
    "/xAPI/activities": ("activityId",),
    "/xAPI/agents": ("agent",),
    "/api/v1/aggregates/<name>": ("from", "to", "by", "limit", "cursor"),
    "/api/v1/audit": ("kind", "before", "limit", "cursor"),
    "/api/v1/requests": ("status", "due_within", "limit"),
    "/api/v1/verdicts": ("since", "source"),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "/xAPI/activities/state": ("activityId", "agent", "stateId"),
    "/xAPI/activities/profile": ("activityId", "profileId"),
    "/xAPI/agents/profile": ("agent", "profileId"),
    "/xAPI/activities": ("activityId",),
    "/xAPI/agents": ("agent",),
}


def _query(chance: random.Random, rule: str, method: str, cursors: Sequence[str]) -> str:
    known = _OF.get(rule, ())
    names: list[str] = []
    if chance.random() < 0.85:
        if rule == "/xAPI/statements" and method == "PUT":
            names = ["statementId"]
        elif rule in _NEEDED:
            names = [each for each in _NEEDED[rule] if chance.random() < 0.97]
        elif rule == "/xAPI/statements" and method in ("GET", "HEAD") and cursors and chance.random() < 0.2:
            cursor = chance.choice(list(cursors))
            if chance.random() < 0.3:
                place = chance.randrange(len(cursor))
                cursor = cursor[:place] + chance.choice("Ab0-_%") + cursor[place + 1 :]
            return f"cursor={cursor}" + chance.choice(
                ("", "", "&limit=1", "&limit=x", "&verb=urn:x", f"&cursor={cursor}")
            )
        elif known and method in ("GET", "HEAD"):
            names = chance.sample(known, min(len(known), chance.choice((0, 1, 1, 2, 3))))
    if chance.random() < 0.04:
        names.append(chance.choice(list(_PARAMETERS)))
    pairs = [(name, _PARAMETERS[name](chance)) for name in names]
    if chance.random() < 0.03:
        pairs.append((chance.choice(("x", "", "agent ", "Agent", MARK, "limit")), str(_evil(chance))[:300]))
    written = "&".join(
        f"{quote(name)}={quote(text, safe='', encoding='latin-1', errors='replace')}" for name, text in pairs
    )
    if chance.random() < 0.02:
        written += chance.choice(("&&&", "&=", "&%", "&%zz=%zz", "&a=%ff%fe", ";a=b", "?x", "&" + "a=1&" * 300))
    return written


def _path(chance: random.Random, rule: str, met: Met) -> str:
    def filled(found: re.Match[str]) -> str:
        if chance.random() < 0.15:
            return chance.choice(("..", "%2e%2e", "a%2Fb", "%00", "x" * 300, "%ff", MARK, "é".encode().hex(), "a b"))
        if found[1].startswith("uuid"):
            return chance.choice((*met.erasures, *_UUIDS[:5]))
        if "requests" in rule:
            return chance.choice((*met.cases, *_CASES))
        return chance.choice(("ent_usage", "daily_activity", "p2ia", "x"))

    path = re.sub(r"<([^>]+)>", filled, rule)
    if chance.random() < 0.03:
        path = chance.choice((f"/{path}", f"{path}/", path.replace("/", "//"), path.upper(), f"/.{path}", f"{path}%20"))
    return path.replace(" ", "%20")


def _credential(chance: random.Random, given: Given, rule: str) -> str:
    """One that may do much there, or any: of a single scope, of a person."""
    if chance.random() < 0.2:
        return given.credentials[chance.choice(list(given.credentials))]
    if rule.startswith("/api/v1") and rule not in ("/api/v1/check", "/api/v1/accounts", "/api/v1/verdicts"):
        return given.research if "aggregates" in rule else given.officer
    return given.credentials[chance.choice(given.sources)]


def _authorization(chance: random.Random, given: Given, rule: str) -> str | None:
    if chance.random() < 0.9:
        return _credential(chance, given, rule)
    broken = base64.b64encode(f"{MARK}:{MARK}".encode()).decode()
    return chance.choice(
        (None, None, "Basic", "Basic !", f"Basic {broken}", f"Bearer {MARK}", "Basic " + "QQ==" * 200, "", "Basic Og==")
    )


def _headers(chance: random.Random, given: Given, rule: str, number: int) -> dict[str, str]:
    headers = {"Host": "127.0.0.1", "X-Request-ID": f"fuzz-{number:08d}"}
    if chance.random() < 0.96:
        headers["X-Experience-API-Version"] = chance.choice(("1.0.3", "1.0.3", "2.0.0", "2.0.0", "1.0", "2.0"))
    else:
        headers["X-Experience-API-Version"] = chance.choice(("", "0.95", "1.1.0", "3", "\u00e9", "1.0.3, 2.0.0"))
    authorization = _authorization(chance, given, rule)
    if authorization is not None:
        headers["Authorization"] = authorization
    more = {
        "If-Match": ("*", "*", "*", '"a"', "a", '"a", "b"', 'W/"x"', ",", '"' + "a" * 900 + '"'),
        "If-None-Match": ("*", "*", '"a"', "", '"'),
        "Accept": (
            "text/html",
            "text/html",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "*/*",
            "text/html;q=0",
            "text/html," * 700,
            'text/html;x="' + "\\" * 900,
            ";q=,text/html;;",
        ),
        "Accept-Language": ("fr", "fr-CA;q=0.5, en", "*;q=0", "a-" * 500, ";;;", "\u00e9"),
        "Accept-Encoding": ("br", "gzip;q=0", "identity;q=0, *;q=0", "x,br", ";"),
        "X-Sillage-Purpose": ("teaching", "x", MARK, ""),
        "Origin": ("https://page.example", "null", "https://evil.example", MARK, "x"),
        "Sec-Fetch-Site": ("cross-site", "same-origin", "none", "x"),
        "Sec-Fetch-Mode": ("cors", "no-cors", "navigate"),
        "X-Forwarded-For": ("1.2.3.4", MARK, "::1"),
        "X-Forwarded-Proto": ("https", "http", "x"),
        "Forwarded": (f"for={MARK}", "x"),
        "X-Script-Name": ("/x",),
        "Range": ("bytes=0-1", "bytes=-"),
        "Cookie": (f"session={MARK}",),
        "Expect": ("100-continue",),
        "Access-Control-Request-Method": ("PUT", "FOO"),
        "Content-Language": ("fr",),
        "User-Agent": (MARK, "\u00e9"),
        "Referer": (f"https://x/?{MARK}",),
        "Connection": ("keep-alive", "close"),
    }
    likely = 0.3 if "state" in rule or "profile" in rule else 0.06
    for name, texts in more.items():
        if chance.random() < (likely if name.startswith("If-") else 0.03):
            headers[name] = chance.choice(texts)
    return headers


def _request(chance: random.Random, given: Given, number: int, met: Met) -> Input:
    if chance.random() < 0.02:
        rule = chance.choice(
            ("/", "/xAPI", "/xAPI/", "/api/v1", "/nothing", f"/{MARK}", "/xAPI/x/y", "/%2e%2e/x", "/metrics/x")
        )
        methods: tuple[str, ...] = ("GET", "POST")
    else:
        # Statements are what most is made of.
        rule, methods = chance.choice(given.routes) if chance.random() < 0.6 else _statements_of(given)
    method = chance.choice(methods) if chance.random() < 0.93 else chance.choice(_METHODS)
    headers = _headers(chance, given, rule, number)
    query = _query(chance, rule, method, met.cursors)
    body, kind = b"", ""
    if method in ("POST", "PUT") or chance.random() < 0.02:
        if rule.startswith("/xAPI") and chance.random() < 0.1:
            body, kind = _form(chance, given)
            query = "method=" + _PARAMETERS["method"](chance) + (f"&{query}" if chance.random() < 0.1 else "")
            method = "POST"
        elif rule in ("/xAPI/statements", "/api/v1/check"):
            body, kind = _statements_body(chance, method)
        elif rule.startswith("/xAPI"):
            body, kind = chance.choice(
                (
                    (_json(chance, {"a": {"b": [1, MARK]}, f"k{chance.randrange(9)}": 1}), "application/json"),
                    (chance.randbytes(chance.randrange(200)), "application/octet-stream"),
                    (b"texte " + MARK.encode(), "text/plain; charset=utf-8"),
                    (b"<html>", "text/html"),
                )
            )
        else:
            body, kind = _rights_body(chance, rule), "application/json"
        if chance.random() < 0.04:
            kind = chance.choice(
                ("", "text/plain", "application/xml", "APPLICATION/JSON", "application/json; charset=x", "/", "\u00e9")
            )
        if chance.random() < 0.02:
            body = chance.randbytes(chance.randrange(2_000))
        if chance.random() < 0.01:
            body = b"[" + b"0," * 400_000 + b"0]"
    lines = [f"{name}: {text}".encode("latin-1", "replace") for name, text in headers.items()]
    if kind:
        lines.append(f"Content-Type: {kind}".encode("latin-1", "replace"))
    if body and chance.random() < 0.1:
        packed = gzip.compress(body, 1, mtime=0)
        broken = chance.random()
        body = (
            packed
            if broken < 0.7
            else packed[: len(packed) // 2]
            if broken < 0.8
            else packed * 2
            if broken < 0.9
            else body
        )
        lines.append(b"Content-Encoding: " + chance.choice((b"gzip", b"gzip", b"gzip", b"br", b"GZIP", b"identity")))
    sent = body
    if body and chance.random() < 0.1:
        sent = _chunked(chance, body)
        lines.append(b"Transfer-Encoding: chunked")
    elif body or method in ("POST", "PUT"):
        lines.append(b"Content-Length: %d" % len(body))
    target = _path(chance, rule, met) + (f"?{query}" if query or chance.random() < 0.01 else "")
    if len(target) > 8_000:
        target = target[:8_000]
    start = f"{method} {target} HTTP/1.1".encode("latin-1", "replace")
    # A method that the HTTP parser does not take, and what is not ASCII in an address, need not be answered by name.
    plain = method in _METHODS[:9] and method.isupper()
    return Input(
        rule,
        b"\r\n".join([start, *lines]) + b"\r\n\r\n" + sent,
        head=method == "HEAD",
        request_id=headers["X-Request-ID"] if plain else "",
    )


def _statements_of(given: Given) -> Route:
    return next(route for route in given.routes if route.rule == "/xAPI/statements")


def _chunked(chance: random.Random, body: bytes) -> bytes:
    made = bytearray()
    at = 0
    while at < len(body):
        size = chance.choice((1, 7, 100, 5_000, 100_000))
        piece = body[at : at + size]
        extension = chance.choice((b"", b"", b"", b";a=b", b';a="b;c"'))
        made += b"%x" % len(piece) + extension + b"\r\n" + piece + b"\r\n"
        at += size
        if len(made) > 200_000:
            made += b"%x\r\n" % len(body[at:]) + body[at:] + b"\r\n" if body[at:] else b""
            break
    return bytes(made) + b"0\r\n" + chance.choice((b"", b"", b"X-Trailer: x\r\n")) + b"\r\n"


# --- framing ------------------------------------------------------------------------------------------------

_ABOUT = b"/xAPI/about"


def _plain(line: bytes = b"GET /xAPI/about HTTP/1.1", *lines: bytes, host: bool = True) -> bytes:
    return b"\r\n".join([line, *([b"Host: 127.0.0.1"] if host else []), *lines]) + b"\r\n\r\n"


def _hidden(number: int) -> bytes:
    return _plain(b"GET /xAPI/about HTTP/1.1", b"X-Request-ID: %s%08d" % (SMUGGLED.encode(), number))


Kinds = Mapping[str, Callable[[random.Random, bytes, bytes], Input | bytes]]
"""From the chance, the lines of an accepted credential and a hidden request to what is sent."""


def _post(auth: bytes, body: bytes, *lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    head = b"POST /xAPI/statements " + version
    return _plain(head, auth, b"X-Experience-API-Version: 1.0.3", b"Content-Type: application/json", *lines) + body


def _chunks(auth: bytes, body: bytes, *lines: bytes) -> bytes:
    return _post(auth, body, b"Transfer-Encoding: chunked", *lines)


_LINES: Mapping[str, bytes] = {
    "empty lines": b"\r\n\r\n\r\n" + _plain(),
    "method alone": b"GET\r\n\r\n",
    "no version": b"GET /xAPI/about\r\n\r\n",
    "HTTP/0.9": _plain(b"GET /xAPI/about HTTP/0.9"),
    "HTTP/1.0": _plain(b"GET /xAPI/about HTTP/1.0"),
    "HTTP/1.0, kept alive": _plain(b"GET /xAPI/about HTTP/1.0", b"Connection: keep-alive"),
    "HTTP/2.0": _plain(b"GET /xAPI/about HTTP/2.0"),
    "HTTP/1.10": _plain(b"GET /xAPI/about HTTP/1.10"),
    "http/1.1": _plain(b"GET /xAPI/about http/1.1"),
    "HTTP 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "four words": _plain(b"GET /xAPI/about HTTP/1.1 x"),
    "two spaces": _plain(b"GET  /xAPI/about HTTP/1.1"),
    "tabs": _plain(b"GET\t/xAPI/about\tHTTP/1.1"),
    "leading space": _plain(b" GET /xAPI/about HTTP/1.1"),
    "NUL in the line": _plain(b"GET /xAPI/\x00about HTTP/1.1"),
    "bytes in the line": _plain(b"GET /xAPI/\xff\xfe HTTP/1.1"),
    "bytes in the query": _plain(b"GET /xAPI/about?a=\xff\xc3\x28 HTTP/1.1"),
    "lower-case method": _plain(b"get /xAPI/about HTTP/1.1"),
    "long method": _plain(b"G" * 300 + b" /xAPI/about HTTP/1.1"),
    "method of signs": _plain(b"!#$% /xAPI/about HTTP/1.1"),
    "a long line": _plain(b"GET /xAPI/about?" + b"a" * 9_000 + b" HTTP/1.1"),
    "the longest line": _plain(b"GET /xAPI/about?" + b"a" * 8_160 + b" HTTP/1.1"),
    "absolute form": _plain(b"GET http://127.0.0.1/xAPI/about HTTP/1.1"),
    "absolute form of another host": _plain(b"GET http://evil.example/xAPI/about HTTP/1.1"),
    "absolute form with a user": _plain(b"GET http://u:p@127.0.0.1/xAPI/about HTTP/1.1"),
    "absolute form, broken": _plain(b"GET http://[::1/xAPI/about HTTP/1.1"),
    "absolute form, no path": _plain(b"GET http://127.0.0.1 HTTP/1.1"),
    "authority form": _plain(b"CONNECT 127.0.0.1:443 HTTP/1.1"),
    "asterisk form": _plain(b"OPTIONS * HTTP/1.1"),
    "asterisk of GET": _plain(b"GET * HTTP/1.1"),
    "two slashes": _plain(b"GET //xAPI/about HTTP/1.1"),
    "a host in the path": _plain(b"GET //evil.example/xAPI/about HTTP/1.1"),
    "no slash": _plain(b"GET xAPI/about HTTP/1.1"),
    "a fragment": _plain(b"GET /xAPI/about#x HTTP/1.1"),
    "a backslash": _plain(b"GET \\xAPI\\about HTTP/1.1"),
    "dots": _plain(b"GET /xAPI/../xAPI/about HTTP/1.1"),
    "encoded dots": _plain(b"GET /xAPI/%2e%2e/%2e%2e/etc/passwd HTTP/1.1"),
    "an encoded slash": _plain(b"GET /xAPI%2fabout HTTP/1.1"),
    "an encoded NUL": _plain(b"GET /xAPI/about%00 HTTP/1.1"),
    "an encoded line end": _plain(b"GET /xAPI/about%0d%0aX-A:%20b HTTP/1.1"),
    "percent signs": _plain(b"GET /%%%/%zz HTTP/1.1"),
    "parameters of a segment": _plain(b"GET /xAPI;a=b/about;x HTTP/1.1"),
    "a proxy's line": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + _plain(),
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\x00" * 160 + b"\r\n\r\n",
    "line feeds alone": b"GET /xAPI/about HTTP/1.1\nHost: x\n\n\r\n\r\n",
    "carriage returns alone": b"GET /xAPI/about HTTP/1.1\rHost: x\r\r\r\n\r\n",
    "no host": _plain(host=False),
    "two hosts": _plain(b"GET /xAPI/about HTTP/1.1", b"Host: evil.example"),
    "a broken host": _plain(b"GET /xAPI/about HTTP/1.1", b"Host: a b<>", host=False),
    "no colon": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header"),
    "a space before the colon": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header : x"),
    "an empty name": _plain(b"GET /xAPI/about HTTP/1.1", b": x"),
    "a folded header": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header: a", b" b"),
    "a folded first line": b"GET /xAPI/about HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",
    "NUL in a header": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header: a\x00b"),
    "a carriage return in a header": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header: a\rX-B: c"),
    "a line feed in a header": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header: a\nX-B: c"),
    "bytes in a header": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header: \xff\x80"),
    "bytes in a name": _plain(b"GET /xAPI/about HTTP/1.1", b"X-\xe9: x"),
    "many headers": _plain(b"GET /xAPI/about HTTP/1.1", *[b"X-%d: x" % each for each in range(150)]),
    "a long header": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Header: " + b"x" * 9_000),
    "headers of 80 KB": _plain(b"GET /xAPI/about HTTP/1.1", *[b"X-%d: " % each + b"x" * 8_000 for each in range(10)]),
    "Expect something": _plain(b"GET /xAPI/about HTTP/1.1", b"Expect: something"),
    "upgrade": _plain(
        b"GET /xAPI/about HTTP/1.1", b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"
    ),
    "websocket": _plain(b"GET /xAPI/about HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket"),
    "close and keep": _plain(b"GET /xAPI/about HTTP/1.1", b"Connection: close, keep-alive"),
    "SCRIPT_NAME": _plain(b"GET /xAPI/about HTTP/1.1", b"SCRIPT_NAME: /xAPI"),
    "SCRIPT_NAME of elsewhere": _plain(b"GET /xAPI/about HTTP/1.1", b"SCRIPT_NAME: /elsewhere"),
    "Script-Name": _plain(b"GET /xAPI/about HTTP/1.1", b"Script-Name: /xAPI"),
    "PATH_INFO": _plain(b"GET /xAPI/about HTTP/1.1", b"PATH_INFO: /api/v1/audit"),
    "REMOTE_USER": _plain(b"GET /xAPI/about HTTP/1.1", b"REMOTE_USER: admin", b"Remote-User: admin"),
    "forwarded prefix": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Forwarded-Prefix: /x", b"X-Forwarded-Proto: https"),
    "forwarders that disagree": _plain(
        b"GET /xAPI/about HTTP/1.1", b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off", b"X-Forwarded-Protocol: ssl"
    ),
    "Content_Length": _plain(b"GET /xAPI/about HTTP/1.1", b"Content_Length: 5"),
    "a request id with a line end": _plain(b"GET /xAPI/about HTTP/1.1", b"X-Request-ID: a%0d%0ab"),
    "an origin of bytes": _plain(b"GET /xAPI/about HTTP/1.1", b"Origin: \xff"),
}

_BODIES: Kinds = {
    "the same length twice": lambda _, auth, __: _post(auth, b"[]", b"Content-Length: 2", b"Content-Length: 2"),
    "two lengths": lambda _, auth, hidden: _post(auth, b"[]" + hidden, b"Content-Length: 2", b"Content-Length: 200"),
    "a list of lengths": lambda _, auth, hidden: _post(auth, b"[]" + hidden, b"Content-Length: 2, 2"),
    "a negative length": lambda _, auth, __: _post(auth, b"[]", b"Content-Length: -2"),
    "a length with a sign": lambda _, auth, __: _post(auth, b"[]", b"Content-Length: +2"),
    "a length in hexadecimal": lambda _, auth, __: _post(auth, b"[]", b"Content-Length: 0x2"),
    "a padded length": lambda _, auth, __: _post(auth, b"[]", b"Content-Length: " + b"0" * 300 + b"2"),
    "a length of digits elsewhere": lambda _, auth, __: _post(auth, b"[]", "Content-Length: \u0662".encode()),
    "a length with spaces": lambda _, auth, __: _post(auth, b"[]", b"Content-Length:  2 \t"),
    "a length with a gap": lambda _, auth, __: _post(auth, b"[]", b"Content-Length: 2 2"),
    "an empty length": lambda _, auth, __: _post(auth, b"[]", b"Content-Length:"),
    "a huge length": lambda _, auth, __: _post(auth, b"[]", b"Content-Length: " + b"9" * 25),
    "no length": lambda _, auth, __: _post(auth, b""),
    "length and chunks": lambda _, auth, hidden: _chunks(auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Content-Length: 12"),
    "chunks and a longer length": lambda _, auth, hidden: _chunks(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Content-Length: 120"
    ),
    "chunked twice": lambda _, auth, hidden: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer-Encoding: chunked, chunked"
    ),
    "two codings": lambda _, auth, hidden: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"
    ),
    "identity, chunked": lambda _, auth, __: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n", b"Transfer-Encoding: identity, chunked"
    ),
    "chunked, identity": lambda _, auth, hidden: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer-Encoding: chunked, identity"
    ),
    "gzip, chunked": lambda _, auth, __: _post(auth, b"2\r\n[]\r\n0\r\n\r\n", b"Transfer-Encoding: gzip, chunked"),
    "xchunked": lambda _, auth, hidden: _post(auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer-Encoding: xchunked"),
    "CHUNKED": lambda _, auth, __: _post(auth, b"2\r\n[]\r\n0\r\n\r\n", b"Transfer-Encoding: CHUNKED"),
    "a tab before chunked": lambda _, auth, __: _post(auth, b"2\r\n[]\r\n0\r\n\r\n", b"Transfer-Encoding:\tchunked"),
    "chunked with a vertical tab": lambda _, auth, hidden: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer-Encoding: \x0bchunked"
    ),
    "a space before the colon of Transfer-Encoding": lambda _, auth, hidden: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer-Encoding : chunked"
    ),
    "Transfer_Encoding": lambda _, auth, hidden: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer_Encoding: chunked", b"Content-Length: 2"
    ),
    "chunks in HTTP/1.0": lambda _, auth, hidden: _post(
        auth, b"2\r\n[]\r\n0\r\n\r\n" + hidden, b"Transfer-Encoding: chunked", version=b"HTTP/1.0"
    ),
    "a size that is none": lambda _, auth, hidden: _chunks(auth, b"xyz\r\n[]\r\n0\r\n\r\n" + hidden),
    "a negative size": lambda _, auth, hidden: _chunks(auth, b"-2\r\n[]\r\n0\r\n\r\n" + hidden),
    "a size with 0x": lambda _, auth, hidden: _chunks(auth, b"0x2\r\n[]\r\n0\r\n\r\n" + hidden),
    "a size with an underscore": lambda _, auth, hidden: _chunks(auth, b"1_0\r\n[]\r\n0\r\n\r\n" + hidden),
    "a size with spaces": lambda _, auth, hidden: _chunks(auth, b"2 \r\n[]\r\n0\r\n\r\n"),
    "a padded size": lambda _, auth, hidden: _chunks(auth, b"0" * 200 + b"2\r\n[]\r\n0\r\n\r\n"),
    "a huge size": lambda _, auth, hidden: _chunks(auth, b"f" * 20 + b"\r\n[]\r\n0\r\n\r\n" + hidden),
    "an empty size": lambda _, auth, hidden: _chunks(auth, b"\r\n[]\r\n0\r\n\r\n" + hidden),
    "an extension": lambda _, auth, __: _chunks(auth, b"2;a=b\r\n[]\r\n0;c\r\n\r\n"),
    "a quoted extension": lambda _, auth, __: _chunks(auth, b'2;a="\\"\xe9;"\r\n[]\r\n0\r\n\r\n'),
    "an extension with a line feed": lambda _, auth, hidden: _chunks(auth, b"2;a\nb\r\n[]\r\n0\r\n\r\n" + hidden),
    "a long extension": lambda _, auth, hidden: _chunks(auth, b"2;" + b"e" * 70_000 + b"\r\n[]\r\n0\r\n\r\n" + hidden),
    "many extensions": lambda _, auth, hidden: _chunks(auth, (b"1;" + b"e" * 400 + b"\r\n \r\n") * 50 + b"0\r\n\r\n"),
    "line feeds between chunks": lambda _, auth, hidden: _chunks(auth, b"2\n[]\n0\n\n" + hidden),
    "a chunk that is longer": lambda _, auth, hidden: _chunks(auth, b"2\r\n[]xx\r\n0\r\n\r\n" + hidden),
    "a chunk that is shorter": lambda _, auth, hidden: _chunks(auth, b"9\r\n[]\r\n0\r\n\r\n" + hidden),
    "trailers": lambda _, auth, __: _chunks(auth, b"2\r\n[]\r\n0\r\nX-A: b\r\nContent-Length: 5\r\n\r\n"),
    "broken trailers": lambda _, auth, hidden: _chunks(auth, b"2\r\n[]\r\n0\r\nno colon\r\n\r\n" + hidden),
    "many trailers": lambda _, auth, __: _chunks(auth, b"2\r\n[]\r\n0\r\n" + b"X-A: b\r\n" * 3_000 + b"\r\n"),
    "a body of GET": lambda _, auth, hidden: (
        _plain(b"GET /xAPI/about HTTP/1.1", b"Content-Length: %d" % len(hidden)) + hidden
    ),
    "a body of GET in chunks": lambda _, auth, hidden: (
        _plain(b"GET /xAPI/about HTTP/1.1", b"Transfer-Encoding: chunked")
        + b"%x\r\n" % len(hidden)
        + hidden
        + b"\r\n0\r\n\r\n"
    ),
    "a request as the body": lambda _, auth, hidden: _post(auth, hidden, b"Content-Length: %d" % len(hidden)),
    "a request as the body of nobody": lambda _, auth, hidden: _post(
        b"X-A: b", hidden, b"Content-Length: %d" % len(hidden)
    ),
    "a refused body in chunks": lambda _, auth, hidden: _chunks(
        b"X-A: b", b"%x\r\n" % len(hidden) + hidden + b"\r\n0\r\n\r\n"
    ),
    "a request as a form": lambda _, auth, hidden: (
        _plain(
            b"POST /xAPI/statements?method=GET HTTP/1.1",
            b"Content-Type: application/x-www-form-urlencoded",
            b"Content-Length: %d" % len(hidden),
        )
        + hidden
    ),
    "a method that is none, with a body": lambda _, auth, hidden: (
        _plain(b"FOO /xAPI/about HTTP/1.1", b"Content-Length: %d" % len(hidden)) + hidden
    ),
    "a body of OPTIONS": lambda _, auth, hidden: (
        _plain(
            b"OPTIONS /xAPI/statements HTTP/1.1", b"Origin: https://page.example", b"Content-Length: %d" % len(hidden)
        )
        + hidden
    ),
    "a body of DELETE": lambda _, auth, hidden: (
        _plain(b"DELETE /xAPI/statements HTTP/1.1", auth, b"Content-Length: %d" % len(hidden)) + hidden
    ),
    "Expect and no body": lambda _, auth, __: Input(
        "", _post(auth, b"", b"Content-Length: 2", b"Expect: 100-continue"), half=True
    ),
    "a body that is cut": lambda _, auth, __: Input("", _post(auth, b"[", b"Content-Length: 2"), half=True),
    "chunks that are cut": lambda _, auth, __: Input("", _chunks(auth, b"2\r\n["), half=True),
    "no last chunk": lambda _, auth, __: Input("", _chunks(auth, b"2\r\n[]\r\n"), half=True),
    "a head that is cut": lambda _, auth, __: Input("", b"GET /xAPI/about HTTP/1.1\r\nHos", half=True),
    "nothing": lambda _, __, ___: Input("", b"", half=True),
    "random bytes": lambda chance, _, __: chance.randbytes(chance.randrange(1, 300)) + b"\r\n\r\n",
    "pipelined": lambda chance, _, __: Input("", _plain() * 5, answers=5),
    "pipelined after a body": lambda chance, auth, __: Input(
        "", _post(auth, b"[]", b"Content-Length: 2") + _plain() + _post(auth, b"[]", b"Content-Length: 2"), answers=3
    ),
    "pipelined after chunks": lambda chance, auth, __: Input(
        "", _chunks(auth, b"2\r\n[]\r\n0\r\n\r\n") + _plain(), answers=2
    ),
    "pipelined after a refusal": lambda chance, _, __: Input(
        "", _post(b"X-A: b", b"[]", b"Content-Length: 2") + _plain(), answers=2
    ),
    "forty pipelined": lambda chance, _, __: Input("", _plain() * 40, answers=40),
    "pipelined HEAD": lambda chance, _, __: Input("", _plain(b"HEAD /xAPI/about HTTP/1.1"), head=True),
}

FRAMINGS = (*_LINES, *_BODIES)


def _framing(chance: random.Random, given: Given, number: int) -> Input:
    kind = chance.choice(FRAMINGS)
    auth = f"Authorization: {_credential(chance, given, '/xAPI/statements')}".encode()
    if kind in _LINES:
        data: Input | bytes = _LINES[kind]
    else:
        data = _BODIES[kind](chance, auth, _hidden(number))
    sent = data if isinstance(data, Input) else Input("", data)
    if chance.random() < 0.15 and sent.answers == 1:
        # One byte otherwise: kinds that nobody thought of.
        raw = bytearray(sent.data)
        if raw:
            place = chance.randrange(len(raw))
            raw[place : place + 1] = bytes([chance.randrange(256)]) * chance.randrange(3)
        return Input("framing", bytes(raw), whole=False, half=True)
    return sent._replace(kind=f"framing: {kind}", whole=False)
