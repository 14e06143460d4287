"""The outbox: what waits survives a mail server that is away, and nothing of it is left once it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.errors import BadRequest, LeaseLost, MailMissing, Unavailable
from app.core.personal_data import DataSubject, Erasing
from app.mail import service
from app.mail.messages import Composer, Service
from app.mail.outbox_store import NAME, OutboxData, OutboxRepository
from app.mail.service import MAX_HOURS, Delivered, Mail
from app.mail.transport import Transport
from app.platform.mongo.collection import DataContext
from app.settings import Settings, load
from app.wiring.container import Container
from tests.mail.servers import Running, free_port, mail_server
from tests.stores import initialised

TO = "Ana.Example@school.example"
LINK = "https://traces.example/open#one-time"
VALUES: dict[str, object] = {"link": LINK, "until": date(2026, 12, 1)}
MINUTE = 60_000_000


class House:
    """A store that sends by a server, at a time of the test's own."""

    def __init__(self, container: Container, server: Running, *, port: int | None = None) -> None:
        self.container, self.box = container, server.box
        self.now = container.platform.now_us()
        self.settings = load(server.settings(SILLAGE_SMTP_PORT=str(port or server.port)))
        self.collection = container.platform.store.collection(NAME)
        self.entries: list[dict[str, Any]] = []
        self.mail = self.sending(self.settings)

    def sending(self, settings: Settings) -> Mail:
        made = self.container.mail.mail
        return Mail(
            made._repository,
            made._keys,
            made._composer,
            (lambda: Transport(settings)) if settings.smtp_host else None,
            settings.smtp_sender,
            self,
            lambda: self.now,
            made._random,
        )

    def append(self, kind: str, actor: str, detail: Any) -> None:
        self.entries.append({"kind": kind, "actor": actor, **detail})

    def deliver(self, check: Callable[[], None] = lambda: None) -> Delivered:
        return self.mail.deliver(check)


@pytest.fixture
def house(settings: Settings, database_name: str) -> Iterator[House]:
    with initialised(settings, database_name) as made, mail_server() as server:
        yield House(made, server)


def test_a_message_is_kept_sealed_until_it_is_sent_and_then_gone(house: House) -> None:
    assert house.mail.send(TO, "invitation", "fr", VALUES)
    (kept,) = house.collection.find({})
    assert kept["state"] == "waiting"
    held = repr(kept).lower()
    assert TO.lower() not in held and "one-time" not in held
    assert house.deliver() == Delivered(1, 0, 0, 0)
    ((message, recipients),) = house.box.taken
    assert recipients == [TO]
    assert message["Subject"] == "Votre compte pour Sillage"
    assert message["From"].addresses[0].addr_spec == "traces@sillage.example"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "fr"
    plain, html = message.iter_parts()
    assert LINK in plain.get_content() and LINK in html.get_content()
    assert house.collection.count_documents({}) == 0
    assert house.deliver() == Delivered(0, 0, 0, 0)


def test_the_message_speaks_the_language_of_whom_it_is_for(house: House) -> None:
    house.mail.send(TO, "invitation", "en", VALUES)
    house.deliver()
    assert house.box.taken[0][0]["Subject"] == "Your account for Sillage"


def test_without_a_server_nothing_is_kept_and_whoever_asks_is_told(house: House) -> None:
    none = house.sending(load({}))
    assert not none.configured and house.mail.configured
    for ask in (lambda: none.send(TO, "invitation", "fr", VALUES), lambda: none.try_out(TO, "fr")):
        with pytest.raises(MailMissing):
            ask()
    assert house.collection.count_documents({}) == 0


@pytest.mark.parametrize(
    "address",
    ["", "ana", "ana@", "@x.example", "a b@x.example", "a@x.example\nBcc: b@x.example", "a@x.example, b@x.example",
     "é@x.example", "a@-x.example", f"{'a' * 250}@x.example", "a@x..example", "<a@x.example>"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_repeating_it(house: House, address: str) -> None:
    with pytest.raises(BadRequest) as refused:
        house.mail.send(address, "invitation", "fr", VALUES)
    assert not address or address not in refused.value.detail
    assert house.collection.count_documents({}) == 0


def test_a_server_that_is_away_is_tried_again_later_and_later(house: House) -> None:
    away = House(house.container, Running(free_port(), house.box))
    away.mail.send(TO, "invitation", "fr", VALUES)
    away.mail.send("bo@school.example", "invitation", "fr", VALUES)
    waits = []
    for _ in range(6):
        before = away.now
        # One attempt tells: the other message is left as it is.
        assert away.deliver() == Delivered(0, 1, 0, 0)
        assert away.deliver() == Delivered(0, 1, 0, 0)
        assert away.deliver() == Delivered(0, 0, 0, 0)
        away.now = max(one["next"] for one in away.collection.find({}))
        waits.append((away.now - before) // MINUTE)
    assert waits == [1, 5, 15, 60, 60, 60]
    house.now = away.now
    assert house.deliver() == Delivered(2, 0, 0, 0)
    assert len(house.box.taken) == 2


def test_after_two_days_a_message_is_given_up_on_record_with_nothing_of_anybody(house: House) -> None:
    away = House(house.container, Running(free_port(), house.box))
    away.mail.send(TO, "invitation", "fr", VALUES)
    away.deliver()
    away.now += (MAX_HOURS * 60 - 1) * MINUTE
    with capture_logs() as logs:
        assert away.deliver() == Delivered(0, 0, 1, 0)
    (kept,) = away.collection.find({})
    assert kept["state"] == "given-up" and kept["error"] == "unreachable"
    assert kept.keys().isdisjoint({"subject", "sealed", "next"})
    (entry,) = away.entries
    assert entry == {
        "kind": "mail-given-up",
        "actor": "job:mail",
        "message": kept["_id"].hex(),
        "template": "invitation",
        "error": "unreachable",
        "tries": 2,
    }
    assert [one["event"] for one in logs] == ["message given up"]
    assert "ana" not in repr((logs, entry)).lower()
    assert away.mail.standing()[:2] == (0, 1)
    assert [one.state for one in away.mail.list()] == ["given-up"]
    away.now += 31 * 1_440 * MINUTE
    assert away.deliver() == Delivered(0, 0, 0, 1)
    assert away.collection.count_documents({}) == 0


def test_an_address_that_does_not_exist_is_given_up_at_once(house: House) -> None:
    house.box.rcpt = f"550 {TO} is unknown"
    house.mail.send(TO, "invitation", "fr", VALUES)
    house.mail.send("bo@school.example", "invitation", "fr", VALUES)
    assert house.deliver() == Delivered(0, 0, 2, 0)
    assert {entry["error"] for entry in house.entries} == {"recipient-refused 550"}
    assert "ana" not in repr(house.entries).lower()


def test_a_message_that_is_deferred_does_not_hold_up_others(house: House) -> None:
    house.mail.send(TO, "invitation", "fr", VALUES)
    house.mail.send("bo@school.example", "invitation", "fr", VALUES)
    house.box.rcpt = "450 greylisted"
    assert house.deliver() == Delivered(0, 2, 0, 0)
    house.box.rcpt = None
    house.now += MINUTE
    assert house.deliver() == Delivered(2, 0, 0, 0)


def test_a_server_that_dies_midway_gets_the_same_message_again(house: House) -> None:
    house.mail.send(TO, "invitation", "fr", VALUES)
    (kept,) = house.collection.find({})
    house.box.dies = True
    assert house.deliver() == Delivered(0, 1, 0, 0)
    house.box.dies = False
    house.now += MINUTE
    assert house.deliver() == Delivered(1, 0, 0, 0)
    assert house.box.taken[0][0]["Message-ID"] == f"<{kept['_id'].hex()}@sillage.example>"


def test_a_process_that_dies_after_sending_sends_the_same_id_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.mail.send(TO, "invitation", "fr", VALUES)
    with monkeypatch.context() as dying:
        dying.setattr(OutboxRepository, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            house.deliver()
    assert house.deliver() == Delivered(1, 0, 0, 0)
    first, second = (message["Message-ID"] for message, _ in house.box.taken)
    assert first == second


def test_one_that_leads_no_more_sends_nothing_more(house: House) -> None:
    for name in ("a", "b", "c"):
        house.mail.send(f"{name}@school.example", "invitation", "fr", VALUES)
    left = iter([None, None, None])

    def check() -> None:
        if next(left, 1):
            raise LeaseLost

    with pytest.raises(LeaseLost):
        house.deliver(check)
    assert len(house.box.taken) == 2
    assert house.collection.count_documents({}) == 1


def test_what_is_to_be_sent_once_is(house: House) -> None:
    assert house.mail.send(TO, "trial", "fr", {}, once="today")
    assert not house.mail.send(TO.lower(), "trial", "fr", {}, once="today")
    assert house.deliver() == Delivered(1, 0, 0, 0)
    assert not house.mail.send(TO, "trial", "fr", {}, once="today")
    assert house.mail.send(TO, "trial", "fr", {}, once="tomorrow")
    (sent,) = house.collection.find({"state": "sent"})
    assert sent.keys().isdisjoint({"subject", "sealed", "next"})
    house.now += 31 * 1_440 * MINUTE
    assert house.deliver().removed == 1


def test_no_more_wait_than_the_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_WAITING", 2)
    for name in ("a", "b"):
        house.mail.send(f"{name}@school.example", "trial", "fr", {})
    with pytest.raises(Unavailable):
        house.mail.send(TO, "trial", "fr", {})


def test_what_waits_when_the_server_is_taken_away_ends_in_time(house: House) -> None:
    house.mail.send(TO, "trial", "fr", {})
    none = house.sending(load({}))
    assert none.deliver(lambda: None) == Delivered(0, 1, 0, 0)
    house.now += MAX_HOURS * 60 * MINUTE
    assert none.deliver(lambda: None) == Delivered(0, 0, 1, 0)


def test_a_sealed_message_that_is_damaged_is_given_up(house: House) -> None:
    house.mail.send(TO, "trial", "fr", {})
    house.collection.update_one({}, {"$set": {"sealed": b"\0\1damaged"}})
    assert house.deliver() == Delivered(0, 0, 1, 0)
    assert not house.box.taken


def test_the_trial_keeps_nothing(house: House) -> None:
    assert house.mail.try_out(TO, "en").reply == 250
    assert house.box.taken[0][0]["Subject"] == "Trial of e-mail from Sillage"
    assert house.collection.count_documents({}) == 0


def test_a_service_name_that_would_add_a_header_does_not(house: House) -> None:
    mail = house.sending(house.settings)
    mail._composer = Composer(Service("Traces\r\nBcc: eve@evil.example", "https://x", ""))
    mail.send(TO, "trial", "fr", {})
    mail.deliver(lambda: None)
    message, recipients = house.box.taken[0]
    assert recipients == [TO] and message["Bcc"] is None


# --- rights of whoever has the address --------------------------------------------------------------


def of(house: House, *addresses: str) -> DataSubject:
    keys = house.container.keys.organisation
    return DataSubject(tuple(keys.subject(f"mbox:mailto:{address}") for address in addresses))


def data(house: House) -> OutboxData:
    keys = house.container.keys
    return OutboxData(DataContext(house.container.platform.store, keys.organisation, keys.subjects))


def test_who_has_the_address_finds_and_gets_what_waits(house: House) -> None:
    house.mail.send(TO, "invitation", "fr", VALUES)
    house.mail.send("bo@school.example", "invitation", "fr", VALUES)
    ana = of(house, "ana.example@school.example")
    assert data(house).locate(ana) == {"messages": 1}
    exported = data(house).export(ana)
    (item,) = exported.items
    assert item is not None and item["to"] == TO
    # A one-time link is for who opens the mailbox.
    assert "one-time" not in repr(item)
    house.collection.update_many({}, {"$set": {"sealed": b"\0\1damaged"}})
    assert list(data(house).export(ana).items) == [None]


def test_an_erasure_deletes_what_waits_and_no_more(house: House) -> None:
    house.mail.send(TO, "invitation", "fr", VALUES)
    house.mail.send("bo@school.example", "invitation", "fr", VALUES)
    ana, until = of(house, "ana.example@school.example"), house.now
    house.now += MINUTE
    house.mail.send(TO, "trial", "fr", {})
    gone = [each.number for each in data(house).erase(Erasing(ana, until, 10))]
    assert gone == [1]
    assert house.collection.count_documents({}) == 2
    assert list(data(house).erase(Erasing(ana, until, 10, again=True))) == []


def test_what_is_erased_while_others_are_sent_is_not(house: House) -> None:
    house.mail.send("bo@school.example", "invitation", "fr", VALUES)
    house.now += 1
    house.mail.send(TO, "invitation", "fr", VALUES)
    ana = of(house, "ana.example@school.example")

    def check() -> None:
        if house.box.taken:
            list(data(house).erase(Erasing(ana, house.now, 10)))

    assert house.deliver(check) == Delivered(1, 0, 0, 0)
    assert [recipients for _, recipients in house.box.taken] == [["bo@school.example"]]


def test_the_subject_is_found_by_an_index(house: House) -> None:
    asked = {"find": NAME, "filter": {"subject": {"$in": [bytes(16), bytes([1]) * 16]}}}
    plan = house.container.platform.store.db.command("explain", asked, verbosity="queryPlanner")["queryPlanner"]
    assert "IXSCAN" in str(plan["winningPlan"])


def test_nothing_of_a_message_is_logged(house: House) -> None:
    house.box.rcpt = f"550 {TO}"
    house.mail.send(TO, "invitation", "fr", VALUES)
    with capture_logs() as logs:
        house.deliver()
    assert logs and "ana" not in repr(logs).lower() and "one-time" not in repr(logs)
