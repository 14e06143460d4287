"""Subject access exports on a real store: what is in them and what not, what is on record, what memory they take."""

from __future__ import annotations

import gc
import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4
from zipfile import ZipFile

import orjson
import pytest

from app.access.store import Source
from app.core.errors import DataSubjectRequestConflict, NotFound
from app.governance.audit.log import PERSON_ACCESS_GIVEN, PERSON_ACCESS_STARTED
from app.people.access_package import subject_access_export
from app.people.finding import finder as persons
from app.people.finding.finder import data_subject_of
from app.retention.closed_accounts import Event
from app.settings import Settings
from app.standards.xapi.documents import Conditions, Content, Place, Resource
from app.standards.xapi.identifiers import VOIDED, agent_identifier
from app.standards.xapi.query import parse_query
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.traces.statements.attachments import Part
from app.wiring.container import Container
from tests.multiparts import attachment_of
from tests.served import ACTIVITY, statement
from tests.stores import initialised

ME = {"objectType": "Agent", "account": {"homePage": "https://ent.example", "name": "pupil-own"}, "name": "Own Pupil"}
PAUL = {
    "objectType": "Agent",
    "account": {"homePage": "https://ent.example", "name": "pupil-paul"},
    "name": "Paul Untel",
}
TEACHER = {"objectType": "Agent", "mbox": "mailto:anne.durand@ent.example", "name": "Anne Durand"}
ADDRESS = {"objectType": "Agent", "mbox": "mailto:own@ent.example"}


class House:
    """A store with two tools of one activity."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.tutor = self._source("tutor")
        self.ent = self._source("ent")

    def _source(self, id: str) -> Source:
        return self.container.operations.sources.add(
            id, name=f"The {id}", activity=ACTIVITY["id"], scopes=["all"], actor="cli:test"
        )[0]

    def send(self, *statements: dict[str, Any], source: Source | None = None) -> list[str]:
        recorded = self.container.traces.recorder.record(orjson.dumps(statements), source or self.tutor, Version.V2)
        return [str(id) for id in recorded.ids]

    def keep(self, resource: Resource, agent: dict[str, Any], name: str, content: bytes, **more: Any) -> None:
        place = Place(resource, agent=agent_identifier(agent), id=name, **more)
        self.container.traces.documents.put(
            place, Content("application/json", content), Conditions(), Version.V2, source=self.ent.id, actor="sk-writer"
        )

    def package(self, *agents: dict[str, Any], request: str | None = None) -> Package:
        return Package(
            b"".join(self.container.people.packages.write(data_subject_of(agents), actor="cli:test", request=request))
        )

    def reader(self, label: str, *scopes: str) -> str:
        wanted = scopes or ("statements/read",)
        return self.container.operations.sources.issue(source=None, label=label, scopes=wanted, actor="cli:test").id

    def entries(self, kind: str) -> list[dict[str, Any]]:
        return [dict(entry.detail) for entry in reversed(self.container.governance.audit.newest([kind]))]


class Package:
    """A package as its reader has it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._zip = ZipFile(io.BytesIO(content))
        assert self._zip.testzip() is None
        self.names = self._zip.namelist()
        self.about = self.json("about.json")

    def bytes(self, name: str) -> bytes:
        return self._zip.read(name)

    def json(self, name: str) -> Any:
        return orjson.loads(self.bytes(name))

    def items(self, stem: str) -> list[Any]:
        return [item for name in self.names if name.startswith(stem) for item in self.json(name)]

    @property
    def own(self) -> list[Any]:
        return self.items("statements/own-")

    @property
    def mentions(self) -> list[Any]:
        return self.items("statements/mentions-")

    @property
    def everything(self) -> str:
        return " ".join(self.bytes(name).decode("utf-8", "replace") for name in self.names)


@pytest.fixture
def house(settings: Settings, database_name: str) -> Iterator[House]:
    with initialised(settings, database_name, process_ttl_seconds=2.0) as container:
        container.governance.register.add(orjson.dumps(ACTIVITY))
        container.lifecycle.start()
        yield House(container)


# --- what is in it ----------------------------------------------------------------------------------


def test_gdpr_15_requests_and_ends_of_accounts_are_in_it(house: House) -> None:
    requests, who = house.container.people.requests, data_subject_of([ME])
    requests.open("erasure", data_subject_of([PAUL]), note="not to be told", actor="cli:staff")
    request = requests.open("access", who, note="letter of the parents", actor="cli:staff")
    house.container.retention.accounts.announce(
        "ent", [Event(data_subject_of([agent]), "closed", 86_400_000_000) for agent in (ME, PAUL)], actor="k"
    )
    found = house.package(ME)
    (given,) = found.json("requests.json")
    assert (given["id"], given["kind"], given["due"]) == (request.id, "access", request.due.isoformat())
    assert [(step["step"], step["note"]) for step in given["steps"]] == [("opened", "letter of the parents")]
    assert found.json("accounts.json") == [{"source": "ent", "ended": "1970-01-02T00:00:00.000000Z"}]
    assert "cli:staff" not in found.everything
    assert "not to be told" not in found.everything


def test_everything_of_the_person_is_in_it_as_stored(house: House) -> None:
    ids = house.send(*(statement(actor=ME, result={"response": f"answer {n}"}) for n in range(3)))
    house.send(statement(actor=PAUL))
    found = house.package(ME)
    assert [one["id"] for one in found.own] == ids
    stored = house.container.traces.statements.some(map(UUID, ids))
    assert {plain.body for plain in house.container.traces.reader.decrypted(stored)} == {
        line.rstrip(b",") for line in found.bytes("statements/own-00001.json").splitlines()[1:-1]
    }
    assert (found.about["own"], found.about["mentions"], found.mentions) == (3, 0, [])
    assert [tool["name"] for tool in found.about["tools"]] == ["The tutor"]
    # Art. 20: what another store takes as it is.
    validate([{k: v for k, v in one.items() if k != "stored"} for one in found.own], Version.V2, many=True)


def test_voided_ones_are_in_it_and_marked(house: House) -> None:
    kept, gone = house.send(statement(actor=ME), statement(actor=ME))
    house.send(statement(actor=TEACHER, verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": gone}))
    found = house.package(ME)
    assert [one["id"] for one in found.own] == [kept]
    assert [(one["voided"], one["statement"]["id"]) for one in found.items("statements/voided-")] == [(True, gone)]
    assert (found.about["own"], found.about["voided"]) == (2, 1)


def test_several_identifiers_are_one_person(house: House) -> None:
    digest = hashlib.sha1(b"mailto:own@ent.example").hexdigest()
    house.send(statement(actor=ME), statement(actor=ADDRESS), statement(actor={"mbox_sha1sum": digest}))
    assert len(house.package(ME).own) == 1
    assert len(house.package(ADDRESS).own) == 2
    assert len(house.package(ME, ADDRESS).own) == 3


def test_statements_of_others_that_name_the_person_are_in_it_and_others_are_masked(house: House) -> None:
    context = {"instructor": TEACHER, "extensions": {"https://x.example/with": "Paul Untel"}}
    house.send(
        statement(actor=ME, context=context),
        statement(actor=PAUL, context={"instructor": ME}, result={"score": {"scaled": 0.1}}),
        statement(actor=TEACHER, object=ME, result={"response": "well done"}),
        statement(actor={"objectType": "Group", "name": "Paul's", "member": [ME, PAUL]}),
    )
    found = house.package(ME)
    roles = [one["mentioned_as"] for one in found.mentions]
    assert roles == [["instructor"], ["object"], ["actor"]]
    assert [one["withheld"] for one in found.mentions] == [["result"], [], []]
    assert found.mentions[1]["statement"]["result"] == {"response": "well done"}
    for word in ("pupil-paul", "Anne", "anne.durand", "Durand"):
        assert word not in found.everything
    assert "pupil-own" in found.everything
    # The tool vouches, and is no person.
    assert all(one["statement"]["authority"]["account"]["name"] == "tutor" for one in found.mentions)


def test_what_others_say_of_a_statement_of_the_person_is_in_it(house: House) -> None:
    (essay,) = house.send(statement(actor=ME))
    reference = {"objectType": "StatementRef", "id": essay}
    house.send(statement(actor=TEACHER, object=reference, result={"response": "good, but short"}))
    (mention,) = house.package(ME).mentions
    assert mention["mentioned_as"] == ["reference"]
    assert mention["statement"]["result"]["response"] == "good, but short"
    assert mention["statement"]["actor"]["name"] == "person 1"


def test_documents_are_in_it_with_what_they_are_about(house: House) -> None:
    registration = str(uuid4())
    house.send(statement(actor=ME, context={"registration": registration}))
    lesson = "https://ent.example/lessons/1"
    house.keep(Resource.STATE, ME, "bookmark", b'{"page":12}', activity=lesson, registration=registration)
    house.keep(Resource.STATE, ME, "notes", b'{"n":1}', activity=lesson)
    house.keep(Resource.STATE, ME, "unseen", b"{}", activity="https://ent.example/lessons/never")
    house.keep(Resource.AGENT_PROFILE, ME, "preferences", b'{"colour":"blue"}')
    house.keep(Resource.AGENT_PROFILE, PAUL, "preferences", b'{"colour":"paul"}')
    found = house.package(ME)
    listed = {one["id"]: one for one in found.items("documents/index-")}
    assert listed.keys() == {"bookmark", "notes", "unseen", "preferences"}
    assert (listed["bookmark"]["activity"], listed["bookmark"]["registration"]) == (lesson, registration)
    assert (listed["notes"]["activity"], listed["notes"]["registration"]) == (lesson, None)
    assert (listed["unseen"]["resource"], listed["unseen"]["activity"]) == ("state", None)
    assert listed["preferences"]["resource"] == "agent-profile"
    assert found.bytes(listed["preferences"]["file"]) == b'{"colour":"blue"}'
    assert (found.about["documents"], found.about["empty"]) == (4, False)


def test_attachments_are_in_it_once_and_those_of_others_are_not(house: House) -> None:
    essay, other = b"<script>alert(1)</script>" * 90_000, b"of Paul"
    html = attachment_of(essay, contentType="text/html")
    body = orjson.dumps(
        [
            statement(actor=ME, attachments=[html]),
            statement(actor=ME, attachments=[html]),
            statement(actor=PAUL, object=ME, attachments=[attachment_of(other)]),
        ]
    )
    parts = [Part(hashlib.sha256(data).hexdigest(), iter([data])) for data in (essay, other)]
    house.container.traces.recorder.record(body, house.tutor, Version.V2, parts=parts)
    found = house.package(ME)
    (item,) = found.items("attachments/index-")
    # A type that a computer would run has no name of its own.
    assert (item["file"], item["length"], item["whole"]) == ("attachments/00001.bin", len(essay), True)
    assert found.bytes(item["file"]) == essay
    assert (found.about["attachments"], found.about["attachment_bytes"]) == (1, len(essay))


def test_the_register_is_in_it_with_its_versions(house: House) -> None:
    house.send(statement(actor=ME))
    changed = {**ACTIVITY, "retention": {**ACTIVITY["retention"], "active_days": 400}}
    house.container.governance.register.add(orjson.dumps(changed))
    found = house.package(ME)
    assert [one["version"] for one in found.json(f"register/{ACTIVITY['id']}.json")] == [1, 2]
    (tool,) = found.about["tools"]
    assert tool["processing_activity"] == changed
    assert tool["until"] - tool["last"] == 400 * 86_400 * 1_000_000
    assert "400" in found.bytes("index.fr.html").decode()


def test_nothing_held_is_an_answer(house: House) -> None:
    house.send(statement(actor=PAUL))
    found = house.package(ME)
    assert found.about["empty"]
    assert set(found.names) == {
        *("README.fr.txt", "README.en.txt", "index.fr.html", "index.en.html", "about.json", "manifest.json")
    }
    assert "Rien n&#39;est enregistré" in found.bytes("index.fr.html").decode()
    assert len(house.entries(PERSON_ACCESS_GIVEN)) == 1


def test_the_manifest_has_every_other_file_with_its_digest(house: House) -> None:
    house.send(statement(actor=ME), statement(actor=PAUL, object=ME))
    house.keep(Resource.AGENT_PROFILE, ME, "preferences", b"{}")
    found = house.package(ME)
    listed = {one["path"]: one for one in found.json("manifest.json")["files"]}
    assert listed.keys() == set(found.names) - {"manifest.json"}
    for name, one in listed.items():
        content = found.bytes(name)
        assert (one["length"], one["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    (given,) = house.entries(PERSON_ACCESS_GIVEN)
    assert given["manifest"] == hashlib.sha256(found.bytes("manifest.json")).hexdigest()


def test_what_does_not_open_is_counted_and_the_rest_is_given(house: House) -> None:
    damaged, whole = house.send(statement(actor=ME), statement(actor=ME))
    house.container.platform.store.collection("statements").update_one(
        {"_id": UUID(damaged)}, {"$set": {"body": b"\x01\x00" + bytes(40)}}
    )
    found = house.package(ME)
    assert [one["id"] for one in found.own] == [whole]
    assert found.about["unreadable"] == 1


def test_an_adversarial_statement_breaks_neither_page_nor_package(house: House) -> None:
    nasty = "</td><script>alert('x')</script>\u202e" + "A" * 100_000
    house.send(
        statement(
            actor={**ME, "name": nasty},
            verb={"id": "https://v.example/1", "display": {"fr": nasty, "en": nasty}},
            object={"id": "https://a.example/%3Cscript%3E", "definition": {"name": {"fr": nasty}}},
            result={"response": nasty},
        )
    )
    found = house.package(ME)
    assert found.own[0]["result"]["response"] == nasty
    for language in ("fr", "en"):
        page = found.bytes(f"index.{language}.html").decode()
        assert "<script" not in page and "\u202e" not in page
        assert len(page) < 40_000


# --- who received it --------------------------------------------------------------------------------


def ask(house: House, credential: str, mine: str | None = None, **params: str) -> None:
    """A reading as the statements resource makes it, and records it."""
    page = house.container.traces.statement_queries.page(
        parse_query(list(params.items()), page_limit=100), Reader(credential, mine)
    )
    detail = {"tokens": [*page.tokens], "count": len(page.bodies), "first": page.first, "last": page.last}
    house.container.governance.audit.append("statements-read", credential, {**detail, "format": page.form})


def test_readers_are_told_apart_by_how_the_data_came_to_them(house: House) -> None:
    house.send(statement(actor=ME, verb={"id": "https://v.example/read"}))
    house.send(statement(actor=PAUL, verb={"id": "https://v.example/other"}), source=house.ent)
    people = {
        label: house.container.operations.sources.issue(
            source=None, label=label, scopes=["statements/read"], actor="cli:test"
        ).id
        for label in ("inspection", "researcher", "poller", "stranger")
    }
    agent = orjson.dumps({"account": ME["account"]}).decode()
    ask(house, people["inspection"], agent=agent)
    ask(house, people["inspection"], agent=agent)
    ask(house, people["poller"])
    ask(house, people["researcher"], verb="https://v.example/read")
    ask(house, people["stranger"], verb="https://v.example/nothing")
    ask(house, people["stranger"], mine="ent")
    (tutor,) = [one.id for one in house.container.access.sources_repository.credentials("tutor")]
    ask(house, tutor, mine="tutor")
    found = house.package(ME).about["readings"]
    assert sorted((one["reader"], one["way"], one["count"]) for one in found) == [
        ("The tutor", "passed", 1),
        ("inspection", "asked", 2),
        ("poller", "passed", 1),
        ("researcher", "possible", 1),
    ]


def test_readings_of_single_statements_and_documents_count(house: House) -> None:
    (mine,) = house.send(statement(actor=ME))
    (other,) = house.send(statement(actor=PAUL))
    house.keep(Resource.AGENT_PROFILE, ME, "preferences", b"{}")
    append = house.container.governance.audit.append
    who = [house.reader(f"reader {number}") for number in range(6)]
    append("statements-read", who[1], {"statement": mine, "count": 1})
    append("statements-read", who[2], {"statement": other, "count": 1})
    append("statements-read", who[3], {"statement": "not a UUID", "count": 1})
    house.container.traces.documents.read(
        Place(Resource.AGENT_PROFILE, agent=agent_identifier(ME), id="preferences"), actor=who[4]
    )
    house.container.traces.agents.person(ME, str(agent_identifier(ME)), Reader(who[5], None))
    found = house.package(ME).about["readings"]
    assert {(one["reader"], one["way"]) for one in found} == {
        ("reader 1", "asked"),
        ("reader 4", "asked"),
        ("reader 5", "asked"),
    }


def test_exports_since_the_first_statement_are_told(house: House) -> None:
    house.container.governance.audit.append(
        "export-written", "job:export", {"package": "before", "aggregates": ["a@1"]}
    )
    house.send(statement(actor=ME))
    house.container.governance.audit.append(
        "export-written", "job:export", {"package": "after", "aggregates": ["b@1", "a@1"]}
    )
    found = house.package(ME).about["exports"]
    assert [(one["package"], one["aggregates"]) for one in found] == [("after", ["a@1", "b@1"])]


# --- what is on record ------------------------------------------------------------------------------


def test_it_is_on_record_before_the_first_byte(house: House) -> None:
    house.send(statement(actor=ME))
    person = data_subject_of([ME])
    pieces = house.container.people.packages.write(person, actor="sk-dpo")
    subjects = house.container.people.finder.asked(person)
    assert house.entries(PERSON_ACCESS_STARTED) == [{"subjects": subjects}]
    assert house.entries(PERSON_ACCESS_GIVEN) == []
    for _ in pieces:
        pass
    (given,) = house.entries(PERSON_ACCESS_GIVEN)
    assert (given["subjects"], given["statements"], given["mentions"]) == (subjects, 1, 0)


def test_one_that_is_not_read_to_its_end_is_not_given(house: House) -> None:
    house.send(statement(actor=ME))
    pieces = house.container.people.packages.write(data_subject_of([ME]), actor="sk-dpo")
    next(pieces)
    del pieces
    assert house.entries(PERSON_ACCESS_GIVEN) == []


def test_nothing_personal_is_in_the_audit_log(house: House) -> None:
    house.send(statement(actor=ME))
    house.package(ME)
    written = str([entry.detail for entry in house.container.governance.audit.newest((), None, 1_000)])
    assert "pupil-own" not in written and "Own Pupil" not in written


def test_a_request_that_is_not_there_stops_it_before_anything_is_read(house: House) -> None:
    with pytest.raises(NotFound):
        house.container.people.packages.write(data_subject_of([ME]), actor="sk-dpo", request="r-000000000000")
    assert house.entries(PERSON_ACCESS_STARTED) == []


def test_the_case_says_what_was_given(house: House) -> None:
    house.send(statement(actor=ME))
    requests = house.container.people.requests
    request = requests.open("access", data_subject_of([ME]), actor="sk-dpo").id
    with pytest.raises(DataSubjectRequestConflict):  # nobody knows yet who asks
        house.package(ME, request=request)
    requests.identify(request, actor="sk-dpo")
    with pytest.raises(DataSubjectRequestConflict):
        house.package(PAUL, request=request)
    found = house.package(ME, request=request)
    assert found.about["case"] == request
    last = requests.show(request, actor="sk-dpo").steps[-1]
    assert (last.what, last.detail["statements"]) == ("package-written", 1)
    assert [entry["case"] for entry in house.entries(PERSON_ACCESS_GIVEN)] == [request]


def test_what_is_restricted_is_in_it_and_said_so(house: House) -> None:
    house.send(statement(actor=ME))
    house.container.people.restriction.restrict(data_subject_of([ME]), actor="sk-dpo")
    house.container.people.restriction.note_objection(data_subject_of([ME]), actor="sk-dpo")
    house.send(statement(actor=ME))
    found = house.package(ME)
    assert (len(found.own), found.about["objects"]) == (2, ["research"])
    assert found.about["restricted"] is not None
    assert "article 18" in found.bytes("index.fr.html").decode()


def test_no_day_of_deletion_is_promised_while_data_are_restricted(house: House) -> None:
    house.send(statement(actor=ME))
    assert house.package(ME).about["tools"][0]["until"] is not None
    house.container.people.restriction.restrict(data_subject_of([ME]), actor="sk-dpo")
    assert house.package(ME).about["tools"][0]["until"] is None


def test_the_end_of_an_account_brings_the_day_of_deletion_forward(house: House) -> None:
    rule = {**ACTIVITY["retention"], "basis": "account-closed", "account_closed_months": 3}
    house.container.governance.register.add(orjson.dumps({**ACTIVITY, "retention": rule}))
    house.send(statement(actor=ME))
    (tool,) = house.package(ME).about["tools"]
    assert (tool["closed_months"], tool["ended"]) == (3, None)
    closed = tool["last"] + 1
    house.container.retention.accounts.announce("tutor", [Event(data_subject_of([ME]), "closed", closed)], actor="k")
    (after,) = house.package(ME).about["tools"]
    assert (after["ended"], after["until"]) == (closed, after["ended_before"])
    assert after["until"] < tool["until"]
    # With another account, which goes on, the last one may be of that.
    (both,) = house.package(ME, ADDRESS).about["tools"]
    assert both["until"] == tool["until"]


def test_a_version_that_is_not_in_force_is_in_it_and_is_not_what_holds(house: House) -> None:
    house.send(statement(actor=ME))
    later = {**ACTIVITY, "in_force_from": "2999-01-01", "review_by": "2999-02-01"}
    later["retention"] = {**ACTIVITY["retention"], "active_days": 1}
    house.container.governance.register.add(orjson.dumps(later))
    found = house.package(ME)
    assert [one["in_force"] for one in found.json(f"register/{ACTIVITY['id']}.json")] == [True, False]
    assert found.about["tools"][0]["processing_activity"] == ACTIVITY


# --- how much it takes ------------------------------------------------------------------------------


@pytest.mark.long
def test_memory_does_not_grow_with_what_is_held(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small pages and files: either peak has many of them.
    monkeypatch.setattr(subject_access_export, "MAX_ITEMS", 100)
    monkeypatch.setattr(persons, "PAGE", 100)

    def peak(batches: int) -> int:
        me = {"account": {"homePage": "https://ent.example", "name": f"held-{batches}"}}
        for _ in range(batches):
            house.send(
                *(statement(actor=me, result={"response": "".join(uuid4().hex for _ in range(20))}) for _ in range(500))
            )
        gc.collect()
        tracemalloc.start()
        try:
            length = sum(map(len, house.container.people.packages.write(data_subject_of([me]), actor="cli:test")))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert length > 30_000 * batches

    peak(1)  # what is made once: templates, caches
    # What the second person has more: 3,000 statements of 640 characters, 320 bytes each in the zip.
    assert peak(8) - peak(2) < 500_000
