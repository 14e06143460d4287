"""The policy of a source about minors on the way in: refused, stripped, pseudonymised; counted and audited."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.access.store import Source
from app.core.errors import PersonalDataRefused
from app.settings import Settings
from app.standards.xapi.versions import Version
from app.wiring.container import Container
from tests.served import statement
from tests.stores import started

SOURCE = Source("school", "School", "p2ia", (), "observe", datetime.now(UTC))
NAMED = {"name": "Camille Exemple", "mbox": "mailto:camille@ent.example"}
INE = "123456789AB"


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with started(settings, database_name) as made:
        yield made


def send(container: Container, policy: str, *statements: dict[str, Any]) -> Any:
    return container.traces.recorder.record(orjson.dumps(statements), SOURCE._replace(minors=policy), Version.V1)


def stored(container: Container) -> list[dict[str, Any]]:
    return [orjson.loads(plain.body) for plain in container.traces.reader.scan(None, 1 << 62, 100)[0]]


def audited(container: Container) -> list[dict[str, Any]]:
    return [entry["detail"] for entry in container.platform.store.collection("audit").find({"kind": "minors-data"})]


def counts(container: Container) -> dict[tuple[str, str], int]:
    return {(each.template, each.outcome): each.statements for each in container.traces.profiles.counts("school")}


def named(**more: Any) -> dict[str, Any]:
    return statement(id=str(uuid4()), actor=NAMED, **more)


def test_without_a_policy_statements_stay_as_they_are(container: Container) -> None:
    send(container, "off", named())
    assert stored(container)[0]["actor"] == NAMED


def test_what_is_found_is_counted_without_a_policy_too(container: Container) -> None:
    send(container, "off", named(result={"response": INE}), named(), statement())
    assert counts(container) == {("minors:name", "kept"): 2, ("minors:email", "kept"): 2, ("minors:ine", "kept"): 1}
    assert len(stored(container)) == 3
    # One entry a batch: names that are kept are what an officer has to see.
    (entry,) = audited(container)
    assert (entry["policy"], entry["outcome"], entry["statements"]) == ("off", "kept", 2)
    send(container, "off", statement())
    assert len(audited(container)) == 1


def test_refuse_stores_nothing_and_says_where(container: Container) -> None:
    with pytest.raises(PersonalDataRefused) as refused:
        send(container, "refuse", statement(), named(result={"response": INE}))
    assert {fault.pointer for fault in refused.value.faults} == {"/1/actor/name", "/1/actor/mbox", "/1/result/response"}
    assert "camille" not in (refused.value.detail + str(refused.value.faults)).lower()
    assert stored(container) == []
    detail = {"source": "school", "policy": "refuse", "outcome": "refused", "statements": 1}
    assert [each | detail for each in audited(container)] == [detail | {"name": 1, "email": 1, "ine": 1}]
    assert counts(container)["minors:ine", "refused"] == 1


def test_counts_are_read_after_those_that_another_thread_is_writing(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = container.traces.profiles._tally
    write, begun, go_on = tally._write, threading.Event(), threading.Event()

    def slowly(amounts: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        write(amounts)

    monkeypatch.setattr(tally, "_write", slowly)
    with ThreadPoolExecutor(1) as pool:
        send(container, "off", named())
        # The housekeeping of the process has them, and has not written them yet.
        assert begun.wait(60)
        reading = pool.submit(counts, container)
        with pytest.raises(TimeoutError):
            reading.result(0.2)
        go_on.set()
        assert reading.result(60) == {("minors:name", "kept"): 1, ("minors:email", "kept"): 1}


@pytest.mark.parametrize(("policy", "outcome"), [("strip", "stripped"), ("pseudonymise", "pseudonymised")])
def test_names_are_taken_out_before_anything_is_stored_and_once_a_batch_it_is_audited(
    container: Container, policy: str, outcome: str
) -> None:
    send(container, policy, named(), named(), statement())
    assert b"amille" not in orjson.dumps(stored(container))
    actors = [each["actor"] for each in stored(container)]
    # The same person throughout.
    assert actors[0]["account"] == actors[1]["account"] != actors[2]["account"]
    assert actors[0]["account"]["homePage"] == container.settings.public_url
    assert len(audited(container)) == 1
    assert (audited(container)[0]["outcome"], audited(container)[0]["statements"]) == (outcome, 2)
    assert counts(container) == {("minors:email", outcome): 2, ("minors:name", outcome): 2}


def test_a_retry_is_still_a_retry(container: Container) -> None:
    sent = named()
    send(container, "pseudonymise", sent)
    assert send(container, "pseudonymise", sent).inserted.repeated


def test_pseudonyms_of_two_sources_cannot_be_put_together(container: Container) -> None:
    one = container.traces.minors_policy.protect(SOURCE._replace(minors="strip"), [named()], many=False).statements
    two = container.traces.minors_policy.protect(
        SOURCE._replace(id="other", minors="strip"), [named()], many=False
    ).statements
    assert one[0]["actor"]["account"]["name"] != two[0]["actor"]["account"]["name"]


def test_a_signed_statement_is_refused_rather_than_altered(container: Container) -> None:
    signature = {
        "usageType": "http://adlnet.gov/expapi/attachments/signature",
        "display": {"en": "Signature"},
        "contentType": "application/octet-stream",
        "length": 1,
        "sha2": "0" * 64,
    }
    batch = [named(attachments=[signature]), statement(attachments=[signature])]
    source = SOURCE._replace(minors="strip")
    with pytest.raises(PersonalDataRefused) as refused:
        container.traces.minors_policy.protect(source, batch, many=True)
    assert [(fault.pointer, fault.rule) for fault in refused.value.faults] == [("/0/attachments", "minors-signed")]
    assert container.traces.minors_policy.protect(source, batch[1:], many=True).statements == batch[1:]
