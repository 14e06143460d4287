"""Documents as pure rules: parameters, merge, entity tags, preconditions."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import BadParameter, BadRequest, MalformedJSON
from app.standards.xapi.documents import (
    ANY,
    Bare,
    Conditions,
    Content,
    Method,
    Place,
    Resource,
    bare_put,
    check_posted,
    conditions,
    etag,
    merge,
    parse_place,
)
from app.standards.xapi.identifiers import MAX_IDENTIFIER_LENGTH
from app.standards.xapi.versions import Version

AGENT = '{"account":{"homePage":"https://ent.example","name":"eleve-1"}}'
STATE = {"activityId": "https://ent.example/a", "agent": AGENT, "stateId": "bookmark"}
ACTIVITY_PROFILE = {"activityId": "https://ent.example/a", "profileId": "p"}
AGENT_PROFILE = {"agent": AGENT, "profileId": "p"}
COMPLETE = [
    (Resource.STATE, STATE),
    (Resource.ACTIVITY_PROFILE, ACTIVITY_PROFILE),
    (Resource.AGENT_PROFILE, AGENT_PROFILE),
]
METHODS: tuple[Method, ...] = ("GET", "PUT", "POST", "DELETE")


def parsed(resource: Resource, method: Method, given: dict[str, str]) -> Place:
    return parse_place(resource, method, list(given.items()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("resource", "given"), COMPLETE)
def test_complete_parameters(resource: Resource, given: dict[str, str], method: Method) -> None:
    place = parsed(resource, method, given)
    assert place.id == given.get("stateId", given.get("profileId"))
    assert place.activity == given.get("activityId")
    assert (place.agent == "account:https://ent.example|eleve-1") is ("agent" in given)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("resource", "given"), COMPLETE)
def test_each_needed_parameter(resource: Resource, given: dict[str, str], method: Method) -> None:
    # xAPI-Communication 2.3, 2.6, 2.7
    for name in given:
        less = {key: text for key, text in given.items() if key != name}
        is_list = name in {"stateId", "profileId"}
        if is_list and (method == "GET" or (method == "DELETE" and resource is Resource.STATE)):
            assert parsed(resource, method, less).id is None
            continue
        with pytest.raises(BadParameter) as refused:
            parsed(resource, method, less)
        (fault,) = refused.value.faults
        assert (fault.pointer, fault.rule) == (f"/{name}", "parameter-missing")
        assert fault.section.startswith("xAPI-Communication 2.")


@pytest.mark.parametrize(
    ("resource", "name", "text"),
    [
        (Resource.STATE, "activityId", "no-scheme"),
        (Resource.STATE, "agent", "not JSON"),
        (Resource.STATE, "agent", "true"),
        (Resource.STATE, "agent", "{}"),
        (Resource.STATE, "agent", '{"objectType":"Group","member":[' + AGENT + "]}"),
        (Resource.STATE, "registration", "true"),
        (Resource.ACTIVITY_PROFILE, "agent", AGENT),
        (Resource.ACTIVITY_PROFILE, "ProfileId", "bookmark-7"),
        (Resource.AGENT_PROFILE, "activityId", "https://ent.example/a"),
        (Resource.AGENT_PROFILE, "registration", "ec531277-b57b-4c15-8d91-d292c5b2b8f7"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_parameters_that_are_not_right(resource: Resource, method: Method, name: str, text: str) -> None:
    with pytest.raises(BadParameter) as refused:
        parsed(resource, method, {**dict(COMPLETE)[resource], name: text})
    assert refused.value.faults and text not in str(refused.value)


def test_a_parameter_given_twice() -> None:
    with pytest.raises(BadParameter):
        parse_place(Resource.STATE, "GET", [*STATE.items(), ("stateId", "other")])


def test_since_is_for_lists_only() -> None:
    listing = {"activityId": STATE["activityId"], "agent": AGENT, "since": "2026-11-22T10:00:00Z"}
    assert parsed(Resource.STATE, "GET", listing).since == 1_795_341_600_000_000
    for method, wrong in (("GET", {**listing, "stateId": "s"}), ("DELETE", listing)):
        with pytest.raises(BadParameter):
            parsed(Resource.STATE, method, wrong)  # type: ignore[arg-type]
    with pytest.raises(BadParameter):
        parsed(Resource.STATE, "GET", {**listing, "since": "yesterday"})


def test_one_registration_in_any_case() -> None:
    upper = {**STATE, "registration": "EC531277-B57B-4C15-8D91-D292C5B2B8F7"}
    assert parsed(Resource.STATE, "GET", upper).registration == "ec531277-b57b-4c15-8d91-d292c5b2b8f7"


# --- entity tags (xAPI-Communication 3.1) -----------------------------------------------------------


def test_the_etag_is_the_sha1_of_the_content() -> None:
    assert etag(b"abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (None, None),
        ("*", ANY),
        (" * ", ANY),
        ('"a"', {"a"}),
        ('"a", "b"', {"a", "b"}),
        ('W/"a","b,c"', {"a", "b,c"}),
        ('""', {""}),
    ],
)
def test_reading_a_header(header: str | None, tags: object) -> None:
    assert conditions(header, None).if_match == tags
    assert conditions(None, header).if_none_match == tags


@pytest.mark.parametrize("header", ["", "abc", '"a" "b"', '"a', '*, "a"', "'a'"])
def test_a_header_that_is_none(header: str) -> None:
    with pytest.raises(BadRequest):
        conditions(header, None)


@pytest.mark.parametrize(
    ("asked", "current", "fails"),
    [
        (Conditions(), None, False),
        (Conditions(), "a", False),
        (Conditions(if_match=frozenset({"a"})), "a", False),
        (Conditions(if_match=frozenset({"b"})), "a", True),
        (Conditions(if_match=frozenset({"a"})), None, True),
        (Conditions(if_match=ANY), "a", False),
        (Conditions(if_match=ANY), None, True),
        (Conditions(if_none_match=ANY), None, False),
        (Conditions(if_none_match=ANY), "a", True),
        (Conditions(if_none_match=frozenset({"a"})), "a", True),
        (Conditions(if_none_match=frozenset({"b"})), "a", False),
        (Conditions(frozenset({"a"}), frozenset({"a"})), "a", True),
    ],
)
def test_preconditions(asked: Conditions, current: str | None, fails: bool) -> None:
    assert asked.fail(current) is fails


def test_what_a_put_may_do_without_conditions() -> None:
    # xAPI-Communication 3.1; IEEE 9274.1.1 4.1.4
    assert {resource: bare_put(resource, Version.V1) for resource in Resource} == {
        Resource.STATE: Bare.OVERWRITE,
        Resource.ACTIVITY_PROFILE: Bare.REFUSE,
        Resource.AGENT_PROFILE: Bare.REFUSE,
    }
    assert {bare_put(resource, Version.V2) for resource in Resource} == {Bare.CREATE}


# --- merge (xAPI-Communication 2.2) -----------------------------------------------------------------


def document(value: Any, kind: str = "application/json") -> Content:
    return Content(kind, orjson.dumps(value))


def test_top_level_properties_replace_those_that_are_there() -> None:
    merged = merge(
        document({"a": 1, "b": {"x": 1}}), document({"b": {"y": 2}, "c": 3}, "application/JSON; charset=utf-8")
    )
    assert orjson.loads(merged.body) == {"a": 1, "b": {"y": 2}, "c": 3}
    assert merged.type == "application/json"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_OBJECTS = st.dictionaries(st.text(), _JSON, max_size=5)


# A machine with other work takes its time to make them up.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_OBJECTS, _OBJECTS)
def test_no_value_changes_in_a_merge(stored: dict[str, Any], posted: dict[str, Any]) -> None:
    first, second = (Content("application/json", json.dumps(each).encode()) for each in (stored, posted))
    assert json.loads(merge(first, second).body) == {**stored, **posted}


@pytest.mark.parametrize(
    "value", ["1" * 30, "9" * 10_000, "0.10", "1e999", "-0", '"\\ud800"', '{"a": 1, "a": 2}', '[1.000, "\u00e9"]']
)
def test_a_value_stays_as_it_is_written(value: str) -> None:
    # xAPI-Communication 2.2: a merge sets properties, and changes nothing in what it does not set.
    stored = Content("application/json", f' {{ "kept" : {value} ,"set":{value}}}'.encode())
    posted = Content("application/json", f'{{"new":{value}, "set": 1}}\n'.encode())
    assert merge(stored, posted).body == f'{{"kept":{value},"set":1,"new":{value}}}'.encode()
    check_posted(Content("application/json", value.encode()))


@pytest.mark.parametrize(
    ("stored", "posted"),
    [
        (document({}, "text/plain"), document({})),
        (document({}), document({}, "application/octet-stream")),
        (document({}), document([])),
        (document([]), document({})),
        (document({}), Content("application/json", b'{"a":1}{')),
        (document({}), Content("application/json", b"")),
        (document({}), Content("application/json", b'{"a":NaN}')),
        (document({}), Content("application/json", b'{"a":1,}')),
        (document({}), Content("application/json", b'{"a" 1}')),
        (document({}), Content("application/json", b"{1:1}")),
        (document({}), Content("application/json", b'{"a":1}x')),
        (document({}), Content("application/json", b'{"a":')),
        (document({}), Content("application/json", b"{")),
        (document({}), Content("application/json", b'{"a":"\xff"}')),
        (document({}), Content("application/json", b'{"a":' + b"[" * 100_000)),
        (Content("application/json", b"no"), document({})),
    ],
)
def test_what_cannot_be_merged(stored: Content, posted: Content) -> None:
    with pytest.raises(BadRequest):
        merge(stored, posted)


def test_what_is_posted_as_json_is_json() -> None:
    check_posted(document([1]))
    check_posted(Content("text/plain", b"{"))
    with pytest.raises(MalformedJSON):
        check_posted(Content("application/json", b"{"))


@pytest.mark.parametrize("resource", list(Resource))
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_new_document_has_no_longer_name_than_other_identifiers(resource: Resource, method: Method) -> None:
    agent = '{"mbox":"mailto:a@a.fr"}'
    given = {"agent": agent} if resource is not Resource.ACTIVITY_PROFILE else {}
    given |= {"activityId": "https://a.fr/a"} if resource is not Resource.AGENT_PROFILE else {}
    key = "stateId" if resource is Resource.STATE else "profileId"
    name = "é" * MAX_IDENTIFIER_LENGTH
    assert parse_place(resource, method, [*given.items(), (key, name)]).id == name
    with pytest.raises(BadParameter) as refused:
        parse_place(resource, method, [*given.items(), (key, name + "a")])
    assert [(fault.pointer, fault.rule) for fault in refused.value.faults] == [(f"/{key}", "parameter-size")]
    # What is there already can be read and deleted.
    others: tuple[Method, ...] = ("GET", "DELETE")
    for other in others:
        assert parse_place(resource, other, [*given.items(), (key, name + "a")]).id == name + "a"
