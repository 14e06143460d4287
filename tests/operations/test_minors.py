"""A policy about minors applied to what is stored: the same as if it had been sent under it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from click.testing import CliRunner

from app.access.store import Source
from app.commands import minors as command
from app.core.errors import DatabaseUnavailable, FileRefused, RegisterInvalid
from app.crypto import kinds
from app.people.finding.finder import data_subject_of
from app.research.store import AggregateRepository
from app.retention.closed_account_store import AccountRepository
from app.retention.closed_accounts import CLOSED, Event
from app.settings import Settings
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.traces.statements.attachments import Part
from app.wiring.container import Container
from tests.served import statement
from tests.standard.test_attachments import signed
from tests.stores import with_tutor

BY = "cli:test"
NAMED = {"name": "Camille Exemple", "mbox": "mailto:camille@ent.example"}
INE = "123456789AB"
SIGNATURE = {
    "usageType": "http://adlnet.gov/expapi/attachments/signature",
    "display": {"en": "Signature"},
    "contentType": "application/octet-stream",
    "length": 1,
    "sha2": "0" * 64,
}


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        made.lifecycle.start()
        yield made


def tutor(container: Container, policy: str = "pseudonymise") -> Source:
    return container.operations.sources.change("tutor", minors=policy, actor=BY)


def named(**more: Any) -> dict[str, Any]:
    return statement(**{"id": str(uuid4()), "actor": NAMED, "timestamp": "2026-10-05T10:00:00Z", **more})


def send(container: Container, *statements: dict[str, Any], data: list[Part] | None = None) -> Any:
    return container.traces.recorder.record(
        orjson.dumps(statements), container.operations.sources.get("tutor"), Version.V1, parts=data
    )


def stored(container: Container) -> dict[str, dict[str, Any]]:
    plain = container.traces.reader.scan(None, 1 << 62, 1_000)[0]
    return {str(each.id): orjson.loads(each.body) for each in plain}


def raw(container: Container, id: str) -> dict[str, Any]:
    found = container.platform.store.collection("statements").find_one({"_id": UUID(id)})
    assert found is not None
    return found


def audited(container: Container, kind: str) -> list[dict[str, Any]]:
    return [entry["detail"] for entry in container.platform.store.collection("audit").find({"kind": kind})]


def asked(container: Container, agent: str, *, related: bool = False) -> int:
    wanted = StatementQuery(agent=agent, related_agents=related, limit=100)
    return len(container.traces.statement_queries.page(wanted, Reader("a", None)).bodies)


def test_what_is_stored_becomes_what_it_would_have_been(container: Container) -> None:
    before = [
        named(result={"response": f"Camille Exemple, {INE}"}),
        named(context={"instructor": {"name": "M. Prof", "mbox": "mailto:prof@ent.example"}}),
        statement(id=str(uuid4()), timestamp="2026-10-05T10:00:00Z"),
    ]
    send(container, *before)
    untouched = raw(container, before[2]["id"])
    source = tutor(container)
    dry = container.operations.minors_pass.apply(source)
    assert (dry.dry_run, dry.seen, dry.changed, dry.learners) == (True, 3, 2, 2)
    assert dry.found == {"name": 4, "email": 3, "ine": 1}
    assert stored(container)[before[0]["id"]]["actor"] == NAMED
    done = container.operations.minors_pass.apply(source, dry_run=False)
    assert done == dry._replace(dry_run=False)
    # As when it is sent under the policy: under other ids, the same statements.
    again = [{**each, "id": str(uuid4())} for each in before]
    send(container, *again)
    kept = stored(container)
    for old, new in zip(before, again, strict=True):
        one, other = kept[old["id"]], kept[new["id"]]
        assert {**one, "id": "", "stored": ""} == {**other, "id": "", "stored": ""}
        first, second = raw(container, old["id"]), raw(container, new["id"])
        for field in ("subject", "t", "print"):
            assert first[field] == second[field], field
    assert b"amille" not in orjson.dumps(kept) and INE.encode() not in orjson.dumps(kept)
    assert raw(container, before[2]["id"]) == untouched
    # Nothing is left to do, and a retry is known in the same words and in others.
    assert container.operations.minors_pass.apply(source).changed == 0
    assert send(container, before[0]).inserted.repeated
    assert send(container, dict(reversed(before[1].items()))).inserted.repeated
    assert [each["policy"] for each in audited(container, "minors-apply-started")] == ["pseudonymise"]
    (entry,) = audited(container, "minors-applied")
    assert (entry["changed"], entry["found_name"]) == (2, 4)


def test_the_learner_is_found_erased_and_given_access_by_the_account_alone(container: Container) -> None:
    sent = named()
    referring = statement(id=str(uuid4()), object={"objectType": "StatementRef", "id": sent["id"]})
    send(container, sent)
    send(container, referring)
    address = "mbox:mailto:camille@ent.example"
    assert asked(container, address) == 2
    container.operations.minors_pass.apply(tutor(container), dry_run=False)
    account = stored(container)[sent["id"]]["actor"]["account"]
    pseudonym = f"account:{account['homePage']}|{account['name']}"
    # The statement that refers to it too.
    assert (asked(container, address), asked(container, pseudonym)) == (0, 2)
    assert raw(container, sent["id"])["subject"] == container.keys.organisation.subject(pseudonym)
    old = container.keys.organisation.index.tokens(kinds.AGENT, address)
    assert (
        container.platform.store.collection("statements").count_documents({"$or": [{"t": old[0]}, {"refs.t": old[0]}]})
        == 0
    )
    person = data_subject_of([{"account": account}])
    erasure = container.people.erasures.erase(person, actor=BY)
    container.people.erasures.advance(erasure.id)
    assert set(stored(container)) == {referring["id"]}


def test_what_is_signed_and_whose_person_is_restricted_stays_and_is_told(container: Container) -> None:
    payload = {name: part for name, part in named().items() if name != "id"}
    data = signed(payload)
    digest = hashlib.sha256(data).hexdigest()
    vouched = {**payload, "id": str(uuid4()), "attachments": [{**SIGNATURE, "length": len(data), "sha2": digest}]}
    send(container, vouched, data=[Part(digest, iter([data]))])
    restricted = named(actor={"mbox": "mailto:zoe@ent.example"})
    elsewhere = {"usageType": "https://ent.example/other", "fileUrl": "https://ent.example/f"}
    send(container, restricted, named(attachments=[{**SIGNATURE, **elsewhere}]))
    container.people.restriction.restrict(data_subject_of([restricted["actor"]]), actor=BY)
    before = raw(container, restricted["id"]), raw(container, vouched["id"])
    done = container.operations.minors_pass.apply(tutor(container), dry_run=False)
    assert (done.signed, done.held, done.changed, done.attachments) == (1, 1, 1, 1)
    assert (raw(container, restricted["id"]), raw(container, vouched["id"])) == before


def test_attachments_open_for_the_account_that_takes_the_place(container: Container) -> None:
    data = b"a drawing"
    digest = hashlib.sha256(data).hexdigest()
    drawing = {
        "usageType": "https://ent.example/drawing",
        "display": {"en": "Drawing"},
        "contentType": "image/png",
        "length": len(data),
        "sha2": digest,
    }
    sent = named(attachments=[drawing])
    send(container, sent, data=[Part(digest, iter([data]))])
    container.operations.minors_pass.apply(tutor(container), dry_run=False)
    plain = container.traces.reader.scan(None, 1 << 62, 10)[0]
    (found,) = container.traces.attachments.of([(each, orjson.loads(each.body)) for each in plain])
    assert b"".join(found.chunks) == data


def test_cut_off_it_goes_on_where_it_was(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.operations.minors.BATCH", 10)
    for _ in range(35):
        send(container, named())
    source, checks = tutor(container), 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        container.operations.minors_pass.apply(source, dry_run=False, check=check)
    left = sum("mbox" in each["actor"] for each in stored(container).values())
    assert 0 < left < 35
    done = container.operations.minors_pass.apply(source, dry_run=False)
    assert done.changed == 35
    assert len(audited(container, "minors-apply-started")) == len(audited(container, "minors-applied")) == 1
    assert not any("mbox" in each["actor"] for each in stored(container).values())


def test_months_of_aggregates_are_counted_again_and_ends_of_accounts_carried(container: Container) -> None:
    sent = named()
    send(container, sent)
    event = Event(data_subject_of([{"mbox": NAMED["mbox"]}]), CLOSED, None)
    container.retention.accounts.announce("tutor", [event], actor=BY)
    container.operations.minors_pass.apply(tutor(container), dry_run=False)
    assert AggregateRepository(container.platform.store, container.keys.organisation).corrections().months == {
        "2026-10"
    }
    subject = bytes(raw(container, sent["id"])["subject"])
    assert [source for source, _ in AccountRepository(container.platform.store).of([subject])] == ["tutor"]


def test_it_asks_for_a_policy_and_waits_for_erasures(container: Container) -> None:
    send(container, named())
    with pytest.raises(RegisterInvalid, match="off"):
        container.operations.minors_pass.apply(container.operations.sources.get("tutor"))
    source = tutor(container, "refuse")
    container.people.erasures.erase(data_subject_of([{"mbox": "mailto:zoe@ent.example"}]), actor=BY)
    with pytest.raises(DatabaseUnavailable, match="erasure"):
        container.operations.minors_pass.apply(source, dry_run=False)
    # Nothing stored can be refused any more.
    assert container.operations.minors_pass.apply(source).policy == "pseudonymise"


def test_the_command_is_a_dry_run_unless_told(container: Container) -> None:
    sent = named()
    send(container, sent)
    tutor(container, "strip")

    def run(*args: str) -> str:
        answer = CliRunner().invoke(command.minors, ["apply", "tutor", *args], obj=container, standalone_mode=False)
        if answer.exception is not None:
            raise answer.exception
        return answer.output

    assert "Nothing was changed" in run() and "mbox" in stored(container)[sent["id"]]["actor"]
    shown = run("--execute")
    assert "name 1, email 1, ine 0" in shown and "Nothing was changed" not in shown
    assert set(stored(container)[sent["id"]]["actor"]) == {"account"}


def test_a_pass_is_noted_outside_the_database_before_it_changes_anything_and_whenever_it_goes_on(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(container, named())
    source, before, noted = tutor(container), stored(container), list[object]()

    def note(_: object, cleaning: object) -> None:
        noted.append(cleaning)
        if len(noted) == 1:
            raise FileRefused("The file cannot be written.")

    monkeypatch.setattr(type(container.operations.backups), "note_cleaning", note)
    with pytest.raises(FileRefused):
        container.operations.minors_pass.apply(source, dry_run=False)
    assert stored(container) == before
    # The pass is known, and nothing of it was done: it goes on, and is noted.
    assert container.operations.minors_pass.apply(source, dry_run=False).changed == 1
    assert noted == [noted[0]] * 2
