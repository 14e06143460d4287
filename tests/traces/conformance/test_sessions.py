"""Sessions held to patterns, on a real store: live and by the job, put away and taken up, sealed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.access.store import Source
from app.settings import Settings
from app.standards.xapi.versions import Version
from app.traces.conformance import sessions as following
from app.traces.conformance.session_store import SESSIONS, SessionRepository
from app.traces.statements.store import Filter, Rows, Statements
from app.wiring.container import Container
from tests.served import statement
from tests.stores import started

P = "https://example.org/relay"
V = f"{P}/v1"
TEMPLATES = ("start", "handoff", "placing")
PROFILE = orjson.dumps(
    {
        "@context": "https://w3id.org/xapi/profiles/context",
        "id": P,
        "type": "Profile",
        "conformsTo": "https://w3id.org/xapi/profiles#1.0",
        "prefLabel": {"en": "Relay"},
        "definition": {"en": "A relay race"},
        "versions": [{"id": V, "generatedAtTime": "2026-01-01T00:00:00Z"}],
        "author": {"type": "Organization", "name": "Tests"},
        "templates": [
            {
                "id": f"{P}/{name}",
                "type": "StatementTemplate",
                "inScheme": V,
                "prefLabel": {"en": name},
                "definition": {"en": name},
                "verb": f"{P}/verbs/{name}",
                "rules": [{"location": "$.result", "presence": "excluded"}],
            }
            for name in TEMPLATES
        ],
        "patterns": [
            {
                "id": f"{P}/race",
                "type": "Pattern",
                "primary": True,
                "inScheme": V,
                "prefLabel": {"en": "Race"},
                "definition": {"en": "Race"},
                "sequence": [f"{P}/start", f"{P}/handoffs", f"{P}/placing"],
            },
            {"id": f"{P}/handoffs", "type": "Pattern", "inScheme": V, "oneOrMore": f"{P}/handoff"},
        ],
    }
)
SOURCE = Source("stadium", "Stadium", "p2ia", (P,), "observe", datetime.now(UTC), patterns="live")


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with started(settings, database_name) as made:
        made.traces.profiles.add(PROFILE)
        yield made


def step(name: str, registration: str, second: int | None = None, **more: Any) -> dict[str, Any]:
    made = statement(
        id=str(uuid4()),
        verb={"id": f"{P}/verbs/{name}"},
        context={"registration": registration, "contextActivities": {"category": {"id": V}}},
        **more,
    )
    if second is not None:
        made["timestamp"] = f"2026-09-07T08:00:{second:02}Z"
    return made


def send(container: Container, *statements: dict[str, Any], source: Source = SOURCE) -> None:
    container.traces.recorder.record(orjson.dumps(statements), source, Version.V1)


def stands(container: Container, live: bool) -> dict[str, int]:
    return {each.outcome: each.sessions for each in container.traces.sessions.standings("stadium") if each.live is live}


def follow(container: Container, statements: int) -> tuple[int, int]:
    """Run the job until it has read so many statements; sessions changed and put in order anew."""
    read = changed = reordered = 0
    limit = time.monotonic() + 20
    while read < statements:
        assert time.monotonic() < limit, read
        done = container.traces.sessions.run([SOURCE])
        read, changed, reordered = read + done.statements, changed + done.sessions, reordered + done.reordered
        time.sleep(0.02)
    return changed, reordered


def test_live_sessions_go_on_from_batch_to_batch_and_through_a_restart(container: Container) -> None:
    one, two = str(uuid4()), str(uuid4())
    # Within a batch by timestamp, whatever the order of the array.
    send(container, step("handoff", one, 2), step("start", one, 1), step("start", two, 1))
    assert stands(container, live=True) == {"partial": 2}
    again = Container(container.settings)
    again.lifecycle.start()
    send(again, step("placing", one, 3), step("placing", two, 2))
    assert stands(again, live=True) == {"success": 1, "failure": 1}
    (broken,) = again.traces.sessions.breaks("stadium")
    assert (broken.wanted, broken.found, broken.sessions) == ((f"{P}/handoff",), (f"{P}/placing",), 1)
    again.close()


def test_a_retry_is_not_followed_twice(container: Container) -> None:
    race = [step(name, "2f1c1f7e-2f7c-4a2b-8f0e-5b2f6f1c9d11", at) for at, name in enumerate(TEMPLATES)]
    send(container, *race)
    send(container, *race)
    assert stands(container, live=True) == {"success": 1}


def test_a_statement_that_fails_its_template_breaks_its_session(container: Container) -> None:
    one = str(uuid4())
    send(container, step("start", one, 1), step("handoff", one, 2, result={"success": True}), step("placing", one, 3))
    assert container.traces.sessions.breaks("stadium")[0].found == ()


def test_writers_of_one_session_do_not_lose_each_others_statements(container: Container) -> None:
    one = str(uuid4())
    send(container, step("start", one, 1))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: send(container, step("handoff", one, 2)), range(24)))
    send(container, step("placing", one, 3))
    assert stands(container, live=True) == {"success": 1}
    (document,) = container.platform.store.collection("pattern_sessions").find({})
    assert document["n"] == 26


def test_nothing_is_kept_of_a_source_that_is_not_followed_live(container: Container) -> None:
    for source in (SOURCE._replace(patterns="job"), SOURCE._replace(patterns="off"), SOURCE._replace(profiles=())):
        send(container, step("start", str(uuid4())), source=source)
    assert container.platform.store.collection("pattern_sessions").count_documents({}) == 0


def test_the_job_follows_in_the_order_of_timestamps(container: Container) -> None:
    one, two = str(uuid4()), str(uuid4())
    send(container, step("placing", one, 9), step("start", two, 1))
    send(container, step("handoff", one, 5), step("start", one, 1), step("handoff", two, 2))
    follow(container, 5)
    assert stands(container, live=False) == {"success": 1, "partial": 1}
    # By order of receipt the first was broken at once.
    assert stands(container, live=True) == {"failure": 1, "partial": 1}


def test_what_comes_late_is_put_in_order_anew_and_nothing_is_taken_twice(container: Container) -> None:
    one = str(uuid4())
    send(container, step("start", one, 1), step("placing", one, 9))
    follow(container, 2)
    assert stands(container, live=False) == {"failure": 1}
    marks = container.platform.store.collection("pattern_marks")
    before = marks.find_one({})
    send(container, step("handoff", one, 5))
    assert follow(container, 1) == (1, 1)
    assert stands(container, live=False) == {"success": 1}
    # As after a process that was killed between the sessions and the mark.
    assert before is not None
    marks.replace_one({"_id": before["_id"]}, before)
    assert follow(container, 1) == (1, 0)
    assert stands(container, live=False) == {"success": 1}


def test_changed_patterns_are_followed_from_the_beginning(container: Container) -> None:
    send(container, *(step(name, "2f1c1f7e-2f7c-4a2b-8f0e-5b2f6f1c9d11", at) for at, name in enumerate(TEMPLATES)))
    follow(container, 3)
    changed = orjson.loads(PROFILE)
    changed["patterns"][0]["sequence"].reverse()
    container.traces.profiles.add(orjson.dumps(changed))
    container.traces.profiles.forget()
    follow(container, 3)
    assert stands(container, live=False) == {"failure": 1}


def test_a_session_is_sealed(container: Container) -> None:
    one = str(uuid4())
    race = [step("start", one, 1), step("placing", one, 2)]
    send(container, *race)
    (document,) = container.platform.store.collection("pattern_sessions").find({})
    kept = repr(document)
    assert one not in kept and "eleve-1" not in kept and race[1]["id"] not in kept
    fields = {"_id", "source", "live", "profile", "pattern", "outcome", "wanted", "found", "at", "subject"}
    assert set(document) == fields | {"updated", "n", "by", "state"}


def test_an_erased_learner_leaves_no_state_that_opens(container: Container) -> None:
    one = str(uuid4())
    send(container, step("start", one, 1))
    container.platform.store.collection("subjects").delete_many({})
    again = Container(container.settings)
    again.lifecycle.start()
    send(again, step("handoff", one, 2))
    (document,) = again.platform.store.collection("pattern_sessions").find({})
    assert document["outcome"] == "failure"  # it began anew
    again.close()


def test_retention_takes_sessions_with_it(container: Container) -> None:
    send(container, step("start", str(uuid4()), 1))
    (kept,) = [store for store in container.operations.personal_data if store.name == SESSIONS]
    sessions = container.platform.store.collection(SESSIONS)
    kept.expire("stadium", 1)
    assert sessions.count_documents({}) == 1
    kept.expire("stadium", 1 << 62)
    assert sessions.count_documents({}) == 0


def test_a_template_may_ask_for_the_template_of_a_stored_statement(container: Container) -> None:
    raw = orjson.loads(PROFILE)
    raw["templates"][2]["contextStatementRefTemplate"] = [f"{P}/start"]
    container.traces.profiles.add(orjson.dumps(raw))
    container.traces.profiles.forget()
    one, first = str(uuid4()), step("start", str(uuid4()), 1)
    send(container, first, other := step("handoff", one, 1))

    def refers(id: str) -> dict[str, Any]:
        made = step("placing", one, 2)
        made["context"]["statement"] = {"objectType": "StatementRef", "id": id.upper()}
        return made

    placings = [refers(first["id"]), refers(other["id"]), refers(str(uuid4()))]
    verdicts = container.traces.profiles.verdicts(SOURCE, placings)
    assert [verdict.outcome.value for verdict in verdicts] == ["conforms", "fails", "conforms"]
    # What another source has stored is not looked into.
    foreign = container.traces.profiles.verdicts(SOURCE._replace(id="other"), placings)
    assert Counter(verdict.outcome.value for verdict in foreign) == {"conforms": 3}


def test_the_job_goes_on_from_chunk_to_chunk_and_splits_no_moment(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PAGE", 2)
    monkeypatch.setattr(following, "CHUNK", 2)
    one, two = str(uuid4()), str(uuid4())
    names = ("start", "handoff", "handoff", "handoff", "placing")
    send(container, *(step(name, one, at) for at, name in enumerate(names)))
    send(container, *(step(name, two, at) for at, name in enumerate(names)))
    # Two processes may stamp the same microsecond: here the last four of the second race.
    statements = container.platform.store.collection("statements")
    last = [each["_id"] for each in statements.find({}, {"_id": 1}).sort("stored", -1).limit(4)]
    stored = statements.find_one({"_id": last[0]}, {"stored": 1})
    assert stored is not None
    statements.update_many({"_id": {"$in": last}}, {"$set": {"stored": stored["stored"]}})
    marks = []
    kept = SessionRepository.mark
    monkeypatch.setattr(SessionRepository, "mark", lambda self, *mark: (marks.append(mark), kept(self, *mark)))
    follow(container, 10)
    assert stands(container, live=False) == {"success": 2}
    assert len(marks) > 2


def test_many_that_come_late_are_put_in_order_by_one_reading(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    races = [str(uuid4()) for _ in range(5)]
    send(container, *(step(name, one, at) for one in races for name, at in (("start", 1), ("placing", 9))))
    follow(container, 10)
    assert stands(container, live=False) == {"failure": 5}
    send(container, *(step("handoff", one, 5) for one in races))
    # Another source's of the same registration is of no session of this one.
    send(container, step("placing", races[0], 2), source=SOURCE._replace(id="other", patterns="off"))
    pages = []
    read = Statements.page

    def page(self: Statements, wanted: Filter, **asked: Any) -> Rows:
        pages.append(wanted)
        return read(self, wanted, **asked)

    monkeypatch.setattr(Statements, "page", page)
    assert follow(container, 5) == (5, 5)
    assert stands(container, live=False) == {"success": 5}
    # One page of what is new, one of the five registrations.
    assert [len(alternatives) for wanted in pages for alternatives in wanted.tokens if wanted.tokens] == [1, 5]


def test_one_that_is_too_long_to_be_put_in_order_does_not_cost_the_others_theirs(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MAX_LENGTH", 4)
    monkeypatch.setattr(following, "PAGE", 2)
    long, short = str(uuid4()), str(uuid4())
    send(
        container,
        *(step("handoff", long, at) for at in range(10, 18)),
        step("start", short, 1),
        step("placing", short, 9),
    )
    follow(container, 10)
    send(container, step("start", long, 1), step("handoff", short, 5))
    assert follow(container, 2) == (2, 2)
    assert stands(container, live=False) == {"failure": 1, "success": 1}
