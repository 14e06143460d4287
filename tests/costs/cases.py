"""Requests that ask for as much as they can: a seeded product of the grammar, route by route.

``COST_SEED`` (1) chooses which pairs of shape and place are tried; ``COST_CASES`` (1) how many times as many. In the
long form, ``COST_CASES=all``, it is all of them.
"""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from uuid import uuid4

import orjson

from app.access.credentials import NewCredential
from app.web.portal.assets import Assets
from tests.costs import grammar
from tests.costs.bounds import (
    ASKED,
    ATTACHMENTS,
    CHECKED,
    DOCUMENTS,
    FORMS,
    FRAMES,
    HEADS,
    MIB,
    REFUSED,
    STATEMENTS,
    Bound,
)
from tests.costs.meter import AGENT, PERSON, Answer, Held, Measured, basic
from tests.costs.signing import signed_batch
from tests.multiparts import BOUNDARY, body_of, part_of
from tests.web.portal import signed_table

SEED = int(os.environ.get("COST_SEED", "1"))
_SHARE = os.environ.get("COST_CASES", "1")
EVERY = _SHARE == "all"

POST, CHECK = "/xAPI/statements", "/api/v1/check"
STATE, ACTIVITY_PROFILE, AGENT_PROFILE = "/xAPI/activities/state", "/xAPI/activities/profile", "/xAPI/agents/profile"
BODY = 20 * MIB - 1_024
STATEMENT = MIB - 2_048
V2 = {"X-Experience-API-Version": "2.0.0"}

Bounds = Bound | Callable[[Answer], Bound]


class Case(NamedTuple):
    """A request.

    Attributes:
        name: Says what it is.
        bound: What it may cost; of some, according to their answer.
        method: Its method.
        path: Its path, and query.
        body: Makes its body, as JSON or whatever it is once unpacked.
        who: Whose credential: an attribute of ``Measured``; empty for none.
        headers: More of them.
        packed: Whether it is sent with gzip.
        statements: How many statements it holds.
        times: How often it is sent: what is small is told from nothing by many.
        raw: Makes the whole request instead, as pieces, from the credential's header.
        mib: MiB of the body when ``raw``.
        quiet: Seconds without work to wait for after the answer.
    """

    name: str
    bound: Bounds
    method: str
    path: str
    body: Callable[[], bytes] | None = None
    who: str = ""
    headers: Mapping[str, str] = {}
    packed: bool = False
    statements: int = 0
    times: int = 1
    raw: Callable[[str], Iterator[bytes]] | None = None
    mib: float = 0.0
    quiet: float = 0.0

    def held(self, measured: Measured) -> Held:
        """Send it, within its bound."""
        credential: NewCredential | None = getattr(measured, self.who) if self.who else None
        plain = b"" if self.body is None else self.body()
        sent = gzip.compress(plain, 6) if self.packed else plain
        headers = {**self.headers, **({"Content-Encoding": "gzip"} if self.packed else {})}
        mib = self.mib or len(plain) / MIB

        def once() -> Answer:
            if self.raw is not None:
                return measured.raw(self.raw(basic(credential) if credential else ""))
            return measured.ask(self.method, self.path, sent, credential, headers)

        def do() -> Answer:
            answer = once()
            for _ in range(self.times - 1):
                if answer.status == 0:
                    break
                answer = once()
            return answer

        return measured.hold(self.bound, do, mib=mib, statements=self.statements, times=self.times, quiet=self.quiet)


def _taken_or_refused(answer: Answer) -> Bound:
    return STATEMENTS if answer.status in (200, 204) else REFUSED


def some(cases: Sequence[Case], count: int, name: str) -> list[Case]:
    """As many of them as are tried."""
    wanted = len(cases) if EVERY else min(len(cases), int(count * float(_SHARE)))
    # Told by what they are of, so that one more kind changes none of the others.
    return random.Random(f"{SEED} {name}").sample(list(cases), wanted)


def _statement(name: str, body: Callable[[], bytes], statements: int, chance: random.Random, **more: Any) -> Case:
    """A body of statements: to the way in or to the check, packed or not, of a source with and one without profiles."""
    check = chance.random() < 0.3
    return Case(
        name=f"{name} to {CHECK if check else POST}",
        bound=CHECKED if check else _taken_or_refused,
        method="POST",
        path=CHECK if check else POST,
        body=cache(body),
        who=chance.choice(("source", "source", "plain")),
        packed=chance.random() < 0.7,
        statements=statements,
        **more,
    )


def statements() -> list[Case]:
    """Bodies of statements: each shape in a place, each list, each fault; alone, and as many as a body holds."""
    chance = random.Random(f"{SEED} statements")
    shaped = [
        _statement(
            f"{shape} as {slot}", lambda s=shape, p=slot: grammar.SLOTS[p](grammar.SHAPES[s](STATEMENT)), 1, chance
        )
        for shape in grammar.SHAPES
        for slot in grammar.SLOTS
    ]
    lists = {**grammar.VALID, **grammar.WIDE, **grammar.WIDE_IN_2, **grammar.FAULTS}
    alone = [
        _statement(
            name,
            lambda n=name: grammar.sized(lists[n], STATEMENT),
            1,
            chance,
            headers=V2 if name in grammar.WIDE_IN_2 else {},
        )
        for name in lists
    ]
    many = []
    for name in lists:
        size = chance.choice((20_000, 200_000, STATEMENT))
        count = BODY // (size + 1)
        many.append(
            _statement(
                f"{count} times {name}",
                lambda n=name, s=size: grammar.filled(grammar.sized(lists[n], s), BODY)[0],
                count,
                chance,
                headers=V2 if name in grammar.WIDE_IN_2 else {},
            )
        )
    for shape in grammar.SHAPES:
        slot = chance.choice(list(grammar.EXTENSIONS))
        many.append(
            _statement(
                f"twenty times {shape} as {slot}",
                lambda s=shape, p=slot: grammar.filled(grammar.SLOTS[p](grammar.SHAPES[s](STATEMENT)), BODY)[0],
                20,
                chance,
            )
        )
    batches = [
        _statement(
            f"{count} statements: {name}",
            lambda n=name, c=count: orjson.dumps(grammar.BATCHES[n](c)),
            count,
            chance,
            quiet=1.0 if "reference" in name or "voiding" in name else 0.0,
        )
        for name in grammar.BATCHES
        for count in (5_000,)
    ]
    whole = [
        _statement(f"{shape} as the whole body", lambda s=shape: grammar.SHAPES[s](BODY), 1, chance)
        for shape in grammar.SHAPES
    ]
    return [
        *some(shaped, 90, "shaped"),
        *some(alone, 24, "alone"),
        *some(many, 14, "many"),
        *some(batches, 10, "batches"),
        *some(whole, 6, "whole"),
        # What was found by hand once, always.
        Case("a key of 50,000 characters over 20,000 numbers", _taken_or_refused, "POST", POST, _pointers, "source"),
        Case("the same, checked", CHECKED, "POST", CHECK, _pointers, "source", packed=True),
    ]


def _pointers() -> bytes:
    value = b'{"' + b"K" * 50_000 + b'":[' + b",".join([b"1"] * 20_000) + b"]}"
    return grammar.SLOTS["extension of the result"](value)


def singles() -> list[Case]:
    """PUT of a statement, and what is read of its query."""
    chance = random.Random(f"{SEED} put")
    cases = [
        Case(
            f"PUT of {name}",
            _taken_or_refused,
            "PUT",
            f"{POST}?statementId={uuid4()}",
            cache(lambda n=name, of=lists: grammar.sized(of[n], STATEMENT)),
            "source",
            packed=chance.random() < 0.5,
            statements=1,
        )
        for lists in (grammar.VALID, grammar.FAULTS)
        for name in lists
    ]
    return some(cases, 5, "put")


def forms() -> list[Case]:
    """The alternate syntax: the form taken apart, what it stands for done."""

    def form(name: str, method: str, fields: Callable[[str], bytes], mib: float, path: str = POST) -> Case:
        def raw(authorization: str) -> Iterator[bytes]:
            body = fields(authorization)
            head = (
                f"POST {path}?method={method} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            yield head.encode()
            yield body

        return Case(f"a form: {name}", FORMS, "POST", path, who="source", raw=raw, mib=mib, statements=1)

    def with_content(content: bytes) -> Callable[[str], bytes]:
        return lambda authorization: (
            urlencode({"Authorization": authorization, "X-Experience-API-Version": "1.0.3"}).encode()
            + b"&content="
            + content
        )

    plain = quote(grammar.filled(grammar.sized(grammar.VALID["choices"], STATEMENT), 5 * MIB)[0]).encode()
    return [
        form("statements, every character encoded", "POST", with_content(plain), len(plain) / MIB),
        form("content of percent signs", "POST", with_content(b"%" * (BODY - 1_000)), 20),
        form("content of encoded letters", "POST", with_content(b"%41" * (BODY // 3 - 1_000)), 20),
        form("content of plus signs", "PUT", with_content(b"+" * (BODY - 1_000)), 20, STATE),
        form("nothing but ampersands", "GET", lambda _: b"&" * BODY, 20),
        form("nothing but equals signs", "GET", lambda _: b"=" * BODY, 20),
        form(
            "fields of 250 KiB", "GET", lambda a: urlencode({"Authorization": a, "agent": "[" * 250_000}).encode(), 0.3
        ),
        form(
            "a deep agent of 250 KiB",
            "GET",
            lambda a: urlencode(
                {
                    "Authorization": a,
                    "X-Experience-API-Version": "1.0.3",
                    "agent": '{"a":' * 40_000 + "1" + "}" * 40_000,
                }
            ).encode(),
            0.5,
        ),
        form(
            "members of 250 KiB",
            "GET",
            lambda a: urlencode(
                {
                    "Authorization": a,
                    "X-Experience-API-Version": "1.0.3",
                    "agent": '{"objectType":"Group","member":[' + ",".join(['{"name":1}'] * 10_000) + "]}",
                }
            ).encode(),
            0.5,
        ),
    ]


def attachments() -> list[Case]:
    """multipart/mixed: many parts, many headers, boundaries that nearly are, signatures."""
    kind = {"Content-Type": f"multipart/mixed; boundary={BOUNDARY}"}

    def many(count: int, size: int) -> bytes:
        data = [b"%08d" % each + b"x" * size for each in range(count)]
        listed = [
            {**grammar._attachment(0), "sha2": part_of(each)[0]["X-Experience-API-Hash"], "length": len(each)}
            for each in data
        ]
        for each in listed:
            del each["fileUrl"]
        content = {"actor": PERSON, "verb": {"id": "a:b"}, "object": {"id": "a:c"}, "attachments": listed}
        return body_of(content, *map(part_of, data))

    def nearly(size: int) -> bytes:
        data = (b"\r\n--" + BOUNDARY.encode()[:-1]) * (size // 20)
        content = {"actor": PERSON, "verb": {"id": "a:b"}, "object": {"id": "a:c"}, "attachments": []}
        return body_of(content, part_of(data))

    def prologue(size: int) -> bytes:
        return b"\r\n-" * (size // 3) + body_of([])

    def headers(size: int) -> bytes:
        part = b"--" + BOUNDARY.encode() + b"\r\n" + b"a: b\r\n" * 10 + b"\r\n\r\n"
        return part * (size // len(part))

    def one(name: str, body: Callable[[], bytes], statements: int = 1, **more: Any) -> Case:
        return Case(
            name, ATTACHMENTS, "POST", POST, cache(body), "source", {**kind, **more}, statements=statements, times=1
        )

    return [
        one("1,000 attachments of eight bytes", lambda: many(1_000, 0), 1_000),
        one("40 attachments of 500 KB", lambda: many(40, 500_000)),
        one("boundaries that nearly are", lambda: nearly(20 * MIB)),
        one("line ends before the first boundary", lambda: prologue(10 * MIB)),
        one("parts of headers only", lambda: headers(10 * MIB)),
        one("40 signatures with chains of heavy keys", lambda: signed_batch(40), 40),
    ]


def documents() -> list[Case]:
    """Documents: PUT, merges, conditions, lists."""
    context = urlencode({"activityId": "https://ent.example/a", "agent": AGENT})
    places = {
        STATE: f"{context}&stateId=s",
        ACTIVITY_PROFILE: urlencode({"activityId": "https://ent.example/a", "profileId": "p"}),
        AGENT_PROFILE: urlencode({"agent": AGENT, "profileId": "p"}),
    }
    size = 15 * MIB - 1_024
    cases = [
        Case(
            f"{method} of {shape} to {path}",
            DOCUMENTS,
            method,
            f"{path}?{query}-{method}",
            cache(lambda s=shape: grammar.SHAPES[s](size)),
            "source",
            {"If-Match": "*"} if method == "PUT" else {},
            packed=True,
        )
        for shape in grammar.SHAPES
        for path, query in places.items()
        for method in ("POST", "PUT")
    ]
    # One after the other into the same document, so that it grows.
    merges = [
        Case(
            f"merge {turn} of what is {shape}",
            DOCUMENTS,
            "POST",
            f"{STATE}?{context}&stateId=merged-{shape.replace(' ', '-')}",
            cache(lambda t=turn, s=shape: b'{"m%d":' % t + grammar.SHAPES[s](2 * MIB) + b"}"),
            "source",
            packed=True,
        )
        for shape in ("empty objects", "one key of one key", "keys", "numbers")
        for turn in range(6)
    ]
    deleted = [
        Case(f"DELETE of {path}", DOCUMENTS, "DELETE", f"{path}?{query}-PUT", who="source")
        for path, query in places.items()
    ]
    every = Case("DELETE of every state", DOCUMENTS, "DELETE", f"{STATE}?{context}", who="source", mib=60)
    return [*_each_route(some(cases, 18, "documents"), cases), *merges, *deleted, every]


def _each_route(chosen: list[Case], cases: list[Case]) -> list[Case]:
    """The chosen cases, and one of each route that nothing was chosen of."""
    have = {(each.method, each.path.partition("?")[0]) for each in chosen}
    for each in cases:
        route = each.method, each.path.partition("?")[0]
        if route not in have:
            have.add(route)
            chosen.append(each)
    return chosen


# --- /api/v1 ------------------------------------------------------------------------------------------------

_NO_CASE = "r-000000000000"
_NO_ERASURE = "00000000-0000-4000-8000-000000000000"


def asked() -> list[Case]:
    """Bodies of ``/api/v1``: shapes where an agent, a text, a list is expected."""
    agents = {
        "twenty agents": lambda _: orjson.dumps([{"mbox": f"mailto:p{each}@ent.example"} for each in range(20)]),
        "many agents": lambda size: orjson.dumps([PERSON] * (size // 70)),
        "a group of many": lambda size: orjson.dumps([{"objectType": "Group", "member": [PERSON] * (size // 70)}]),
        "agents without identifier": lambda size: orjson.dumps([{"name": 1}] * (size // 11)),
        "a deep agent": lambda _: b"[" + b'{"member":[' * 400 + b"1" + b"]}" * 400 + b"]",
        **grammar.SHAPES,
    }
    persons = [
        f"/api/v1/persons/{act}"
        for act in (
            "places",
            "recipients",
            "access",
            "restrict",
            "unrestrict",
            "object",
            "withdraw-objection",
            "standing",
        )
    ]
    about = [
        Case(
            f"{name} to {path}",
            ASKED,
            "POST",
            path,
            cache(lambda n=name: b'{"agents":' + agents[n](MIB - 1_024) + b"}"),
            "officer",
            packed=True,
        )
        for path in [*persons, "/api/v1/erasures", "/api/v1/requests"]
        for name in agents
        # A person who may not be erased or restricted while others of these cases are.
        if name != "twenty agents" or path.endswith(("places", "recipients", "standing"))
    ]
    steps = [
        Case(
            f"{name} to {path}",
            ASKED,
            "POST",
            path,
            cache(lambda n=name, m=member: b'{"' + m + b'":' + grammar.SHAPES[n](MIB - 1_024) + b"}"),
            "officer",
            packed=True,
        )
        for name in grammar.SHAPES
        for path, member in (
            (f"/api/v1/requests/{_NO_CASE}/identify", b"note"),
            (f"/api/v1/requests/{_NO_CASE}/extend", b"reason"),
            (f"/api/v1/requests/{_NO_CASE}/done", b"note"),
            (f"/api/v1/requests/{_NO_CASE}/refuse", b"reason"),
        )
    ]
    search = [
        Case(
            f"{name} to /api/v1/audit/search",
            ASKED,
            "POST",
            "/api/v1/audit/search",
            cache(lambda n=name: b'{"person":' + agents[n](60_000) + b"}"),
            "officer",
        )
        for name in agents
    ]
    ends = {**grammar.SHAPES, **_ACCOUNTS}
    accounts = [
        Case(
            f"{name} to /api/v1/accounts",
            ASKED,
            "POST",
            "/api/v1/accounts",
            cache(lambda n=name: b'{"accounts":' + ends[n](8 * MIB - 1_024) + b"}"),
            "source",
            packed=True,
            statements=10_000,
        )
        for name in ends
    ]
    links = [
        Case(
            f"{name} to {path}",
            ASKED,
            "POST",
            path,
            cache(lambda n=name: b'{"role":"guardian","agents":' + agents[n](63 * 1_024) + b"}"),
            "source",
        )
        for name in agents
        for path in ("/api/v1/learner-links", "/api/v1/learner-links/end")
    ]
    rectify = [
        Case(
            f"{name} to /api/v1/persons/rectify",
            ASKED,
            "POST",
            "/api/v1/persons/rectify",
            cache(
                lambda s=slot, n=name: (
                    b'{"statement":"'
                    + _NO_ERASURE.encode()
                    + b'","corrected":'
                    + grammar.SLOTS[s](grammar.SHAPES[n](STATEMENT))
                    + b"}"
                )
            ),
            "officer",
            packed=True,
        )
        for name in grammar.SHAPES
        for slot in ("extension of the result", "statement")
    ]
    return [
        *_each_route(some(about, 24, "about"), about),
        *_each_route(some(steps, 6, "steps"), steps),
        *some(search, 5, "search"),
        *some(accounts, 8, "accounts"),
        *_each_route(some(links, 6, "links"), links),
        *some(rectify, 5, "rectify"),
    ]


_ACCOUNTS: dict[str, Callable[[int], bytes]] = {
    "10,000 ends": lambda _: orjson.dumps(
        [{"agent": {"account": {"homePage": "https://ent.example", "name": f"p-{each}"}}} for each in range(10_000)]
    ),
    "10,000 faults": lambda _: orjson.dumps([{"agent": {"name": "x"}, "event": "no", "on": "no"}] * 10_000),
    "10,000 times the same": lambda _: orjson.dumps([{"agent": PERSON, "event": "reopened"}] * 10_000),
    "groups": lambda size: orjson.dumps(
        [{"agent": {"objectType": "Group", "member": [{"name": 1}] * 100}}] * min(10_000, size // 1_300)
    ),
}


# --- heads --------------------------------------------------------------------------------------------------

_LONG = 8_000
LANGUAGES: Mapping[str, str] = {
    "one range of many parts": "-".join(["a"] * (_LONG // 2)),
    "many ranges": ",".join(f"x{each:03x}" for each in range(_LONG // 5)),
    "many weighted ranges": ",".join(f"q{each:03x};q=0.{each % 10}" for each in range(_LONG // 11)),
    "many ranges of many parts": ",".join(["fr-x-" + "-".join("abcdefghij")] * (_LONG // 26)),
    "stars": ",".join("*" * (_LONG // 2)),
    "commas": "," * _LONG,
    "semicolons": ";" * _LONG,
    "weights": "fr" + ";q=0.1" * (_LONG // 6),
    "spaces": "fr" + " " * (_LONG - 4) + ",x",
}

_FORMS: Mapping[str, str] = {
    "many ranges": "text/html," + ",".join(f"a/x{each:03x};q=0.{each % 10}" for each in range(_LONG // 13)),
    "many pages": "text/html," * (_LONG // 10),
    "strings": 'text/html,a/b;x="' + '\\"' * (_LONG // 2 - 10),
    "quotes": "text/html," + '"' * (_LONG - 10),
    "blanks": "text/html," + " ;" * (_LONG // 2 - 5),
}

_HEADERS: Mapping[str, Mapping[str, str]] = {
    **{f"Accept, {name}": {"Accept": text} for name, text in _FORMS.items()},
    **{f"Accept-Language, {name}": {"Accept-Language": text} for name, text in LANGUAGES.items()},
    "Accept-Encoding": {"Accept-Encoding": ",".join(f"x{each}" for each in range(1_200))},
    "weights of encodings": {"Accept-Encoding": "gzip" + ";q=1" * 1_900},
    "If-Match": {"If-Match": ", ".join(['"a"'] * 1_500)},
    "a broken If-Match": {"If-Match": '"a",' * 1_900 + "x"},
    "blanks of If-None-Match": {"If-None-Match": '"a"' + " ,\t" * 2_600 + "x"},
    "Authorization": {"Authorization": "Basic " + "QUFB" * 1_900},
    "a broken Authorization": {"Authorization": "Basic " + "A" * 7_990},
    "options of Content-Type": {"Content-Type": "application/json" + ";a=b" * 1_900},
    "quotes of Content-Type": {"Content-Type": 'multipart/mixed;boundary="' + '\\"' * 3_900},
    "continuations of Content-Type": {"Content-Type": "multipart/mixed" + ";a*0*=''b" * 800},
    "Cookie": {"Cookie": "a=b;" * 2_000},
    "Range": {"Range": "bytes=" + "0-1," * 1_900},
    "ninety headers": {f"X-Filler-{each}": "x" * 600 for each in range(90)},
    "Origin": {"Origin": "https://" + "a." * 3_900},
    "X-Request-ID": {"X-Request-ID": "a" * 8_000},
    "X-Sillage-Purpose": {"X-Sillage-Purpose": "teaching," * 800},
    "version": {"X-Experience-API-Version": "1.0." + "1" * 8_000},
    "X-Forwarded-For": {"X-Forwarded-For": "1.1.1.1," * 900},
    "If-Modified-Since": {"If-Modified-Since": "Mon, " * 1_500},
}

_QUERIES: Mapping[str, str] = {
    "deep agent": urlencode({"agent": '{"member":[' * 200 + "]}" * 200}),
    "nested brackets": "agent=" + "%5B" * 2_600,
    "members": urlencode({"agent": '{"objectType":"Group","member":[' + ",".join(["{}"] * 1_000) + "]}"}),
    "long verb": "verb=https://e.example/" + "a" * 7_900,
    "percent signs of an IRI": "activityId=https://e.example/" + "%25" * 2_600,
    "many names": "&".join(f"a{each}" for each in range(1_200)),
    "the same name": "&".join(["limit=1"] * 900),
    "a long number": "limit=" + "9" * 7_900,
    "a long instant": "since=2026-01-01T00:00:00." + "1" * 7_900 + "Z",
    "a cursor": "cursor=" + "A" * 7_900,
    "separators": "&" * 7_900,
}

_READ = (
    *("/", "/fr/", "/assets/x/css/sillage.css", f"/assets/{Assets().edition}/css/sillage.css"),
    *("/fr/processing-activities", "/fr/processing-activities/p2ia"),
    *("/fr/data-sets", "/fr/data-sets/ent_usage", "/fr/profiles", "/fr/legal-notice", "/fr/personal-data"),
    *("/fr/accessibility", "/fr/help", "/fr/site-map", "/fr/my"),
    *(f"/fr/{path}" for path in signed_table.DOOR.values()),
    *("/fr/sign-in/with/nobody", "/sign-in/from/nobody"),
    *(f"/fr/{row.path}" for row in signed_table.TABLE if row.fields is None),
    "/xAPI/statements",
    "/xAPI/about",
    "/xAPI/agents",
    "/xAPI/activities",
    STATE,
    ACTIVITY_PROFILE,
    AGENT_PROFILE,
    "/api/v1/aggregates",
    "/api/v1/aggregates/ent_usage",
    "/api/v1/processing-activities",
    "/api/v1/processing-activities/p2ia",
    "/api/v1/retention",
    "/api/v1/audit",
    "/api/v1/requests",
    f"/api/v1/requests/{_NO_CASE}",
    f"/api/v1/erasures/{_NO_ERASURE}",
    f"/api/v1/erasures/{_NO_ERASURE}/receipt",
    "/api/v1/verdicts",
    "/healthz",
    "/readyz",
    "/metrics",
)


def _whose(path: str) -> str:
    return "officer" if path.startswith("/api") else "source" if path.startswith("/xAPI") else ""


def heads() -> list[Case]:
    """Requests without a body: headers and queries as long as they may be, with credentials and without."""
    cases = [
        Case(f"{name}: {method} {path}, {who or 'nobody'}", HEADS, method, path, None, who, headers, times=10)
        for path in _READ
        for method in ("GET", "HEAD")
        for who in sorted({_whose(path), ""})
        for name, headers in _HEADERS.items()
    ]
    cases += [
        Case(f"{name}: GET {path}, {who or 'nobody'}", HEADS, "GET", f"{path}?{query}", None, who, times=10)
        for path in _READ
        for who in sorted({_whose(path), ""})
        for name, query in _QUERIES.items()
    ]
    return _each_route(some(cases, 60, "heads"), [each for each in cases if each.who == _whose(each.path)])


def page_forms() -> list[Case]:
    """Forms of pages, of nobody: full of fields, of blanks, of percent signs."""
    bodies = {"fields": b"a=1&" * 60_000, "blanks": b"+" * 250_000, "percent signs": b"a=" + b"%25" * 80_000}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    paths = [row.path for row in signed_table.TABLE if row.fields is not None] + [*signed_table.DOOR.values()]
    return [
        Case(f"{name}: POST /fr/{path}", HEADS, "POST", f"/fr/{path}", partial(bytes, body), "", headers)
        for path in paths
        for name, body in bodies.items()
    ]


# --- framing ------------------------------------------------------------------------------------------------


def frames() -> list[Case]:
    """Cases of framing: chunks, their extensions and trailers, lengths, members of gzip."""

    def head(authorization: str, *lines: str) -> bytes:
        given = [
            "POST /xAPI/statements HTTP/1.1",
            "Host: x",
            "Connection: close",
            "X-Experience-API-Version: 1.0.3",
            "Content-Type: application/json",
            *([f"Authorization: {authorization}"] if authorization else []),
            *lines,
        ]
        return "\r\n".join(given).encode() + b"\r\n\r\n"

    chunked = "Transfer-Encoding: chunked"

    def in_chunks(size: int, extension: bytes, total: int) -> Callable[[str], Iterator[bytes]]:
        def pieces(authorization: str) -> Iterator[bytes]:
            yield head(authorization, chunked)
            chunk = b"%x" % size + extension + b"\r\n" + b" " * size + b"\r\n"
            several = max(1, 65_536 // len(chunk))
            for _ in range(total // (several * len(chunk)) + 1):
                yield chunk * several
            yield b"2\r\n[]\r\n0\r\n\r\n"

        return pieces

    def trailers(authorization: str) -> Iterator[bytes]:
        yield head(authorization, chunked)
        yield b"2\r\n[]\r\n0\r\n" + b"X-Trailer: x\r\n" * 200_000 + b"\r\n"

    def sizes(authorization: str) -> Iterator[bytes]:
        yield head(authorization, chunked)
        yield b"0" * (4 * MIB) + b"2\r\n[]\r\n0\r\n\r\n"

    def members(unit: bytes, total: int) -> Callable[[str], Iterator[bytes]]:
        packed = gzip.compress(unit, 9, mtime=0)

        def pieces(authorization: str) -> Iterator[bytes]:
            body = gzip.compress(b"[]") + packed * (total // len(packed))
            yield head(authorization, "Content-Encoding: gzip", f"Content-Length: {len(body)}")
            yield body

        return pieces

    def padded(authorization: str) -> Iterator[bytes]:
        yield head(authorization, f"Content-Length: {'2'.zfill(7_000)}")
        yield b"[]"

    def one(name: str, raw: Callable[[str], Iterator[bytes]], mib: float, who: str = "source") -> Case:
        return Case(f"{name}, {who or 'nobody'}", FRAMES, "POST", POST, who=who, raw=raw, mib=mib)

    return [
        one("chunks of one byte", in_chunks(1, b"", 4 * MIB), 4),
        one("chunks of 64 KiB", in_chunks(65_536, b"", 18 * MIB), 18),
        # What is thrown away unread is read by the event loop, a piece at a time.
        one("chunk extensions of 900 bytes", in_chunks(1, b";" + b"e" * 900, 8 * MIB), 0.5),
        one("chunk extensions of 60 KB", in_chunks(1, b";" + b"e" * 60_000, 8 * MIB), 0.5),
        one("chunk extensions of 900 bytes", in_chunks(1, b";" + b"e" * 900, 8 * MIB), 0.5, ""),
        one("trailers", trailers, 1),
        one("a size of four million digits", sizes, 1),
        one("empty members of gzip", members(b"", 10 * MIB), 10),
        one("members of one space", members(b" ", 10 * MIB), 10),
        one("a length of 7,000 digits", padded, 0.1),
    ]


def every() -> list[Case]:
    """All that carry something in."""
    return [
        *statements(),
        *singles(),
        *forms(),
        *attachments(),
        *documents(),
        *asked(),
        *heads(),
        *page_forms(),
        *frames(),
    ]
