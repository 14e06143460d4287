"""Data-subject requests on a real database: sealed, on record, found by what is due."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from structlog.testing import CapturingLogger

from app.core import clock
from app.core.errors import BadRequest, DataSubjectRequestConflict, NotFound, Unavailable
from app.crypto.keys import KeyEncryptionKeys, OrganisationKeys
from app.governance.audit.log import KINDS, Audit
from app.governance.audit.store import AuditRepository
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.learners import SubjectKeys
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.requests import service
from app.people.requests import service as requests
from app.people.requests import steps as request_steps
from app.people.requests.service import DataSubjectRequests, Standing
from app.people.requests.store import DataSubjectRequestRepository
from app.platform.mongo.connection import Store
from app.settings import Settings
from app.wiring.container import Container
from tests.sinks import NoPseudonyms
from tests.stores import initialised

WHO = data_subject_of(
    [{"account": {"homePage": "https://ent.example", "name": "eleve-1"}}, {"mbox": "mailto:e@ent.example"}]
)
OTHER = IdentifiedDataSubject(("account:https://ent.example|eleve-2",))
BY = "cli:test"


class Office:
    """Requests on a day that the test says."""

    def __init__(self, store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> None:
        self.day = date(2026, 11, 25)
        self.store = store
        self.repository = DataSubjectRequestRepository(store)
        self.audit = Audit(AuditRepository(store), vault, clock.now_us, os.urandom)
        self.subjects = SubjectKeys(store, keks, "default")
        cipher = DataSubjectCipher(self.subjects, "default", os.urandom)
        self.requests = DataSubjectRequests(
            self.repository, vault, cipher, self.audit, clock.now_us, lambda: self.day, os.urandom, NoPseudonyms()
        )

    def identified(self, kind: str = "erasure") -> str:
        request = self.requests.open(kind, WHO, actor=BY)
        self.requests.identify(request.id, actor=BY)
        return request.id

    def entries(self) -> list[str]:
        kinds = [kind for kind in KINDS if kind.startswith("request-")]
        return [entry.kind for entry in reversed(self.audit.newest(kinds))]


@pytest.fixture
def office(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> Office:
    return Office(store, keks, vault)


def test_a_request_from_receipt_to_answer(office: Office) -> None:
    requests = office.requests
    request = requests.open("access", WHO, received=date(2026, 11, 20), note="by letter", actor=BY)
    assert (request.status, request.due) == ("open", date(2026, 12, 20))
    requests.identify(request.id, note="at the counter", actor=BY)
    assert requests.extend(request.id, reason="many traces", actor=BY).due == date(2027, 2, 20)
    requests.note_act(request.id, "package-written", BY, {"statements": 3})
    requests.done(request.id, note="handed over", actor=BY)
    shown = requests.show(request.id, actor=BY)
    assert [step.what for step in shown.steps] == ["opened", "identified", "extended", "package-written", "done"]
    assert [step.note for step in shown.steps] == ["by letter", "at the counter", "many traces", "", "handed over"]
    assert (shown.identifiers, shown.steps[3].detail) == (WHO.identifiers, {"statements": 3})
    assert office.entries() == [
        "request-opened",
        "request-identified",
        "request-extended",
        "request-act",
        "request-done",
        "request-read",
    ]
    assert office.audit.verify().intact


def test_nothing_of_the_person_or_of_notes_stands_in_clear(office: Office) -> None:
    request = office.requests.open("erasure", WHO, note="letter of Zoé", actor=BY)
    office.requests.refuse(request.id, reason="Zoé is not known here", actor=BY)
    stored = repr([*office.store.collection("cases").find({}), *office.store.collection("audit").find({})])
    assert "eleve-1" not in stored
    assert "Zo" not in stored


def test_gdpr_17_with_the_key_of_the_person_goes_who_it_was_and_not_what_was_done(office: Office) -> None:
    known = office.identified()
    before = office.repository.get(known)
    assert before is not None
    office.store.collection("subjects").delete_many({})
    office.subjects.forget()
    office.requests.note_act(known, "erased", BY, {"statements": 3})
    office.requests.done(known, note="told by letter", actor=BY)
    shown = office.requests.show(known, actor=BY)
    assert shown.identifiers == ()
    assert [(step.what, step.note) for step in shown.steps] == [
        ("opened", ""),
        ("identified", ""),
        ("erased", ""),
        ("done", "told by letter"),
    ]
    # Nor does a copy made before say it.
    assert office.requests._request(before).identifiers == ()
    # Whoever comes back with the same identifier is still known to have asked.
    assert office.repository.count_of(before.subjects) == 1
    with pytest.raises(NotFound, match="erased"):
        office.requests.data_subject(known)


@pytest.mark.parametrize("erased", [0, 1])
def test_gdpr_17_an_erasure_under_any_identifier_takes_who_it_was_along(office: Office, erased: int) -> None:
    known = office.identified()
    row = office.repository.get(known)
    assert row is not None
    office.store.collection("subjects").delete_one({"_id": row.subjects[erased]})
    office.subjects.forget()
    assert office.requests.show(known, actor=BY).identifiers == ()


def test_gdpr_17_a_step_while_the_person_is_erased_does_not_keep_who_it_was(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = office.identified()
    append = office.audit.append
    erasures = iter([True])

    def while_it_is_taken(*entry):
        if next(erasures, False):
            office.store.collection("subjects").delete_many({})
            office.subjects.forget()
        return append(*entry)

    monkeypatch.setattr(office.audit, "append", while_it_is_taken)
    office.requests.done(known, note="told by letter", actor=BY)
    shown = office.requests.show(known, actor=BY)
    assert shown.identifiers == ()
    assert [(step.what, step.note) for step in shown.steps][-1] == ("done", "told by letter")


def test_a_step_that_is_refused_changes_nothing_and_leaves_no_entry(office: Office) -> None:
    request = office.requests.open("erasure", WHO, actor=BY)
    with pytest.raises(DataSubjectRequestConflict):
        office.requests.done(request.id, actor=BY)
    assert office.entries() == ["request-opened"]
    assert office.requests.show(request.id, actor=BY).status == "open"


def test_an_act_names_a_request_of_the_same_person_that_is_identified(office: Office) -> None:
    waiting = office.requests.open("erasure", WHO, actor=BY).id
    with pytest.raises(DataSubjectRequestConflict, match="identify"):
        office.requests.require(waiting, WHO)
    known = office.identified()
    required = office.requests.require(known, IdentifiedDataSubject(WHO.identifiers[:1]))
    assert required is not None
    assert required.id == known
    assert office.requests.data_subject(known) == WHO
    with pytest.raises(DataSubjectRequestConflict, match="another person"):
        office.requests.require(known, OTHER)
    with pytest.raises(NotFound):
        office.requests.require("r-none", WHO)


def test_a_number_in_the_controllers_own_files_is_taken_as_it_is_given(office: Office) -> None:
    assert office.requests.require("2026-117", WHO) is None
    assert office.requests.note_act("2026-117", "erased", BY, {}) is None
    for id in ("Paul Untel", "x" * 65, ""):
        with pytest.raises(BadRequest):
            office.requests.require(id, WHO)
    assert office.entries() == []


def test_what_ends_in_the_background_is_noted_after_the_answer(office: Office) -> None:
    known = office.identified()
    office.requests.done(known, actor=BY)
    noted = office.requests.note_act(known, "erased", BY, {})
    assert noted is not None
    assert noted.status == "done"
    with pytest.raises(DataSubjectRequestConflict):
        office.requests.require(known)


def test_the_most_urgent_come_first_and_those_due_soon_alone_if_asked(office: Office) -> None:
    ids = [
        office.requests.open("access", WHO, received=date(2026, month, day), actor=BY).id
        for month, day in ((11, 25), (10, 24), (11, 2), (10, 26))
    ]
    answered = office.requests.open("access", OTHER, received=date(2026, 10, 1), actor=BY).id
    office.requests.refuse(answered, reason="not ours", actor=BY)
    listed = office.requests.list()
    assert [one.id for one in listed] == [ids[1], ids[3], ids[2], ids[0]]
    assert [one.overdue for one in listed] == [True, False, False, False]
    assert [one.id for one in office.requests.list(due_within=7)] == [ids[1], ids[3], ids[2]]
    assert [one.id for one in office.requests.list(due_within=6)] == [ids[1], ids[3]]
    assert [one.id for one in office.requests.list(["refused"])] == [answered]
    assert office.requests.standing() == Standing(pending=4, due_soon=2, overdue=1, answered_late=1)
    assert office.requests.waiting() == 4


def test_an_answered_request_goes_when_it_is_old_and_one_that_waits_stays(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_LISTED", 2)
    kept = office.identified()
    answered = [office.identified() for _ in range(3)]
    office.requests.refuse(answered[0], reason="manifestly unfounded", actor=BY)
    for id in answered[1:]:
        office.requests.done(id, actor=BY)
    office.day += timedelta(days=1_826)
    assert office.requests.remove_old(1_826, actor=BY) == 0
    office.day += timedelta(days=1)
    assert office.requests.remove_old(1_826, actor=BY) == 3
    assert [one.id for one in office.requests.list(request_steps.STATUSES)] == [kept]
    said = office.audit.newest(["requests-removed"])
    assert sorted(id for entry in said for id in entry.detail["cases"]) == sorted(answered)
    assert office.requests.remove_old(1_826, actor=BY) == 0


def test_the_requests_of_a_person_are_found_by_any_identifier(office: Office, vault: OrganisationKeys) -> None:
    request = office.requests.open("access", WHO, actor=BY)
    for identifier in WHO.identifiers:
        assert [row.id for row in office.repository.of([vault.subject(identifier)])] == [request.id]
        assert office.repository.count_of([vault.subject(identifier)]) == 1
    assert office.repository.count_of([vault.subject(OTHER.identifiers[0])]) == 0


def test_of_two_who_take_a_step_at_once_neither_undoes_the_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = office.identified()
    real = DataSubjectRequestRepository.replace
    others = iter([True])

    def replace_late(repository, row):
        if next(others, False):
            monkeypatch.setattr(DataSubjectRequestRepository, "replace", real)
            office.requests.note_act(known, "restricted", BY, {})
        return real(repository, row)

    monkeypatch.setattr(DataSubjectRequestRepository, "replace", replace_late)
    office.requests.note_act(known, "erased", BY, {})
    assert [step.what for step in office.requests.show(known, actor=BY).steps[2:]] == ["restricted", "erased"]


def test_who_never_gets_through_is_told_to_try_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    known = office.identified()
    monkeypatch.setattr(DataSubjectRequestRepository, "replace", lambda *_: False)
    with pytest.raises(Unavailable):
        office.requests.done(known, actor=BY)


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with initialised(settings, database_name) as made:
        yield made


def test_the_job_tells_the_log_how_many_are_late_and_nothing_else(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.people.requests.open("access", WHO, received=date(2023, 1, 2), actor=BY)
    job = next(job for job in container.jobs if job.name == "requests")
    leadership = container.platform.leadership.acquire()
    assert leadership is not None
    log = CapturingLogger()
    monkeypatch.setattr(service, "_log", log)
    with leadership as lease:
        assert job.run(lease) == {
            "pending": 1,
            "due_soon": 0,
            "overdue": 1,
            "answered_late": 0,
            "removed": 0,
            "told": 0,
            "links_removed": 0,
        }
    assert [tuple(call) for call in log.calls] == [("warning", ("data-subject requests are overdue",), {"overdue": 1})]


def test_gdpr_12_what_was_answered_late_stays_told_as_late(office: Office) -> None:
    late, refused, timely, waiting = (office.identified() for _ in range(4))
    assert office.requests.standing() == Standing(4, 0, 0, 0)
    office.requests.done(timely, actor=BY)
    office.day = date(2026, 12, 26)
    assert office.requests.done(late, actor=BY).late
    assert office.requests.refuse(refused, reason="too late", actor=BY).late
    assert office.requests.standing() == Standing(1, 0, 1, 2)
    # A year later, and read anew.
    office.day = date(2027, 12, 26)
    shown = {one.id: one for one in office.requests.list(request_steps.STATUSES)}
    assert {each: (shown[each].late, shown[each].answered) for each in (late, refused, timely, waiting)} == {
        late: (True, date(2026, 12, 26)),
        refused: (True, date(2026, 12, 26)),
        timely: (False, date(2026, 11, 25)),
        waiting: (False, None),
    }
    assert office.requests.show(late, actor=BY).late
    # What is done for it later does not change when it was answered.
    office.requests.note_act(late, "erased", BY, {})
    assert office.requests.show(late, actor=BY).answered == date(2026, 12, 26)
