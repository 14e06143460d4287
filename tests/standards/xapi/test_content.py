import copy
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.standards.xapi.content import content_fingerprint, members, members_kept, normalise, same, stamp
from app.standards.xapi.timestamps import parse
from app.standards.xapi.versions import Version

Change = Callable[[dict[str, Any]], object]
VERSIONS = list(Version)

SAME: dict[str, Change] = {
    "id": lambda s: s.pop("id"),
    "stored": lambda s: s.update(stored="2001-01-01T00:00:00Z"),
    "authority": lambda s: s.update(authority={"mbox": "mailto:a@b.fr"}),
    "version": lambda s: s.update(version="1.0.0"),
    "verb display": lambda s: s["verb"].pop("display"),
    "definition": lambda s: s["object"]["object"].pop("definition"),
    "other zone": lambda s: s.update(timestamp="2026-11-22T09:00:00.1234560Z"),
    "sub-statement zone": lambda s: s["object"].update(timestamp="2030-01-01T07:00:00Z"),
    "single activity as array": lambda s: s["context"]["contextActivities"].update(
        parent=[s["context"]["contextActivities"]["parent"]]
    ),
    "mailbox case": lambda s: s["context"]["instructor"].update(mbox="mailto:other@example.fr"),
    "member order": lambda s: s["actor"]["member"].reverse(),
    "team order": lambda s: s["context"]["team"]["member"].reverse(),
    "registration case": lambda s: s["context"].update(registration=s["context"]["registration"].lower()),
    "duration below 0.01 s": lambda s: s["result"].update(duration="PT1M2.34S"),
    "property order": lambda s: s.update(actor=s.pop("actor")),
}
OTHER: dict[str, Change] = {
    "actor": lambda s: s["actor"].update(openid="https://id.example.fr/5"),
    "actor name": lambda s: s["actor"].update(name="Other team"),
    "account case": lambda s: s["actor"]["member"][0]["account"].update(name="E-0001"),
    "member": lambda s: s["actor"]["member"].pop(),
    "verb": lambda s: s["verb"].update(id="https://example.fr/verbs/other"),
    "object": lambda s: s["object"]["object"].update(id="https://example.fr/activities/other"),
    "result": lambda s: s["result"].update(success=False),
    "extension": lambda s: s["context"]["extensions"].update({"https://example.fr/ext/room": 1}),
    "instant": lambda s: s.update(timestamp="2026-11-22T10:00:00.123457+01:00"),
    "no timestamp": lambda s: s.pop("timestamp"),
    "duration": lambda s: s["result"].update(duration="PT1M2.35S"),
    "duration in other units": lambda s: s["result"].update(duration="PT62.34S"),
    "registration": lambda s: s["context"].update(registration="ABCDEFAB-0000-4000-8000-000000000003"),
    "context activity": lambda s: s["context"]["contextActivities"].pop("parent"),
    "attachment": lambda s: s["attachments"][0].update(sha2="b" * 64),
}


@pytest.mark.parametrize("name", SAME)
def test_data_2_3_1_differences_that_are_none(full: dict[str, Any], name: str) -> None:
    changed = copy.deepcopy(full)
    SAME[name](changed)
    assert changed != full or name == "property order"
    assert content_fingerprint(changed) == content_fingerprint(full)


@pytest.mark.parametrize("name", OTHER)
def test_data_2_3_1_differences_that_count(full: dict[str, Any], name: str) -> None:
    changed = copy.deepcopy(full)
    OTHER[name](changed)
    assert content_fingerprint(changed) != content_fingerprint(full)


@pytest.mark.parametrize(("one", "other"), [("PT1.50S", "PT1.5S"), ("PT1.004S", "PT1S"), ("PT2M1,509S", "PT2M1.5S")])
def test_data_4_6_durations_are_compared_to_the_hundredth(full: dict[str, Any], one: str, other: str) -> None:
    fingerprints = []
    for duration in (one, other):
        full["result"]["duration"] = duration
        fingerprints.append(content_fingerprint(full))
    assert fingerprints[0] == fingerprints[1]


@given(names=st.lists(st.sampled_from(sorted(SAME)), unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_several_differences_that_are_none_together(full: dict[str, Any], names: list[str]) -> None:
    changed = copy.deepcopy(full)
    for name in names:
        SAME[name](changed)
    assert content_fingerprint(changed) == content_fingerprint(full)


@pytest.mark.parametrize("version", VERSIONS)
def test_normalising_twice_is_normalising_once_and_changes_no_content(full: dict[str, Any], version: Version) -> None:
    before = copy.deepcopy(full)
    once = normalise(full, version)
    assert full == before
    assert normalise(once, version) is once
    assert content_fingerprint(once) == content_fingerprint(full)


TIMES = ["2026-01-01T10:00:00+02:00", "2026-01-01T10:00:00Z", "2026-01-01t10:00:00.5-11:30", None]
LISTS = st.one_of(
    st.just({"id": "https://x.fr/1"}), st.lists(st.just({"id": "https://x.fr/2", "definition": {}}), max_size=2)
)
STATEMENTS = st.fixed_dictionaries(
    {
        "actor": st.sampled_from(
            [{"mbox": "mailto:A@b.fr"}, {"objectType": "Group", "member": [{"mbox": "mailto:A@b.fr"}]}]
        ),
        "verb": st.just({"id": "https://x.fr/v", "display": {"fr": "v"}}),
        "object": st.just({"id": "https://x.fr/o"}),
    },
    optional={
        "timestamp": st.sampled_from([time for time in TIMES if time]),
        "context": st.fixed_dictionaries(
            {}, optional={"contextActivities": st.dictionaries(st.sampled_from(["parent", "other"]), LISTS)}
        ),
        "result": st.fixed_dictionaries({"duration": st.from_regex(r"PT[0-9]{1,2}([.,][0-9]{1,4})?S", fullmatch=True)}),
    },
)


@given(STATEMENTS, st.booleans(), st.sampled_from(VERSIONS))
def test_normalising_any_statement_is_idempotent_and_keeps_its_content(
    inner: dict[str, Any], nested: bool, version: Version
) -> None:
    statement = inner
    if nested:
        statement = {**inner, "object": {"objectType": "SubStatement", **inner}}
    once = normalise(statement, version)
    assert normalise(once, version) == once
    assert content_fingerprint(once) == content_fingerprint(statement)


def test_data_2_4_6_2_single_activities_become_arrays(full: dict[str, Any]) -> None:
    kept = normalise(full, Version.V1)
    for context in (kept["context"], kept["object"]["context"]):
        assert context["contextActivities"]["parent"] == [full["context"]["contextActivities"]["parent"]]
    assert kept["timestamp"] == full["timestamp"]


def test_ieee_4_2_7_times_become_utc(full: dict[str, Any]) -> None:
    kept = normalise(full, Version.V2)
    assert kept["timestamp"] == "2026-11-22T09:00:00.123456Z"
    assert kept["object"]["timestamp"] == "2030-01-01T07:00:00.000000Z"


def test_a_statement_already_in_that_form_is_not_copied(simple: dict[str, Any]) -> None:
    assert normalise(simple, Version.V2) is simple


def kept(statement: dict[str, Any], version: Version = Version.V1, **said: Any) -> dict[str, Any]:
    """The statement that comes back for one that was sent."""
    normal = normalise(statement, version)
    reported = {"id": UUID(int=7), "stored_us": 1_500_000, "authority": b'{"openid":"https://x.fr"}', **said}
    sent = members(normal, statement, orjson.dumps(statement))
    written = stamp(sent, normal, version=version, **reported)
    assert written == orjson.dumps(orjson.loads(written))
    # The other way round, for every statement that is tried here.
    assert members_kept(written) == sent
    return orjson.loads(written)


@pytest.mark.parametrize(("version", "said"), [(Version.V1, "1.0.0"), (Version.V2, "2.0.0")])
@pytest.mark.parametrize("first", [True, False])
def test_data_2_4_8_the_store_says_what_only_it_can(
    simple: dict[str, Any], version: Version, said: str, first: bool
) -> None:
    own = {"id": str(UUID(int=8))}
    forged = {"authority": {"mbox": "mailto:forged@example.fr"}, "stored": "2001-01-01T00:00:00Z"}
    simple = {**own, **simple, **forged} if first else {**simple, **forged, **own}
    stamped = kept(simple, version)
    assert stamped["id"] == str(UUID(int=7))
    assert stamped["stored"] == stamped["timestamp"] == "1970-01-01T00:00:01.500000Z"
    assert stamped["authority"] == {"openid": "https://x.fr"}
    assert stamped["version"] == said


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", ["first", "last", "none", "upper"])
def test_what_was_sent_comes_back_wherever_its_id_stood(full: dict[str, Any], version: Version, place: str) -> None:
    identifier = full.pop("id")
    if place == "first":
        full = {"id": identifier, **full}
    elif place != "none":
        full["id"] = identifier.upper() if place == "upper" else identifier
    stamped = kept(full, version)
    assert parse(stamped["timestamp"]) == parse(full["timestamp"])
    assert stamped["version"] == "1.0.3"
    assert content_fingerprint(stamped) == content_fingerprint(full)
    assert same(full, stamped)


@given(STATEMENTS, st.sampled_from(VERSIONS))
def test_a_statement_is_the_same_as_what_is_kept_of_it(statement: dict[str, Any], version: Version) -> None:
    stamped = kept(statement, version)
    assert same(statement, stamped)
    # What a reader got and sends back is the same too.
    assert same(stamped, stamped)
    assert not same({**statement, "verb": {"id": "https://x.fr/other"}}, stamped)
    assert not same({**statement, "timestamp": "1999-01-01T00:00:00Z"}, stamped)


def test_what_was_sent_is_found_among_texts_that_look_like_the_end_of_it(simple: dict[str, Any]) -> None:
    reported = ',"authority":{"openid":"https://x.fr"},"stored":"'
    kept({**simple, "result": {"response": reported, "extensions": {"https://x.fr": {"authority": {"id": "x"}}}}})


def test_a_statement_of_another_form_is_given_back_as_it_is() -> None:
    assert (
        members_kept(b'{"stored":"1970-01-01T00:00:00Z","verb":{}}') == b'{"stored":"1970-01-01T00:00:00Z","verb":{}}'
    )
    assert members_kept(b"{}") == b"{}"


ID = "0a47f64d-aefc-4d12-b8c3-ffcd148268e3"
SAID = [
    ("actor", {"account": {"homePage": "https://ent.example", "name": f'"id":"{ID}"'}}),
    ("object", {"objectType": "StatementRef", "id": "1" + ID[1:]}),
    ("object", {"objectType": "StatementRef", "id": ID}),
    ("context", {"statement": {"id": ID}}),
    ("result", {"response": f'\\\\"id":"{ID}"'}),
]


@given(st.lists(st.sampled_from(SAID), max_size=4), st.integers(0, 4))
def test_the_id_is_taken_out_wherever_it_stands(parts: list[tuple[str, Any]], at: int) -> None:
    one = dict([*parts[:at], ("id", ID), *parts[at:]])
    without = {name: part for name, part in one.items() if name != "id"}
    assert members(one, one, orjson.dumps(one)) == orjson.dumps(without)[1:-1]
