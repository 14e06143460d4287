import copy
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from app.core import contracts, lossless
from app.core.errors import MAX_POINTER, Fault, InvalidStatement
from app.core.lossless import Digits
from app.standards.xapi.decode import MAX_STATEMENT_BYTES, MAX_VALUES
from app.standards.xapi.identifiers import MAX_IDENTIFIER_LENGTH
from app.standards.xapi.validate import MAX_FAULTS, actor_faults, matches, validate
from app.standards.xapi.versions import Version

VERSIONS = list(Version)
Change = Callable[[dict[str, Any]], object]


def faults(statements: list[dict[str, Any]], version: Version, *, many: bool = False) -> tuple[Fault, ...]:
    with pytest.raises(InvalidStatement) as refused:
        validate(statements, version, many=many)
    return refused.value.faults


@pytest.mark.parametrize("version", VERSIONS)
def test_good_statements_pass(simple: dict[str, Any], full: dict[str, Any], version: Version) -> None:
    validate([simple], version, many=False)
    validate([simple, full], version, many=True)
    validate([], version, many=True)


def test_pointers_start_at_the_root_of_the_body(simple: dict[str, Any]) -> None:
    bad = copy.deepcopy(simple)
    bad["actor"] = {"mbox": "nobody"}
    assert faults([bad], Version.V1)[0].pointer == "/actor/mbox"
    [fault] = faults([simple, simple, bad], Version.V1, many=True)
    assert fault == Fault("/2/actor/mbox", "mbox-format", "xAPI-Data 2.4.2.3", "Must be mailto: and an e-mail address.")


def test_rules_beyond_the_schema_are_told_beside_those_of_it(simple: dict[str, Any]) -> None:
    late = {**simple, "timestamp": "2026-02-30T00:00:00Z"}
    assert [f.pointer for f in faults([late, {**simple, "verb": 1}], Version.V2, many=True)] == [
        "/0/timestamp",
        "/1/verb",
    ]


@pytest.mark.parametrize("bad", [{}, {"actor": 3, "verb": None, "object": []}])
def test_faults_are_many_but_bounded(bad: dict[str, Any]) -> None:
    assert len(faults([bad] * 100, Version.V1, many=True)) == MAX_FAULTS


def test_no_fault_says_a_value(full: dict[str, Any]) -> None:
    secret = "Jean-Secret Martin"

    def poison(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: poison(value) for key, value in node.items()}
        return [poison(each) for each in node] if isinstance(node, list) else secret

    found = faults([poison(full)], Version.V1)
    assert len(found) == MAX_FAULTS
    assert secret not in repr(found)


def test_a_fault_is_told_once(simple: dict[str, Any]) -> None:
    simple["object"] = "https://example.fr/a"
    assert [(f.pointer, f.message) for f in faults([simple], Version.V1)] == [("/object", "Must be an object.")]


def test_a_second_identifier_points_at_the_agent_among_the_members(simple: dict[str, Any]) -> None:
    member = {"openid": "https://x.fr", "mbox": "mailto:a@b.fr"}
    simple["actor"] = {"objectType": "Group", "member": [{"openid": "https://x.fr"}, member]}
    [fault] = faults([simple], Version.V2)
    assert (fault.pointer, fault.rule) == ("/actor/member/1", "agent-identifier")
    assert "exactly one of mbox, mbox_sha1sum, openid, account" in fault.message


def test_keys_are_escaped_in_pointers(simple: dict[str, Any]) -> None:
    simple["context"] = {"extensions": {"a/b~c": 1}}
    assert faults([simple], Version.V1)[0].pointer == "/context/extensions/a~1b~0c"


def test_a_deep_extension_is_no_trouble(simple: dict[str, Any]) -> None:
    deep: Any = 1
    for _ in range(240):
        deep = {"a": deep}
    simple["context"] = {"extensions": {"https://x.fr/deep": deep}}
    validate([simple], Version.V2, many=False)
    simple["verb"] = None
    assert [f.pointer for f in faults([simple], Version.V2)] == ["/verb"]


def test_a_part_can_be_checked_alone() -> None:
    assert actor_faults({"openid": "https://x.fr"}, "/agent") == []
    assert [f.pointer for f in actor_faults({"account": {"name": "a"}}, "/agent")] == ["/agent/account"]
    deep: Any = {}
    for _ in range(5_000):
        deep = {"account": deep}
    assert [f.pointer for f in actor_faults(deep, "/agent")] == ["/agent/account", "/agent/account/account"]
    assert matches("iri", "uuid://7d4f3c70")
    assert not matches("iri", "7d4f3c70")


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (b'{"mbox":%s}', "/agent/mbox"),
        (b'{"account":{"homePage":"https://x.fr","name":%s}}', "/agent/account/name"),
        (b'{"objectType":"Group","member":[{"openid":%s}]}', "/agent/member/0/openid"),
        (b"%s", "/agent"),
        (b"[%s]", "/agent"),
    ],
)
@pytest.mark.parametrize("number", [b"9" * 20, b"9" * 5_000, b"1e999"])
def test_an_actor_outside_a_statement_may_hold_any_number(text: bytes, pointer: str, number: bytes) -> None:
    # Bodies of the API are read so that no digit is lost, and the validator knows no such number.
    assert [fault.pointer for fault in actor_faults(lossless.loads(text % number), "/agent")] == [pointer]


@pytest.mark.parametrize("version", VERSIONS)
def test_numbers_that_64_bits_do_not_hold_are_held_to_what_is_said_of_numbers(
    simple: dict[str, Any], version: Version
) -> None:
    long, most = Digits("1" * 30), Digits("1e400")

    def with_result(result: dict[str, Any]) -> dict[str, Any]:
        return {**simple, "result": result}

    # xAPI-Data 4.1: no statement is refused for the values of extensions.
    for value in (long, most, [{"a": long}], {"b": [most, None]}):
        validate([with_result({"extensions": {"https://ent.example/x": value}})], version, many=False)
    validate([with_result({"score": {"raw": long, "min": 0, "max": most}})], version, many=False)
    attached = {
        "usageType": "https://ent.example/u", "display": {"en": "x"}, "contentType": "text/plain", "length": long,
        "sha2": "a" * 64, "fileUrl": "https://ent.example/f",
    }  # fmt: skip
    validate([{**simple, "attachments": [attached]}], version, many=False)
    for wrong, pointer, rule in (
        ({"score": {"scaled": long}}, "/result/score/scaled", "-range"),
        ({"score": {"raw": long, "max": 3}}, "/result/score/raw", "score-order"),
        ({"success": long}, "/result/success", "-type"),
        ({"response": most}, "/result/response", "-type"),
        (long, "/result", "-type"),
    ):
        [fault] = faults([with_result(wrong)], version)
        assert fault.pointer == pointer and fault.rule.endswith(rule)
        assert "111" not in str(fault)


def test_pointers_are_bounded_however_long_the_keys_are(simple: dict[str, Any]) -> None:
    wrong = {**simple, "k" * 500_000: 1, "result": {"extensions": {"x" * 400_000: 1}}}
    found = faults([wrong], Version.V2)
    assert {fault.pointer[:20] for fault in found} == {"/" + "k" * 19, "/result/extensions/x"}
    assert all("…" in fault.pointer and len(fault.pointer) < 300 for fault in found)


# --- what a refusal costs ---------------------------------------------------------------------------
# Statements of a mebibyte each that are wrong in many places, or right in many and wrong at the end: senders choose.
# A body holds so many of them as it may. Fractions of a second, where the reference implementation takes minutes.

Grow = Callable[[int], dict[str, Any]]
AGENT = {"mbox": "mailto:a@b"}
ATTACHMENT = {"usageType": "a:b", "display": {}, "contentType": "a/b", "length": 1, "sha2": "a" * 64}


def group(*members: Any, many: Any, n: int) -> dict[str, Any]:
    return {"actor": {"objectType": "Group", "member": [many] * n + list(members)}}


def defined(**parts: Any) -> dict[str, Any]:
    return {"object": {"id": "a:b", "definition": {"interactionType": "choice", **parts}}}


PLANTED: dict[str, Grow] = {
    "members": lambda n: group(many=1, n=n),
    "members of two identities": lambda n: group(many={**AGENT, "openid": "a:b"}, n=n),
    "the last member": lambda n: group(1, many=AGENT, n=n),
    "unknown properties": lambda n: {f"p{at}": 1 for at in range(n)},
    "keys of extensions": lambda n: {"context": {"extensions": {str(at): 1 for at in range(n)}}},
    "the last key of extensions": lambda n: {"result": {"extensions": {**{f"a:{at}": 1 for at in range(n)}, "": 1}}},
    "texts of a language map": lambda n: {"verb": {"id": "a:b", "display": {f"fr-{at:05}": 1 for at in range(n)}}},
    "the last text of a language map": lambda n: {
        "verb": {"id": "a:b", "display": {**{f"fr-{at:05}": "" for at in range(n)}, "fr": 1}}
    },
    "repeated components": lambda n: defined(choices=[{"id": "a"}] * n),
    "the last component": lambda n: defined(choices=[{"id": "a"}] * n + [{}]),
    "attachments": lambda n: {"attachments": [ATTACHMENT] * n},
    "the last attachment": lambda n: {"attachments": [{**ATTACHMENT, "fileUrl": "a:b"}] * n + [{}]},
    "the last activity": lambda n: {"context": {"contextActivities": {"other": [{"id": "a:b"}] * n + [{}]}}},
    "a long key": lambda n: {"k" * n: 1},
    "a long IRI": lambda n: {"verb": {"id": f"http://{'a' * n} "}},
    "an IRI of escapes": lambda n: {"verb": {"id": f"http://a/{'%41' * n}%"}},
    "an IRI of authorities": lambda n: {"verb": {"id": f"http://{'a:' * n}@"}},
    "a long address": lambda n: {"actor": {"mbox": f"mailto:{'a' * n}"}},
    "a long duration": lambda n: {"result": {"duration": f"P{'1' * n}"}},
    "a long language": lambda n: {"context": {"language": f"fr{'-aaaaa' * n}_"}},
    "a long media type": lambda n: {"attachments": [{**ATTACHMENT, "contentType": f"a/b{' ' * n};\n"}]},
    "around a SubStatement": lambda n: {
        "object": {"objectType": "SubStatement", "object": {"id": "a:b"}, **group(many=AGENT, n=n), "verb": 1}
    },
}


def planted(grow: Grow, simple: dict[str, Any]) -> list[dict[str, Any]]:
    """As many statements of about a mebibyte as a body may hold, at most as many as all of whose faults are told."""

    def made(n: int) -> bytes:
        return orjson.dumps({**simple, **grow(n)})

    n = 1_000
    while len(made(n)) < MAX_STATEMENT_BYTES * 3 // 4:
        n = n * MAX_STATEMENT_BYTES * 9 // 10 // len(made(n)) + 1
    body = made(n)
    count = min(MAX_FAULTS - 1, MAX_VALUES // sum(map(body.count, (b",", b"[", b"{", b":"))))
    return [orjson.loads(body) for _ in range(count)]


@pytest.mark.parametrize("what", PLANTED)
def test_a_refusal_costs_little_however_large_the_body(what: str, simple: dict[str, Any]) -> None:
    bodies = planted(PLANTED[what], simple)
    faults([{**simple, "verb": 1}], Version.V2)  # what is made once
    began = time.process_time()
    found = faults(bodies, Version.V2, many=True)
    assert time.process_time() - began < 2.5
    assert found
    assert all(len(fault.pointer) <= MAX_POINTER for fault in found)


def test_past_what_may_be_looked_at_each_statement_has_one_fault(simple: dict[str, Any]) -> None:
    large = {**simple, **group(1, many=AGENT, n=60_000)}
    wrong = {**simple, "actor": {}, "verb": {}}
    found = faults([wrong, large, wrong], Version.V2, many=True)
    assert [fault.pointer for fault in found] == ["/0/actor", "/0/verb", "/1/actor/member/60000", "/2/actor"]


@pytest.mark.parametrize(
    ("keys", "pointer"),
    [
        (["7"], "/1/verb/display/7"),
        (["007"], "/1/verb/display/007"),
        (["+7"], "/1/verb/display/+7"),
        (["07", "007"], "/1/verb/display"),
        ([""], "/1/verb/display"),
        (["a/b"], "/1/verb/display/a~1b"),
        (["9" * 5_000], f"/1/verb/display/{'9' * 150}…{'9' * 40}"),
        (["000", "9" * 5_000], "/1/verb/display/000"),
        (["000"], "/1/verb/display/000"),
    ],
)
def test_then_keys_that_look_like_numbers_are_keys(simple: dict[str, Any], keys: list[str], pointer: str) -> None:
    large = {**simple, **group(1, many=AGENT, n=60_000)}
    wrong = {**simple, "verb": {"id": "a:b", "display": dict.fromkeys(keys, 1)}}
    assert faults([large, wrong], Version.V2, many=True)[1].pointer == pointer


def identifiers(length: int) -> dict[str, dict[str, Any]]:
    """Statements with an identifier of so many characters, by the pointer of it; some are not one byte each."""
    agents: dict[str, dict[str, Any]] = {
        "mbox": {"mbox": "mailto:" + "é" * (length - 12) + "@a.fr"},
        "openid": {"openid": "https://a.fr/" + "é" * (length - 13)},
        "account/homePage": {"account": {"homePage": "https://a.fr/" + "é" * (length - 13), "name": "n"}},
        "account/name": {"account": {"homePage": "https://a.fr", "name": "é" * length}},
    }
    iri = "https://a.fr/" + "é" * (length - 13)
    plain = {"actor": {"mbox": "mailto:a@a.fr"}, "verb": {"id": "https://a.fr/v"}, "object": {"id": "https://a.fr/o"}}
    group = {"objectType": "Group", "member": [{"mbox": "mailto:a@a.fr"}]}
    return {
        "/verb/id": {**plain, "verb": {"id": iri}},
        "/object/id": {**plain, "object": {"id": iri}},
        "/context/contextActivities/parent/1/id": {
            **plain,
            "context": {"contextActivities": {"parent": [plain["object"], {"id": iri}]}},
        },
        **{f"/actor/{place}": {**plain, "actor": agent} for place, agent in agents.items()},
        **{
            f"/context/team/member/0/{place}": {**plain, "context": {"team": {**group, "member": [agent]}}}
            for place, agent in agents.items()
        },
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pointer", identifiers(100))
def test_what_statements_are_found_by_has_a_length(version: Version, pointer: str) -> None:
    validate([identifiers(MAX_IDENTIFIER_LENGTH)[pointer]], version, many=False)
    (fault,) = faults([identifiers(MAX_IDENTIFIER_LENGTH + 1)[pointer]], version)
    assert (fault.pointer, fault.section) == (pointer, "Sillage")
    assert fault.rule.endswith("-size")
    assert "8,192" in fault.message


def test_the_schemas_say_that_length() -> None:
    def said(node: Any) -> set[int]:
        if isinstance(node, dict):
            here = {node["maxLength"]} if "maxLength" in node else set()
            return here.union(*map(said, node.values()))
        return set()

    for version in VERSIONS:
        assert said(contracts.load("xapi", version.value, "statement.json")) == {MAX_IDENTIFIER_LENGTH}


def test_what_was_stored_before_there_was_a_length_can_still_be_asked_for() -> None:
    long = "https://a.fr/" + "a" * 100_000
    assert matches("iri", long)
    assert not actor_faults({"openid": long}, "")
    assert not actor_faults({"account": {"homePage": long, "name": long}}, "")


@pytest.mark.parametrize("version", VERSIONS)
def test_addresses_that_nothing_is_found_by_may_be_long(full: dict[str, Any], version: Version) -> None:
    long = "data:text/plain," + "a" * 100_000
    definition = full["object"]["object"]["definition"]
    definition["moreInfo"] = long
    definition["extensions"] = {long: long}
    full["attachments"][0]["fileUrl"] = long
    validate([full], version, many=False)
