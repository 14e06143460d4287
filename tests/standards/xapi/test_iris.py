"""IRIs, and texts that are none (RFC 3987, RFC 9110); and the other forms of texts in a statement."""

from __future__ import annotations

from typing import Any

import pytest

from app.core import contracts
from app.standards.xapi.validate import actor_faults, matches
from app.standards.xapi.versions import Version
from tests.standards.xapi.iri_grammar import pattern


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("part", ["iri", "openid"])
def test_the_pattern_is_the_grammar(version: Version, part: str) -> None:
    definitions: dict[str, Any] = contracts.load("xapi", version.value, "statement.json")["$defs"]
    assert definitions[part]["pattern"] == pattern()


@pytest.mark.parametrize(
    "text",
    [
        "http://example.org",
        "HTTP://example.org:8080/a/b;c=1/%C3%A9?x=1&y=/?#top/?",
        "https://user:pass%20word@example.org:/",
        "http://[2001:db8::7]/c=GB?objectClass?one",
        "http://[::ffff:192.0.2.1]:80",
        "https://[v7.fe80:a+b]/",
        "http://exämple.org/leçons/été\u00a0x",
        "http://例え.テスト/\U00010000\U000e1000",
        "http://example.org/?\ue000\U000f0000",
        "http://example.org//a//b",
        "http://example.org/a[1]?filter[]=x&b[c]=d#e[0]",
        "mailto:a@b.fr",
        "tag:adlnet.gov,2013:expapi:0.9:activities:course",
        "urn:uuid:00000000-0000-4000-8000-000000000000",
        "urn:isbn:9782070368228#p7",
        "uuid://7d4f3c70",
        "course-v1:A+B",
        "file:///c:/x",
        "x:",
        "x:/",
        "x:/a",
        "x://",
        "x:?q",
        "x:#f",
        "h:a",
        "ht:a",
        "htt:a",
        "httq:a",
        "httpx:a",
        "httpsx:a",
        "https+unix:a",
        "a1+-.:b",
        "X:meetings",
    ],
)
def test_iris(text: str) -> None:
    assert matches("iri", text)
    assert matches("openid", text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        ":a",
        "1a:b",
        "ab=c://should.fail.com",
        "//example.org/a",
        # RFC 3986 2.1: a percent sign and two hexadecimal digits.
        "http://example.org/%zz",
        "http://example.org/%4",
        "http://example.org/%",
        "http://ex%ample.org/",
        "x:%gg",
        # One fragment.
        "http://example.org/a#b#c",
        "x:#a#",
        # RFC 9110 4.2.1 and 4.2.2: a host.
        "http://",
        "https://",
        "HTTPS://",
        "http:",
        "http:/",
        "http:a",
        "http:/example.org/a",
        "https:///a",
        "http://:80/",
        "http://user@/",
        "http://?q",
        "http://#f",
        # RFC 3986 3.2: what a host and a port are.
        "http://example.org:port/",
        "http://example.org:80:80/",
        "http://a@b@c/",
        "http://[2001:db8::7/",
        "http://[2001:db8::7::1]/",
        "http://[1.2.3.4]/",
        "http://[::256.0.0.1]/",
        "http://2001:db8::7/",
        "http://[a]/",
        # RFC 3987 2.2: characters.
        "http://example.org/a b",
        "http://example.org/a\u0000",
        "http://example.org/a\n",
        "http://example.org/a\u0080",
        "http://example.org/a\u009f",
        "http://example.org/\ue000",
        "http://example.org/?q#\ue000",
        "http://example.org/\ufdd0",
        "http://example.org/\ufffd",
        "http://example.org/\U0001fffe",
        "http://example.org/\U000e0001",
        "http://example.org/?\U0010ffff",
        # RFC 3987 4.1: characters that turn the direction of writing.
        "http://example.org/\u202egpj.exe",
        "http://example.org/\u200f",
        *(f"http://example.org/{sign}" for sign in '<>"{}|\\^`'),
    ],
)
def test_no_iris(text: str) -> None:
    assert not matches("iri", text)
    assert not matches("openid", text)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("fr", True),
        ("zh-cmn-Hans-CN", True),
        ("sl-rozaj-biske-1994", True),
        ("de-CH-x-phonebk", True),
        ("en-a-bbb-x-a-ccc", True),
        ("x-whatever", True),
        ("art-lojban", True),
        ("zh-min-nan", True),
        # RFC 5646 2.1.1: in upper and lower case alike; 2.2.8: these and no others.
        ("i-klingon", True),
        ("I-KLINGON", True),
        ("en-gb-oed", True),
        ("en-GB-OED", True),
        ("SGN-be-fr", True),
        ("sgn-BE-NL", True),
        ("i-klingons", False),
        ("i-foo", False),
        ("sgn-BE-DEU", False),
        ("a12345", False),
        ("fr_FR", False),
        ("fr-", False),
        ("fr-a", False),
        ("x-", False),
        ("de-419-DE", False),
        ("français", False),
        ("fr\n", False),
        ("", False),
    ],
)
def test_language_tags(text: str, right: bool) -> None:
    assert matches("languageTag", text) is right


@pytest.mark.parametrize("text", ["mailto:a\u0085b@c.fr", "mailto:a@c.fr\u009f", "mailto:a@b@c.fr", "mailto:@c.fr"])
def test_no_addresses(text: str) -> None:
    assert not matches("mbox", text)


OPENID = {"openid": "https://id.example.fr/1"}


@pytest.mark.parametrize(
    ("group", "right"),
    [
        ({"member": [OPENID]}, True),
        ({**OPENID}, True),
        ({**OPENID, "member": []}, True),
        # xAPI-Data 2.4.2.2: an anonymous group lists who is in it.
        ({"member": []}, False),
        ({"name": "6e B", "member": []}, False),
        ({}, False),
    ],
)
def test_a_group_is_of_somebody(group: dict[str, Any], right: bool) -> None:
    found = actor_faults({"objectType": "Group", **group}, "/actor")
    assert [fault.rule for fault in found] == ([] if right else ["group-identifier"])
